"""What witness.py saw at one end of a tunnel over a bad link, and what must hold of it."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Witness:
    """Packets at one end; see tests/lab/kmod/witness.py."""

    end: str
    sent: int
    arrived: int
    delivered: int
    delivered_twice: int
    wrong_order: int
    keys: int
    doubled_by_link: int
    lost_on_link: int
    dropped_by_netem: int
    handshake_messages: int
    keepalives: int
    missed_by_capture: int

    def faults(self) -> list[str]:
        """What WireGuard did to packets beyond what the link did.  Empty if nothing."""
        found = []
        if self.missed_by_capture:
            found.append(f"the capture missed {self.missed_by_capture}, so nothing can be said")
        if self.delivered_twice:
            found.append(f"{self.delivered_twice} delivered twice")
        if self.delivered != self.arrived:
            found.append(f"{self.arrived} arrived, {self.delivered} delivered")
        if self.wrong_order >= 0:
            found.append(f"packet {self.wrong_order} was delivered in another order than it arrived")
        # Nonces are consecutive, so what the link lost leaves gaps; not so the last packets of a key.
        lost = self.sent - self.delivered
        if lost > self.lost_on_link + self.keys:
            found.append(f"{lost} lost, of which the link lost {self.lost_on_link}")
        if self.lost_on_link > self.dropped_by_netem:
            found.append(f"{self.lost_on_link} nonces are missing, netem dropped {self.dropped_by_netem}")
        return found

    def vacuous(self) -> list[str]:
        """What the link was to do and did not.  Empty if it did all."""
        wanted = {"lost": self.lost_on_link, "doubled": self.doubled_by_link}
        return [f"the link {what} nothing" for what, count in wanted.items() if not count]


def parse_witnesses(output: str) -> list[Witness]:
    """Both ends'.  Raises ValueError if there are not two."""
    found = [Witness(**json.loads(line)) for line in output.splitlines() if line.startswith("{")]
    if len(found) != 2:
        raise ValueError(f"two witnesses were expected: {output}")
    return found
