"""How long work waits for a CPU, by perf's own account: the output of `perf kwork latency`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

#: The functions of WireGuard's work items (drivers/net/wireguard/queueing.h, device.c, peer.c).
WORKS = (
    "wg_packet_encrypt_worker",
    "wg_packet_decrypt_worker",
    "wg_packet_tx_worker",
    "wg_packet_handshake_send_worker",
    "wg_packet_handshake_receive_worker",
)
#: perf's classes: (i)rq, (s)oftirq, (w)orkqueue.
_KINDS = {"i": "irq", "s": "softirq", "w": "workqueue"}
_NAME = re.compile(r"^\((\w)\)(\S.*)$")
_VALUE = re.compile(r"^(\d+(?:\.\d+)?)\s*(ns|us|ms|s)$")
_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_COLUMNS = ("kwork name", "cpu", "avg delay", "count", "max delay")
MAX_ROWS = 10_000


@dataclass(frozen=True)
class Latency:
    """From being raised or queued to running, of one kind of work on one CPU."""

    kind: str  # irq, softirq or workqueue
    name: str  # function of the work; softirq as perf names it, NET_RX:3
    cpu: int
    count: int
    mean_ns: int
    max_ns: int

    @property
    def is_wireguards(self) -> bool:
        """Whether packets wait in it: WireGuard's work items, and the network's softirqs."""
        return self.name in WORKS if self.kind == "workqueue" else self.name.startswith(("NET_RX", "NET_TX"))


def parse_latency(text: str) -> tuple[Latency, ...]:
    """The rows of the table; columns are found by their titles, as versions order them differently."""
    rows: list[Latency] = []
    places: dict[str, int] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if cells[0].lower() == _COLUMNS[0]:
            places = {cell.lower(): place for place, cell in enumerate(cells)}
        elif places.keys() >= set(_COLUMNS) and len(rows) < MAX_ROWS:
            row = _row([cells[places[name]] if places[name] < len(cells) else "" for name in _COLUMNS])
            if row is not None:
                rows.append(row)
    return tuple(rows)


def _row(cells: list[str]) -> Latency | None:
    name, cpu, mean, count, longest = cells
    found = _NAME.match(name)
    mean_ns, max_ns = _ns(mean), _ns(longest)
    if found is None or found[1] not in _KINDS or mean_ns is None or max_ns is None:
        return None
    if not (cpu.isdecimal() and len(cpu) < 6 and count.isdecimal() and len(count) < 19):
        return None
    return Latency(_KINDS[found[1]], _known(found[2]), int(cpu), int(count), mean_ns, max_ns)


def _known(name: str) -> str:
    """Some versions leave a character of another name behind the end of this one."""
    return next((work for work in WORKS if name.startswith(work)), name[:100])


def _ns(text: str) -> int | None:
    found = _VALUE.match(text)
    value = float(found[1]) * _NS[found[2]] if found else math.inf
    return round(value) if value < 1e18 else None
