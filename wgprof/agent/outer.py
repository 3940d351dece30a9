"""The outer path: the interfaces that carry the tunnels, and what the kernel counts of it.

Described once, at the start: queues, their CPU masks, RSS, interrupts.  Counted with the ticks: each
CPU's softnet statistics, and every five seconds UDP's.  It only reads; what cannot be read is left out and
said in a note.
"""

from __future__ import annotations

import functools
import glob
import json
import os
from typing import Any, Callable, Dict, List, Sequence, Tuple

from wgprof.agent import netns
from wgprof.agent.ethtool import Ethtool, refusals
from wgprof.agent.interrupts import interface_interrupts
from wgprof.agent.kernel import online_cpus, read_text
from wgprof.agent.netns import Interface, Namespace
from wgprof.agent.route import Tunnel, outgoing_indexes, tunnels
from wgprof.agent.sockets import EVERY_NS, Sockets
from wgprof.agent.softnet import Softnet
from wgprof.agent.sysfs import seen_from

_CLASS = "/sys/class/net"
#: An interface may stand on others: VLAN on bond on two NICs.
_DEEPEST = 5
_DRIVER_PARTS = ("rss_hash", "rss_table", "channels", "rings", "offloads")


class Outer:
    """The outer path of some tunnels."""

    def __init__(self, interfaces: Sequence[Interface], probe: Callable[..., Any] = tunnels) -> None:
        self._tunnels: List[Tunnel]
        self._tunnels, self.notes = probe(interfaces, netns.namespaces())
        self._softnet = Softnet(online_cpus())
        self._sockets = Sockets((tunnel.namespace, tunnel.port) for tunnel in self._tunnels)
        self._looked_ns = 0
        self.described: List[Dict[str, Any]] = []
        self.interfaces: List[Interface] = []
        self._describe()

    def _describe(self) -> None:
        by_namespace: Dict[Namespace, Dict[int, List[str]]] = {}
        for tunnel in self._tunnels:
            label = _label(tunnel.interface.name, tunnel.interface.namespace)
            indexes = outgoing_indexes(tunnel.namespace, tunnel.endpoints, tunnel.mark)
            if not tunnel.endpoints:
                self.notes.append(f"{label}: no peer has an endpoint yet")
            elif None in indexes or len(indexes) < len(tunnel.endpoints):
                self.notes.append(f"{label}: the route to a peer is not known")
            for index in sorted({index for index in indexes if index is not None}):
                by_namespace.setdefault(tunnel.namespace, {}).setdefault(index, []).append(label)
        for namespace, carried in by_namespace.items():
            try:
                found = seen_from(namespace, functools.partial(describe, carried))
            except OSError as error:
                place = namespace.name or "this namespace"
                self.notes.append(f"the interfaces of {place} cannot be looked into: {error.strerror or error}")
                continue
            for row in found:
                self.notes += [f"{_label(row['name'], namespace)}: {note}" for note in row.pop("notes")]
                self.described.append({"netns": namespace.inode, "netns_name": namespace.name, **row})
                self.interfaces.append(Interface(namespace, row["name"], row["ifindex"], row["mtu"], -1))

    def read(self, now_ns: int, last: bool) -> bytes:
        """For a tick: the running totals, as members of a JSON object; UDP's only now and then, and with the last."""
        softnet = b'"softnet":%b' % self._softnet.read()
        if not last and now_ns - self._looked_ns < EVERY_NS:
            return softnet
        self._looked_ns = now_ns
        udp, sockets = json.dumps(self._sockets.udp()), json.dumps(self._sockets.sockets())
        return b'%b,"udp":%b,"sockets":%b' % (softnet, udp.encode(), sockets.encode())


def _label(interface: str, namespace: Namespace) -> str:
    return f"{interface}@{namespace.name}" if namespace.name else interface


def describe(carried: Dict[int, List[str]]) -> List[Dict[str, Any]]:
    """The interfaces of these indexes, which carry tunnels, and those they stand on; of the sysfs that is mounted."""
    names = {_count(read_text(f"{_CLASS}/{name}/ifindex")): name for name in os.listdir(_CLASS)}
    rows = []
    with Ethtool() as ethtool:
        for index in sorted(carried):
            if index in names:
                for name, via in _stack(names[index]):
                    rows.append(_interface(name, via, carried[index], ethtool))
    return rows


def _stack(name: str, via: str = "", depth: int = 0) -> List[Tuple[str, str]]:
    """The interface and those it stands on, each with the one above."""
    found = [(name, via)]
    if depth < _DEEPEST:
        for path in sorted(glob.glob(f"{_CLASS}/{glob.escape(name)}/lower_*")):
            found += _stack(os.path.basename(path)[len("lower_") :], name, depth + 1)
    return found


def _interface(name: str, via: str, carries: List[str], ethtool: Ethtool) -> Dict[str, Any]:
    base = f"{_CLASS}/{name}"
    queues = os.listdir(base + "/queues") if os.path.isdir(base + "/queues") else []
    rx = sorted((q for q in queues if q.startswith("rx-")), key=_number)
    tx = sorted((q for q in queues if q.startswith("tx-")), key=_number)

    def each(of: List[str], file: str) -> List[str]:
        return [read_text(f"{base}/queues/{queue}/{file}").strip() for queue in of]

    row: Dict[str, Any] = {
        "name": name,
        "ifindex": _count(read_text(base + "/ifindex")),
        "mtu": _count(read_text(base + "/mtu")),
        "via": via,
        "carries": sorted(carries),
        "driver": ethtool.driver(name),
        "rx_queues": len(rx),
        "tx_queues": len(tx),
        "rps_cpus": each(rx, "rps_cpus"),
        "rps_flow_cnt": [_count(text) for text in each(rx, "rps_flow_cnt")],
        "xps_cpus": each(tx, "xps_cpus"),
        "rss_hash": ethtool.hashed_fields(name),
        "rss_table": ethtool.indirection(name),
        "channels": ethtool.channels(name),
        "rings": ethtool.rings(name),
        "offloads": ethtool.offloads(name),
        "irqs": interface_interrupts(name),
    }
    untold = refusals(row, list(_DRIVER_PARTS))
    row["notes"] = [f"its driver does not tell {', '.join(untold)}"] if untold else []
    return row


def _number(queue: str) -> int:
    return _count(queue.partition("-")[2])


def _count(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0
