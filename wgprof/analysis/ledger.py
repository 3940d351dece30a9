"""Every packet that was lost, by cause, and whether the kernel told anybody.

WireGuard frees most of what it drops without a word: no counter of the kernel moves.  Those losses are
*silent*, and the probes are their only witness.  Of others somebody is told: an interface, the softnet
statistics, UDP.  What the recorder itself lost is no packet's fate and is kept apart.

Over the whole recording.  Causes after net/core/dev.c, net/ipv4/ip_tunnel_core.c, net/ipv4/udp.c and
drivers/net/wireguard/{device,send,receive}.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.journeys import JourneyCounts
from wgprof.analysis.names import NO_OBJECT, Names, Thing, clean
from wgprof.analysis.tables import DIRECTIONS, PEER_QUEUES, RINGS, STAGES, Tables, Totals, ints, only, total

#: Handshake messages that may come for a device with a peer in a second: attempts are 5 s apart (REKEY_TIMEOUT).
_MESSAGES_PER_S = 2 / 5
_MESSAGES_LEAST = 8
#: What a namespace's counters are of.  WireGuard takes its packets before they would be put into a receive buffer.
_ALL_UDP = "of all UDP in this namespace, not only WireGuard's"

#: What happened, by the cause and, where both directions have it, the direction.
CAUSES: Mapping[str, str] = {
    "queue-full": "the peer's queue was full: -ENOSPC",
    "ring-full": "the device's ring was full: -EPIPE (inferred from its depth)",
    "crypt-failed tx": "could not be encrypted",
    "crypt-failed rx": "could not be decrypted: forged or damaged",
    "send-failed": "no route to the peer, or no socket",
    "not-delivered": "dropped by the poll after decryption: a replay, or one from nowhere",
    "no-session": "of no session this end knows, or more handshake messages than peers send",
    "staged-overflow": "more than 128 waited for a session or a turn, or its handshake was given up",
    "outer-refused": "sent, and dropped by the outer interface or its queueing discipline",
    "interface-errors tx": "no peer has the address, the peer has no endpoint, or it would loop",
    "interface-errors rx": "the inner packet is malformed, or not its peer's to send",
    "interface-dropped": "after decryption: a full backlog or cell, or no protocol for it",
    "backlog-full": "the CPU's backlog was full (net.core.netdev_max_backlog)",
    "flow-limit": "one flow filled the CPU's backlog (net.core.flow_limit_cpu_bitmap)",
    "outer-dropped": "dropped by an interface that carries tunnels",
    "outer-errors": "errors of an interface that carries tunnels",
    "receive-buffer-full": f"an application did not read its UDP socket fast enough; {_ALL_UDP}",
    "checksum": f"a wrong UDP checksum; {_ALL_UDP}",
    "udp-errors": f"refused by a policy or a filter, or no memory; {_ALL_UDP}",
    "wireguard-socket": "at WireGuard's own socket: a checksum, a policy or a filter",
}


@dataclass(frozen=True)
class Loss:
    """Packets lost for one cause at one place."""

    scope: str  # tunnel: inside WireGuard; outer: before or after it; socket: at UDP sockets
    cause: str
    subject: str  # peer, device, interface, CPU or network namespace
    direction: str  # tx, rx or empty
    packets: int
    told: str = ""  # the counter of the kernel that has it; empty: silent
    among: str = ""  # another cause's row has these packets too

    @property
    def silent(self) -> bool:
        return not self.told

    @property
    def meaning(self) -> str:
        return CAUSES.get(self.cause) or CAUSES[f"{self.cause} {self.direction}"]


@dataclass(frozen=True)
class RecorderLoss:
    """What the recorder missed: events, returns, runs of a probe, steps of journeys."""

    cause: str
    where: str
    count: int | None  # None: the kernel does not tell


@dataclass(frozen=True)
class Ledger:
    """All losses of a recording.  `outer_known` is false if it has no counters of the outer path."""

    losses: tuple[Loss, ...]
    recorder: tuple[RecorderLoss, ...]
    outer_known: bool

    @property
    def undelivered(self) -> int:
        """Packets that were decrypted and that a poll then dropped: replays."""
        return sum(loss.packets for loss in self.losses if loss.cause == "not-delivered")

    def total(self, scope: str, silent: bool | None = None) -> int:
        """Packets lost in a scope, each once; only the silent, or only the told ones, if so asked."""
        chosen = (loss for loss in self.losses if loss.scope == scope and not loss.among)
        return sum(loss.packets for loss in chosen if silent is None or loss.silent is silent)


def ledger_of(recording: Tables, names: Names, counts: list[JourneyCounts]) -> Ledger:
    """Collect the losses; rows without any are left out."""
    books = _Books(recording, names)
    losses = [*books.tunnels(), *books.outer(), *books.sockets()]
    undelivered = sum(loss.packets for loss in losses if loss.cause == "not-delivered" and loss.packets > 0)
    return Ledger(
        tuple(loss for loss in losses if loss.packets > 0),
        tuple(_recorder(recording, counts, undelivered)),
        books.outer_known,
    )


class _Books:
    def __init__(self, recording: Tables, names: Names) -> None:
        self._names = names
        self._stages = Totals(recording.table("stages"), "stage", ("packets", "failed", "calls"))
        self._arrivals = Totals(recording.table("arrivals"), "queue", ("refused_packets",))
        self._interfaces = recording.table("interfaces")
        self._softnet, self._udp = recording.table("softnet"), recording.table("udp")
        self._sockets = recording.table("sockets")
        self._crowded = bool((recording.table("losses")["cause"] == "no-free-slot").any())
        self._seconds = float(ints(recording.table("intervals"), "dt_ns").sum() / 1e9)
        places = recording.manifest.get("outer")
        rows = [row for row in places if isinstance(row, dict)] if isinstance(places, list) else []
        self._outer = {(row.get("netns"), str(row.get("name"))): str(row.get("netns_name") or "") for row in rows}
        self.outer_known = bool(len(self._softnet))

    def tunnels(self) -> Iterator[Loss]:
        for device in self._names.devices():
            peers = self._names.peers_of(device.number)
            for direction in DIRECTIONS:
                for peer in peers:
                    yield from self._peer(direction, peer)
                refused = self._arrivals.of(RINGS[direction], [device.number])["refused_packets"]
                yield Loss("tunnel", "ring-full", device.label, direction, refused)
            yield self._undelivered(device, peers)
            yield from self._interface(device, peers)
        yield self._strays()

    def _peer(self, direction: str, peer: int) -> Iterator[Loss]:
        label = self._names.label(peer)
        refused = self._arrivals.of(PEER_QUEUES[direction], [peer])["refused_packets"]
        yield Loss("tunnel", "queue-full", label, direction, refused)
        failed = self._stages.of(STAGES[direction][1], [peer])["failed"]
        yield Loss("tunnel", "crypt-failed", label, direction, failed)
        if direction == "tx":
            unsent = self._stages.of(STAGES["tx"][2], [peer])["failed"]
            yield Loss("tunnel", "send-failed", label, "tx", unsent)

    def _undelivered(self, device: Thing, peers: list[int]) -> Loss:
        """What the polls dropped, but for what was refused or not decrypted, which they drop as well."""
        dropped = self._stages.of(STAGES["rx"][2], peers)["failed"]
        explained = self._stages.of(STAGES["rx"][1], peers)["failed"]
        explained += self._arrivals.of(RINGS["rx"], [device.number])["refused_packets"]
        return Loss("tunnel", "not-delivered", device.label, "rx", dropped - explained)

    def _interface(self, device: Thing, peers: list[int]) -> Iterator[Loss]:
        mine, label = only(self._interfaces, netns=device.netns, name=device.name), device.label
        if not len(mine):
            return
        dropped = total(mine, "tx_dropped")
        # The outer path's refusal of a packet that was sent counts as tx_dropped too, and not as sent.
        unsent = self._stages.of(STAGES["tx"][2], peers)["packets"] - total(mine, "tx_packets")
        outside = min(max(unsent, 0), dropped)
        yield Loss("tunnel", "staged-overflow", label, "tx", dropped - outside, f"tx_dropped of {label}")
        yield Loss("tunnel", "outer-refused", label, "tx", outside, f"tx_dropped of {label}")
        yield Loss("tunnel", "interface-errors", label, "tx", total(mine, "tx_errors"), f"tx_errors of {label}")
        yield Loss("tunnel", "interface-errors", label, "rx", total(mine, "rx_errors"), f"rx_errors of {label}")
        yield Loss("tunnel", "interface-dropped", label, "rx", total(mine, "rx_dropped"), f"rx_dropped of {label}")

    def _strays(self) -> Loss:
        """What reached WireGuard and was of no session; the handshake messages among it are no loss."""
        came = self._stages.of(STAGES["rx"][0], [NO_OBJECT])
        peers = sum(1 for thing in self._names.things.values() if thing.kind == "peer")
        handshakes = round(max(peers, 1) * self._seconds * _MESSAGES_PER_S) + _MESSAGES_LEAST
        # Peers beyond those the maps hold are counted there as well.
        strays = 0 if self._crowded else came["calls"] - came["packets"] - handshakes
        return Loss("tunnel", "no-session", "all devices", "rx", strays)

    def outer(self) -> Iterator[Loss]:
        for cpu in sorted(set(ints(self._softnet, "cpu").tolist())):
            mine = only(self._softnet, cpu=cpu)
            for cause, column in (("backlog-full", "dropped"), ("flow-limit", "flow_limit")):
                yield Loss("outer", cause, f"CPU {cpu}", "rx", total(mine, column), f"{column} in softnet_stat")
        for (netns, name), place in self._outer.items():
            mine = only(self._interfaces, netns=netns, name=name)
            label = clean(f"{name}@{place}" if place else name)
            for direction in DIRECTIONS:
                for kind in ("dropped", "errors"):
                    column = f"{direction}_{kind}"
                    # A full backlog counts as rx_dropped of the interface, too.
                    among = "backlog-full" if column == "rx_dropped" and total(self._softnet, "dropped") else ""
                    count, told = total(mine, column), f"{column} of {label}"
                    yield Loss("outer", f"outer-{kind}", label, direction, count, told, among)

    def sockets(self) -> Iterator[Loss]:
        for netns in sorted(set(ints(self._udp, "netns").tolist())):
            mine, place = only(self._udp, netns=netns), self._place(netns)
            buffer, checksum = total(mine, "rcvbuf_errors"), total(mine, "csum_errors")
            others = total(mine, "in_errors") - buffer - checksum
            yield Loss("socket", "receive-buffer-full", place, "rx", buffer, "Udp RcvbufErrors")
            yield Loss("socket", "checksum", place, "rx", checksum, "Udp InCsumErrors")
            yield Loss("socket", "udp-errors", place, "rx", others, "Udp InErrors")
        ports = {(int(r["netns"]), int(r["port"])) for r in self._sockets.to_dict("records")}
        for netns, port in sorted(ports):
            drops = total(only(self._sockets, netns=netns, port=port), "drops")
            place = f"UDP port {port} in {self._place(netns)}"
            yield Loss(
                "socket", "wireguard-socket", place, "rx", drops, "drops in /proc/net/udp", "checksum, udp-errors"
            )

    def _place(self, netns: int) -> str:
        names = {inode: name or "the agent's namespace" for (inode, _), name in self._outer.items()}
        return clean(names.get(netns, "")) or f"netns {netns}"


def _recorder(recording: Tables, counts: list[JourneyCounts], undelivered: int) -> Iterator[RecorderLoss]:
    for row in _positive(recording.table("losses"), "count").to_dict("records"):
        yield RecorderLoss(clean(row["cause"]), clean(row["where"]), int(row["count"]))
    for row in _positive(recording.table("probes"), "misses").to_dict("records"):
        yield RecorderLoss("missed-run", clean(row["point"]), int(row["misses"]))
    untold = int((ints(recording.table("probes"), "misses") < 0).sum())
    if untold:
        yield RecorderLoss("missed-run", f"{untold} kprobes: not known", None)
    for ended in counts:
        lost = unexplained(ended, undelivered)
        if lost:
            yield RecorderLoss("lost-journey", ended.direction, lost)


def unexplained(ended: JourneyCounts, undelivered: int) -> int:
    """Journeys that lost a step, but for as many as polls dropped packets after decryption: no probe sees a replay."""
    return max(ended.lost - undelivered, 0) if ended.direction == "rx" else ended.lost


def _positive(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return frame[np.asarray(ints(frame, column) > 0, dtype=bool)]
