"""UDP as network namespaces count it, and WireGuard's own sockets in them.

/proc/net/snmp and snmp6 hold a namespace's UDP counters, /proc/net/udp and udp6 a line a socket, the
kernel's own among them.  Such a file stays with the namespace it was opened in.  WireGuard takes its
packets before they would be put into a receive buffer (encap_rcv), so what its sockets drop are bad
checksums and the like; receive buffers overflow at the applications.
"""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterable, List, Set, Tuple

from wgprof.agent.files import read_whole
from wgprof.agent.netns import Namespace, inside

#: Of both families together, in this order.
UDP_COUNTERS = ("InDatagrams", "NoPorts", "InErrors", "RcvbufErrors", "InCsumErrors")
_MIBS = ("snmp", "snmp6")
_TABLES = ("udp", "udp6")
#: These files take the kernel long, and longer the more sockets and CPUs there are: they are not read with every tick.
EVERY_NS = 5_000_000_000


def parse_udp_counters(snmp: str, snmp6: str) -> List[int]:
    """UDP_COUNTERS of both families; what a kernel does not count is 0."""
    found: Dict[str, int] = {}
    names: List[str] = []
    for line in snmp.splitlines():
        if not line.startswith("Udp:"):
            continue
        words = line.split()[1:]
        if not names:
            names = words
            continue
        for name, value in zip(names, words):
            found[name] = found.get(name, 0) + int(value)
        break
    # A line a counter, some ninety of them: it is quicker to look for a few than to take all apart.
    for name in UDP_COUNTERS:
        start = snmp6.find(f"Udp6{name} ")
        words = snmp6[start : snmp6.find("\n", start)].split() if start >= 0 else []
        if len(words) == 2 and words[1].isdigit():
            found[name] = found.get(name, 0) + int(words[1])
    return [found.get(name, 0) for name in UDP_COUNTERS]


def parse_sockets(text: str) -> Dict[int, Tuple[int, int]]:
    """Local port -> (drops, bytes in the receive queue), summed over its sockets, of a udp or udp6 file."""
    found: Dict[int, Tuple[int, int]] = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 13:
            continue
        port, waiting = int(words[1].rpartition(":")[2], 16), int(words[4].partition(":")[2], 16)
        drops = int(words[-1]) if words[-1].isdigit() else 0
        before = found.get(port, (0, 0))
        found[port] = before[0] + drops, before[1] + waiting
    return found


def bound_ports(namespace: Namespace) -> Set[int]:
    """The local UDP ports of a namespace; none if it cannot be looked into."""
    ports: Set[int] = set()
    with contextlib.suppress(OSError), inside(namespace):
        for name in _TABLES:
            with contextlib.suppress(OSError), open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
                ports.update(parse_sockets(file.read()))
    return ports


class Sockets:
    """UDP's counters of some namespaces, and the drops of some ports in them, read again and again."""

    def __init__(self, places: Iterable[Tuple[Namespace, int]]) -> None:
        self._ports: Dict[int, Set[int]] = {}
        self._files: Dict[int, Dict[str, int]] = {}
        for namespace, port in places:
            if namespace.inode not in self._files:
                self._files[namespace.inode] = _open(namespace)
            self._ports.setdefault(namespace.inode, set()).add(port)

    def udp(self) -> List[List[int]]:
        """Rows of the namespace's inode and its UDP_COUNTERS."""
        return [
            [inode, *parse_udp_counters(*(_text(files, name) for name in _MIBS))]
            for inode, files in self._files.items()
            if any(name in files for name in _MIBS)
        ]

    def sockets(self) -> List[List[int]]:
        """Rows of inode, port, drops and bytes waiting, one for each port that is bound."""
        rows = []
        for inode, files in self._files.items():
            tables = [parse_sockets(_text(files, name)) for name in _TABLES]
            for port in sorted(self._ports[inode]):
                bound = [table[port] for table in tables if port in table]
                if bound:
                    rows.append([inode, port, sum(drops for drops, _ in bound), sum(queue for _, queue in bound)])
        return rows


def _open(namespace: Namespace) -> Dict[str, int]:
    files: Dict[str, int] = {}
    with contextlib.suppress(OSError), inside(namespace):
        for name in (*_MIBS, *_TABLES):
            with contextlib.suppress(OSError):
                files[name] = os.open(f"/proc/thread-self/net/{name}", os.O_RDONLY)
    return files


def _text(files: Dict[str, int], name: str) -> str:
    """A file's whole text; empty if the kernel has no such file."""
    if name not in files:
        return ""
    try:
        return read_whole(files[name]).decode("ascii", "replace")
    except OSError:
        return ""
