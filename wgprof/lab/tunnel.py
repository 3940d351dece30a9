"""What a lab's tunnels can be like: how large their packets, and what work a stage that does one at a time has."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wgprof.errors import UsageError
from wgprof.lab.machine import Machine

#: WireGuard's own (wg_setup, drivers/net/wireguard/device.c).
DEFAULT_MTU = 1420
#: Below it Linux's TCP sends more than the MTU: 48 bytes a segment (TCP_MIN_SND_MSS, include/net/tcp.h), and headers.
#: Above the other WireGuard's packets are fragmented on the outer link: its MTU of 1500, less 60 bytes.
LEAST_MTU, MOST_MTU = 88, 1440

#: As a value of an option: none.
NO_WORK = "none"
#: What the rules run inside of, and the place that guest/rules.sh knows it by.
_PLACES = {"tx.send": "outer-egress", "rx.deliver": "inner-ingress"}
#: As many as were tried.
MOST_RULES = 30_000
#: The rules look at packets longer than this, so that acknowledgements have no work (guest/rules.sh).
_LEAST_BYTES = 200
_SMALL_WORKLOADS = ("udp-small", "idle")
#: Thousands of netfilter rules take an emulated CPU some seconds to load.
_RULES_S = 60.0


@dataclass(frozen=True)
class SerialWork:
    """Netfilter rules, none of which matches, that every data packet is compared with inside a stage."""

    stage: str
    rules: int

    @property
    def label(self) -> str:
        """Its name on a screen."""
        return f"{self.rules} rules in {self.stage}"


def serial_work_of(text: str) -> SerialWork | None:
    """Read `none` or `STAGE:RULES`.  Raises UsageError."""
    if text == NO_WORK:
        return None
    stage, _, count = text.partition(":")
    if stage not in _PLACES or not re.fullmatch("[1-9][0-9]{0,5}", count) or int(count) > MOST_RULES:
        raise UsageError(
            f"serial-work {ascii(text)[:40]} is neither {NO_WORK} nor work in a stage",
            f"For example tx.send:3000; {' or '.join(_PLACES)}, and 1 to {MOST_RULES} rules.",
        )
    return SerialWork(stage, int(count))


def check_mtu(mtu: int) -> None:
    """Raises UsageError for an MTU that would make packets in pieces."""
    if not LEAST_MTU <= mtu <= MOST_MTU:
        raise UsageError(
            f"mtu {mtu} is not from {LEAST_MTU} to {MOST_MTU}",
            "Less is not enough for TCP's smallest segment; more does not fit the lab's outer link.",
        )


def why_without_effect(serial_work: str, mtu: int, workload: str) -> str:
    """Why work in a stage would not be done, in a sentence that names the fields; empty if it would."""
    if serial_work == NO_WORK:
        return ""
    too_small = f"mtu {mtu}" if mtu <= _LEAST_BYTES else f"workload {workload}"
    if mtu > _LEAST_BYTES and workload not in _SMALL_WORKLOADS:
        return ""
    return f"serial-work {serial_work} cannot be with {too_small}: only packets above {_LEAST_BYTES} bytes have work"


def put_work(machine: Machine, work: SerialWork) -> None:
    """Load the rules, with the tunnels up.  Raises MachineError."""
    machine.check(f"sh /payload/rules.sh {_PLACES[work.stage]} {work.rules}", _RULES_S)
