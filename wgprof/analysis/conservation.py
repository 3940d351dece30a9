"""Conservation: what enters a stage leaves it, is queued, or is counted as dropped.

Checked over the whole recording.  At its edges packets may be on their way; the queue depths there
bound how many.  The agent reads its counters one after another, so with traffic at an edge a few
packets more may be counted on one side; the agent's own CPU time in that interval bounds how long
the reading took.

A ring that is full refuses a hand-off that the peer's queue had accepted, and no counter of the kernel says
so: the probes infer it from the ring.  What the peer's server takes off its queue is counted on its own, so
behind such a ring the balances go around it and stay exact: on receive everything accepted is delivered or
dropped by the poll, and what was decrypted is delivered; on transmit what was encrypted is sent.  Only the
refusals of a transmit ring rest on the inference: more may not be missing than it says.

The inline variant has no queue between its stages: there the first stage is compared with the crypto
directly, and what came by a queue all the same (its mode can be changed at run time) is part of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.edges import MOST_SEGMENTS, Edge
from wgprof.analysis.names import Names, Thing
from wgprof.analysis.tables import DIRECTIONS, PEER_QUEUES, RINGS, STAGES, Tables, Totals, ints, only, total


@dataclass(frozen=True)
class Balance:
    """One comparison.  Holds when `-may_lack` <= entered - left <= `may_exceed`.

    `blames` is the stage whose own count must be wrong if it does not hold, because the balance around it does.
    """

    subject: str
    relation: str
    entered: int
    left: int
    may_lack: int
    may_exceed: int
    note: str = ""
    blames: str = ""

    @property
    def difference(self) -> int:
        return self.entered - self.left

    @property
    def holds(self) -> bool:
        return -self.may_lack <= self.difference <= self.may_exceed


@dataclass(frozen=True)
class Refusals:
    """Packets a ring refused: as inferred at the hand-offs, and as missing behind it, give or take `on_way`."""

    subject: str
    ring: str
    inferred: int
    missing: int
    on_way: int


@dataclass(frozen=True)
class _Sums:
    """Packets of some peers in one direction, over the whole recording."""

    entered: int  # the first stage
    met: int  # their queues
    outside: int  # of those, not from the first stage
    refused: int  # by their queues
    crypted: int
    crypt_failed: int
    done: int  # by the last stage
    done_failed: int

    @property
    def accepted(self) -> int:
        return self.met - self.refused


class Conservation:
    """Balances of one recording."""

    def __init__(self, recording: Tables, names: Names, inline: bool = False) -> None:
        self._names = names
        self._inline = inline
        self._stages = Totals(recording.table("stages"), "stage", ("packets", "failed"))
        columns = ("handoffs", "packets", "refused_packets", "outside")
        self._arrivals = Totals(recording.table("arrivals"), "queue", columns)
        self._interfaces = recording.table("interfaces")
        self._polls = only(recording.table("executions"), server="rx.napi")
        self._decrypted = only(recording.table("stages"), stage=STAGES["rx"][1])
        intervals = recording.table("intervals").sort_values("t_ns")
        edges = intervals.iloc[[0, -1]] if len(intervals) else intervals
        self._edges = [
            Edge(recording, int(row["t_ns"]), int(row["dt_ns"]), int(row["agent_cpu_ns"]))
            for row in edges.to_dict("records")
        ]
        self._seconds = float(ints(intervals, "dt_ns").sum() / 1e9)

    def balances(self) -> list[Balance]:
        """For each peer and direction into and out of the crypto stage."""
        rows: list[Balance] = []
        for direction in DIRECTIONS if self._edges else ():
            for device in self._names.devices():
                rows.extend(self._device(direction, device.number))
        return rows

    def against_interfaces(self) -> list[Balance]:
        """Each device's packets against the counters of its interface, which also count handshake messages."""
        rows = []
        for device in self._names.devices() if self._edges else ():
            mine = only(self._interfaces, netns=device.netns, name=device.name)
            for direction in DIRECTIONS if len(mine) else ():
                rows.append(self._against(direction, device, mine))
        return rows

    def _against(self, direction: str, device: Thing, counters: pd.DataFrame) -> Balance:
        peers = self._names.peers_of(device.number)
        last = STAGES[direction][2]
        counted = total(counters, f"{direction}_packets")
        dropped = _dropped(counters, direction)
        skew = sum(self._skew(edge, direction, peers) for edge in self._edges)
        # A handshake is tried every 5 s (REKEY_TIMEOUT), with up to two messages for each side.
        handshakes = 2 * max(len(peers), 1) * (math.ceil(self._seconds / 5) + 2)
        waiting = self._in_cells(peers) if self._inline and direction == "rx" else 0
        return Balance(
            device.label,
            f"interface {direction} packets − {last}",
            counted,
            self._stages.of(last, peers)["packets"],
            skew + dropped,
            handshakes + skew + waiting,
            "it also counts handshakes" + (f"; it dropped {dropped}" if dropped else ""),
        )

    def _skew(self, edge: Edge, direction: str, peers: Sequence[int]) -> int:
        inline = edge.inline_skew(STAGES[direction][2], peers) if self._inline else 0
        return edge.skew(PEER_QUEUES[direction], peers) + inline

    def _device(self, direction: str, device: int) -> list[Balance]:
        peers = self._names.peers_of(device)
        refused = self._arrivals.of(RINGS[direction], [device])["refused_packets"]
        if self._inline:
            # Refusals at the ring are counted by device: with several peers only their sum can balance.
            groups = [peers] if refused and len(peers) > 1 else [[peer] for peer in peers]
            return [row for group in groups for row in self._inline_group(direction, device, group, refused)]
        replayed = 0
        if refused and direction == "rx":
            # The polls drop what was refused, what failed and what was replayed; only the last was decrypted.
            s = self._sums(direction, peers)
            replayed = max(s.done_failed - s.crypt_failed - refused, 0)
        rows = [row for peer in peers for row in self._peer(direction, peer, refused, replayed)]
        if refused and peers and direction == "tx":
            rows.append(self._around_ring(direction, device, peers, refused))
        return rows

    def refusals(self) -> list[Refusals]:
        """Of every ring that refused hand-offs: what the probes inferred, beside what is missing behind it."""
        rows = []
        for direction in DIRECTIONS if self._edges and not self._inline else ():
            for device in self._names.devices():
                peers = self._names.peers_of(device.number)
                inferred = self._arrivals.of(RINGS[direction], [device.number])["refused_packets"]
                if inferred and peers:
                    behind = self._around_ring(direction, device.number, peers, inferred)
                    missing = behind.difference + inferred
                    on_way = max(behind.may_lack - inferred, behind.may_exceed)
                    rows.append(Refusals(device.label, RINGS[direction], inferred, missing, on_way))
        return rows

    def _sums(self, direction: str, peers: Sequence[int]) -> _Sums:
        first, crypt, last = STAGES[direction]
        met = self._arrivals.of(PEER_QUEUES[direction], peers)
        middle, done = self._stages.of(crypt, peers), self._stages.of(last, peers)
        return _Sums(
            entered=self._stages.of(first, peers)["packets"],
            met=met["packets"],
            outside=met["outside"],
            refused=met["refused_packets"],
            crypted=middle["packets"],
            crypt_failed=middle["failed"],
            done=done["packets"],
            done_failed=done["failed"],
        )

    def _each(self, direction: str, peers: Sequence[int]) -> int:
        """The most packets in a hand-off: it may hold more than the mean, but no more than a GSO skb's segments."""
        met = self._arrivals.of(PEER_QUEUES[direction], peers)
        return 1 if met["packets"] == met["handoffs"] else MOST_SEGMENTS

    def _ways(self, direction: str, peers: Sequence[int]) -> tuple[int, int]:
        """For each edge the most packets that may have been on their way between two stages there."""
        queue, each = PEER_QUEUES[direction], self._each(direction, peers)
        begin, end = (edge.in_flight(queue, peers, each) + self._skew(edge, direction, peers) for edge in self._edges)
        return begin, end

    def _peer(self, direction: str, peer: int, ring_refused: int, replayed: int) -> list[Balance]:
        """One peer's way through the queues; `ring_refused` and `replayed` are its whole device's."""
        first, crypt, last = STAGES[direction]
        queue, label, s = PEER_QUEUES[direction], self._names.label(peer), self._sums(direction, [peer])
        if not s.accepted and not s.crypted and not s.crypt_failed and not s.done and not s.done_failed:
            return []
        begin, end = self._ways(direction, [peer])
        skew = sum(self._skew(edge, direction, [peer]) for edge in self._edges)
        outside = f"{s.outside} came by another way: keepalives and the like" if s.outside else ""
        rows = [Balance(label, f"{first} − {queue}", s.entered, s.met - s.outside, skew, skew, outside)]
        crypted, left = s.crypted + s.crypt_failed, s.done + s.done_failed
        if not ring_refused:
            # rx_poll also takes what could not be decrypted, and drops it; the transmit work never shows what it drops.
            handed_on, never_sent = (s.crypted, s.crypt_failed) if direction == "tx" else (crypted, 0)
            around = Balance(label, f"{queue} − {last}", s.accepted, left + never_sent, begin, end)
            blames = crypt if around.holds else ""
            rows.append(Balance(label, f"{queue} − {crypt}", s.accepted, crypted, begin, end, blames=blames))
            rows.append(Balance(label, f"{crypt} − {last}", handed_on, left, begin, end, blames=blames))
        elif direction == "tx":
            rows.append(Balance(label, f"{crypt} − {last}", s.crypted, left, begin, end))
        else:
            rows.append(Balance(label, f"{queue} − {last}", s.accepted, left, begin, end, "around a ring that refused"))
            note = f"{replayed} dropped after decryption: replayed" if replayed else ""
            rows.append(Balance(label, f"{crypt} − {last}", s.crypted, s.done, begin, end + replayed, note))
        return rows

    def _around_ring(self, direction: str, device: int, peers: Sequence[int], refused: int) -> Balance:
        """Accepted = encrypted or decrypted + refused at the ring, of all peers of a device.

        Refusals are inferred at the hand-off from a full ring: where a worker just then made room, one too many.
        """
        s, label = self._sums(direction, peers), self._names.label(device)
        begin, end = (sum(ways) for ways in zip(*(self._ways(direction, [peer]) for peer in peers), strict=True))
        relation = f"{PEER_QUEUES[direction]} − {STAGES[direction][1]}"
        left = s.crypted + s.crypt_failed + refused
        note = f"{refused} refused at the {RINGS[direction]}"
        return Balance(label, relation, s.accepted, left, begin + refused, end, note)

    def _inline_group(self, direction: str, device: int, peers: list[int], ring_refused: int) -> list[Balance]:
        first, crypt, last = STAGES[direction]
        label, s = self._names.label(peers[0] if len(peers) == 1 else device), self._sums(direction, peers)
        crypted, left = s.crypted + s.crypt_failed, s.done + s.done_failed
        if not s.accepted and not crypted and not left:
            return []
        begin, end = self._ways(direction, peers)
        note = f"{ring_refused} refused at the {RINGS[direction]}" if ring_refused else ""
        entered = s.entered + s.outside - s.refused
        handed_on, late, dropped = s.crypted, begin + end, 0
        if direction == "rx":
            dropped = self._dropped_by(peers)
            # Inferred refusals, see `_around_ring`: as many may be too many.
            handed_on, late = crypted + ring_refused, late + dropped + self._in_cells(peers) + ring_refused
        why = f"{dropped} were dropped by the interface" if dropped else ""
        lack = begin + end + ring_refused
        return [
            Balance(label, f"{first} − {crypt}", entered, crypted + ring_refused, lack, begin + end, note),
            Balance(label, f"{crypt} − {last}", handed_on, left, begin + end, late, why),
        ]

    def _in_cells(self, peers: Sequence[int]) -> int:
        """The most packets that can lie in a cell at the end: decrypted since the last poll, while one is due."""
        most = 0
        for device in sorted({self._names.things[peer].device for peer in peers}):
            polls = only(self._polls, object=device)
            if total(polls, "wakeups") <= total(polls, "delayed"):
                continue
            last = int(ints(polls[polls["executions"] > 0], "t_ns").max(initial=0))
            mine = [peer for peer in peers if self._names.things[peer].device == device]
            late = self._decrypted[(self._decrypted["t_ns"] >= last) & self._decrypted["object"].isin(mine)]
            most += total(late, "packets")
        return most

    def _dropped_by(self, peers: Sequence[int]) -> int:
        """What the interfaces of these peers dropped or refused on receive: from a full cell, or not theirs to send."""
        devices = {self._names.things[self._names.things[peer].device] for peer in peers}
        return sum(_dropped(only(self._interfaces, netns=d.netns, name=d.name), "rx") for d in devices)


def _dropped(counters: pd.DataFrame, direction: str) -> int:
    return total(counters, f"{direction}_dropped") + total(counters, f"{direction}_errors")
