"""Conservation: what enters a stage leaves it, is queued, or is counted as dropped.

Checked over the whole recording.  At its edges packets may be on their way; the queue depths there
bound how many.  The agent reads its counters one after another, so with traffic at an edge a few
packets more may be counted on one side; the agent's own CPU time in that interval bounds how long
the reading took.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.histogram import counts_of, largest
from wgprof.analysis.names import Names
from wgprof.analysis.tables import DIRECTIONS, PEER_QUEUES, RINGS, STAGES, Tables, ints, only, total

_LEAST_READING_NS = 1_000_000


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


@dataclass(frozen=True)
class _Edge:
    """One edge of the recording: the interval beside it."""

    t_ns: int
    reading_share: float  # of the interval: how long reading the counters may have taken


class Conservation:
    """Balances of one recording."""

    def __init__(self, recording: Tables, names: Names) -> None:
        self._names = names
        self._stages = recording.table("stages")
        self._arrivals = recording.table("arrivals")
        self._depths = recording.table("depths")
        self._histograms = recording.table("histograms")
        self._interfaces = recording.table("interfaces")
        self._edges = _edges(recording.table("intervals"))
        self._seconds = _seconds(recording.table("intervals"))

    def balances(self) -> list[Balance]:
        """For each peer and direction into and out of the crypto stage, then each device against its interface."""
        if self._edges is None:
            return []
        rows = []
        for direction in DIRECTIONS:
            for device in self._devices():
                rows.extend(self._device(direction, device))
        return rows

    def against_interfaces(self) -> list[Balance]:
        """Each device's packets against the counters of its interface, which also count handshake messages."""
        if self._edges is None:
            return []
        rows = []
        for device in self._names.devices():
            mine = only(self._interfaces, netns=device.netns, name=device.name)
            for direction in DIRECTIONS if len(mine) else ():
                peers = self._names.peers_of(device.number)
                done = self._of(self._stages, peers, stage=STAGES[direction][2])
                counted, dropped = total(mine, f"{direction}_packets"), total(mine, f"{direction}_dropped")
                dropped += total(mine, f"{direction}_errors")
                _, skew = self._skew(done)
                # A handshake is tried every 5 s (REKEY_TIMEOUT), with up to two messages for each side.
                handshakes = 2 * max(len(peers), 1) * (math.ceil(self._seconds / 5) + 2)
                rows.append(
                    Balance(
                        device.label,
                        f"interface {direction} packets − {STAGES[direction][2]}",
                        counted,
                        total(done, "packets"),
                        skew + dropped,
                        handshakes + skew,
                        "it also counts handshakes" + (f"; it dropped {dropped}" if dropped else ""),
                    )
                )
        return rows

    def _devices(self) -> list[int]:
        return [device.number for device in self._names.devices()]

    def _device(self, direction: str, device: int) -> list[Balance]:
        peers = self._names.peers_of(device)
        ring_refused = total(only(self._arrivals, queue=RINGS[direction], object=device), "refused_packets")
        # Refusals at the ring are counted by device: with several peers only their sum can balance.
        groups = [peers] if ring_refused and len(peers) > 1 else [[peer] for peer in peers]
        rows: list[Balance] = []
        for group in groups:
            label = self._names.label(group[0] if len(group) == 1 else device)
            rows.extend(self._group(direction, label, group, ring_refused))
        return rows

    def _group(self, direction: str, label: str, peers: list[int], ring_refused: int) -> list[Balance]:
        _, crypt, last = STAGES[direction]
        queue = PEER_QUEUES[direction]
        met = self._of(self._arrivals, peers, queue=queue)
        middle, done = self._of(self._stages, peers, stage=crypt), self._of(self._stages, peers, stage=last)
        accepted = total(met, "packets") - total(met, "refused_packets")
        crypted = total(middle, "packets") + total(middle, "failed")
        left = total(done, "packets") + total(done, "failed")
        if not accepted and not crypted and not left:
            return []
        begin, end = self._in_flight(queue, peers, met)
        skew_begin, skew_end = self._skew(met)
        refused_note = f"{ring_refused} refused at the {RINGS[direction]}" if ring_refused else ""
        slack = begin + skew_begin, end + skew_end
        return [
            Balance(label, f"{queue} − {crypt}", accepted, crypted + ring_refused, *slack, refused_note),
            Balance(label, f"{crypt} − {last}", total(middle, "packets"), left, *slack),
        ]

    def _of(self, frame: pd.DataFrame, objects: list[int], **equal: object) -> pd.DataFrame:
        mine = only(frame, **equal)
        return mine[mine["object"].isin(objects)]

    def _in_flight(self, queue: str, peers: list[int], met: pd.DataFrame) -> tuple[int, int]:
        """The most packets that can have been on the queue at the start and at the end."""
        assert self._edges is not None
        handoffs = total(met, "handoffs")
        # One hand-off may hold more than the mean; none holds more than a GSO skb's segments.
        each = 1 if queue == PEER_QUEUES["rx"] or total(met, "packets") == handoffs else 64
        bounds = []
        for edge in self._edges:
            seen = only(self._of(self._depths, peers, queue=queue), t_ns=edge.t_ns)
            bins = only(self._of(self._histograms, peers, metric=f"{queue}.depth"), t_ns=edge.t_ns)
            if not total(seen, "occupied"):
                # Never seen occupied; with arrivals in that interval one hand-off may still be on its way.
                bounds.append(each if total(only(met, t_ns=edge.t_ns), "handoffs") else 0)
            else:
                deepest = largest(counts_of(bins)) or int(ints(seen, "depth_max").max(initial=0))
                bounds.append((deepest * len(peers) + 1) * each)
        return bounds[0], bounds[1]

    def _skew(self, rows: pd.DataFrame) -> tuple[int, int]:
        """Packets that may have passed while the counters were being read at the start and at the end."""
        assert self._edges is not None
        first, last = (
            math.ceil(total(only(rows, t_ns=edge.t_ns), "packets") * edge.reading_share) for edge in self._edges
        )
        return first, last


def _seconds(intervals: pd.DataFrame) -> float:
    return float(ints(intervals, "dt_ns").sum() / 1e9)


def _edges(intervals: pd.DataFrame) -> tuple[_Edge, _Edge] | None:
    if not len(intervals):
        return None
    order = ints(intervals, "t_ns").argsort()

    def edge(row: int) -> _Edge:
        length_ns = max(int(ints(intervals, "dt_ns")[row]), 1)
        reading_ns = max(_LEAST_READING_NS, int(ints(intervals, "agent_cpu_ns")[row]))
        return _Edge(int(ints(intervals, "t_ns")[row]), min(1.0, reading_ns / length_ns))

    return edge(int(order[0])), edge(int(order[-1]))
