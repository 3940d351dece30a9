"""Conservation: what enters a stage leaves it, is queued, or is counted as dropped.

Checked over the whole recording.  At its edges packets may be on their way; the queue depths there
bound how many.  The agent reads its counters one after another, so with traffic at an edge a few
packets more may be counted on one side; the agent's own CPU time in that interval bounds how long
the reading took.

The inline variant has no queue between its stages: there the first stage is compared with the crypto
directly, and what came by a queue all the same (its mode can be changed at run time) is part of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.histogram import counts_of, largest
from wgprof.analysis.names import Names, Thing
from wgprof.analysis.tables import DIRECTIONS, PEER_QUEUES, RINGS, STAGES, Tables, Totals, by_object, ints, only, total

_LEAST_READING_NS = 1_000_000
#: A GSO skb is at most 64 kB, its segments seldom under 1 kB.
_MOST_SEGMENTS = 64


@dataclass(frozen=True)
class Balance:
    """One comparison.  Holds when `-may_lack` <= entered - left <= `may_exceed`."""

    subject: str
    relation: str
    entered: int
    left: int
    may_lack: int
    may_exceed: int
    note: str = ""

    @property
    def difference(self) -> int:
        return self.entered - self.left

    @property
    def holds(self) -> bool:
        return -self.may_lack <= self.difference <= self.may_exceed


class _Edge:
    """One edge of the recording: what is known of the interval beside it."""

    def __init__(self, recording: Tables, t_ns: int, dt_ns: int, agent_cpu_ns: int) -> None:
        #: Share of the interval that reading the counters may have taken.
        self._reading_share = min(1.0, max(_LEAST_READING_NS, agent_cpu_ns) / max(dt_ns, 1))
        depths = only(recording.table("depths"), t_ns=t_ns)
        bins = only(recording.table("histograms"), t_ns=t_ns)
        self._arrivals = Totals(only(recording.table("arrivals"), t_ns=t_ns), "queue", ("handoffs", "packets"))
        self._depths = Totals(depths, "queue", ("occupied", "depth_max"))
        stages = only(recording.table("stages"), t_ns=t_ns)
        self._stages = Totals(stages, "stage", ("packets",))
        self._cpus = int(stages["cpu"].nunique())
        self._bins = {
            (str(metric), number): largest(counts_of(rows))
            for metric, of_metric in bins.groupby("metric", observed=True)
            if str(metric).endswith(".depth")
            for number, rows in by_object(of_metric).items()
        }

    def in_flight(self, queue: str, peers: Sequence[int], each: int) -> int:
        """The most packets that can have been on the peers' queues; a hand-off holds at most `each`."""
        most = 0
        for peer in peers:
            seen = self._depths.of(queue, [peer])
            if seen["occupied"]:
                most += (self._bins.get((f"{queue}.depth", peer), seen["depth_max"]) + 1) * each
            elif self._arrivals.of(queue, [peer])["handoffs"]:
                # Never seen occupied; yet one hand-off may just have been on its way.
                most += each
        return most

    def skew(self, queue: str, peers: Sequence[int]) -> int:
        """The most packets that can have passed while the counters were being read."""
        return math.ceil(self._arrivals.of(queue, peers)["packets"] * self._reading_share)

    def inline_skew(self, stage: str, peers: Sequence[int]) -> int:
        """Likewise without a queue, and what each CPU may have had between two of its stages."""
        packets = self._stages.of(stage, peers)["packets"]
        return math.ceil(packets * self._reading_share) + self._cpus * _MOST_SEGMENTS if packets else 0


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
            _Edge(recording, int(row["t_ns"]), int(row["dt_ns"]), int(row["agent_cpu_ns"]))
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

    def _skew(self, edge: _Edge, direction: str, peers: Sequence[int]) -> int:
        inline = edge.inline_skew(STAGES[direction][2], peers) if self._inline else 0
        return edge.skew(PEER_QUEUES[direction], peers) + inline

    def _device(self, direction: str, device: int) -> list[Balance]:
        peers = self._names.peers_of(device)
        ring_refused = self._arrivals.of(RINGS[direction], [device])["refused_packets"]
        # Refusals at the ring are counted by device: with several peers only their sum can balance.
        groups = [peers] if ring_refused and len(peers) > 1 else [[peer] for peer in peers]
        rows: list[Balance] = []
        for group in groups:
            label = self._names.label(group[0] if len(group) == 1 else device)
            rows.extend(self._group(direction, label, group, ring_refused))
        return rows

    def _group(self, direction: str, label: str, peers: list[int], ring_refused: int) -> list[Balance]:
        first, crypt, last = STAGES[direction]
        queue = PEER_QUEUES[direction]
        met, middle, done = self._arrivals.of(queue, peers), self._stages.of(crypt, peers), self._stages.of(last, peers)
        accepted = met["packets"] - met["refused_packets"]
        crypted, left = middle["packets"] + middle["failed"], done["packets"] + done["failed"]
        if not accepted and not crypted and not left:
            return []
        # rx_poll also takes what could not be decrypted, and drops it; the transmit work never shows what it drops.
        handed_on = middle["packets"] if direction == "tx" else crypted + ring_refused
        # A hand-off may hold more than the mean, but no more than the segments of a GSO skb.
        each = 1 if met["packets"] == met["handoffs"] else _MOST_SEGMENTS
        begin, end = (edge.in_flight(queue, peers, each) + self._skew(edge, direction, peers) for edge in self._edges)
        # Inferred at the hand-off from a full ring: where a worker just then made room, one too many.
        note = f"{ring_refused} refused at the {RINGS[direction]}" if ring_refused else ""
        unsure = ring_refused if direction == "rx" else 0
        skew = sum(self._skew(edge, direction, peers) for edge in self._edges)
        outside = f"{met['outside']} came by another way: keepalives and the like" if met["outside"] else ""
        entered = self._stages.of(first, peers)["packets"]
        if self._inline:
            entered += met["outside"] - met["refused_packets"]
            dropped = self._dropped_by(peers) if direction == "rx" else 0
            late = begin + end + dropped + (self._in_cells(peers) if direction == "rx" else 0)
            why = f"{dropped} were dropped by the interface" if dropped else ""
            return [
                Balance(
                    label,
                    f"{first} − {crypt}",
                    entered,
                    crypted + ring_refused,
                    begin + end + ring_refused,
                    begin + end,
                    note,
                ),
                Balance(label, f"{crypt} − {last}", handed_on, left, begin + end, late + unsure, why),
            ]
        return [
            Balance(label, f"{first} − {queue}", entered, met["packets"] - met["outside"], skew, skew, outside),
            Balance(label, f"{queue} − {crypt}", accepted, crypted + ring_refused, begin + ring_refused, end, note),
            Balance(label, f"{crypt} − {last}", handed_on, left, begin, end + unsure),
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
