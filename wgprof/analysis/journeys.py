"""Joining the events of sampled packets into journeys.

A journey is one packet's way through the three stages of its direction.  Its events are found by
(direction, peer, key index, nonce), which names a packet uniquely (WireGuard never uses a nonce
twice with a key).  Everything is vectorised: ten million events take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from wgprof.agent.layout import FLAG_FAILED, FLAG_HEAD
from wgprof.analysis.tables import DIRECTIONS, BoolArray, FloatArray, IntArray, ints
from wgprof.analysis.window import Window

#: An unfinished journey whose last sign of life is this close to an edge of the recording was merely cut by it.
_EDGE_NS = 1_000_000_000
_POINTS_PER_DIRECTION = 3


@dataclass(frozen=True)
class Journeys:
    """Sampled packets, one element each; `start_ns`, `end_ns`, `cpu` and `seen` have a row for each of three stages.

    Where `seen` is false the packet's event of that stage is missing and the times are 0.
    """

    direction: npt.NDArray[np.int8]  # index into DIRECTIONS
    object: IntArray
    key_index: IntArray
    nonce: npt.NDArray[np.uint64]
    start_ns: IntArray
    end_ns: IntArray
    cpu: npt.NDArray[np.int16]
    seen: BoolArray
    head: BoolArray
    failed: BoolArray

    def __len__(self) -> int:
        return int(self.direction.size)

    def waits_ns(self, gap: int) -> tuple[IntArray, BoolArray]:
        """The wait between stage `gap` and the next one, and where it is known.

        The end of a stage is stamped after the packet became visible to the next CPU, so a short wait can come
        out below zero: it is then zero.
        """
        known = self.seen[gap] & self.seen[gap + 1]
        return np.where(known, np.maximum(self.start_ns[gap + 1] - self.end_ns[gap], 0), 0), known

    def of(self, direction: str) -> BoolArray:
        """Which journeys go in this direction."""
        return np.asarray(self.direction == DIRECTIONS.index(direction), dtype=bool)


def join_journeys(events: pd.DataFrame) -> Journeys:
    """Join the rows of the `journeys` table; their order does not matter."""
    # Ten million events: columns stay as narrow as they are, for fresh memory costs more than arithmetic.
    events, point = _known(events, events["point"].to_numpy(dtype=np.int8))
    direction, step = np.divmod(point - np.int8(1), np.int8(_POINTS_PER_DIRECTION))
    end_ns, service_ns = ints(events, "end_ns"), ints(events, "service_ns")
    flags = events["flags"].to_numpy(dtype=np.uint8)
    packet, first = _packets(events, direction)
    count = first.size

    shape = (_POINTS_PER_DIRECTION, count)
    starts, ends = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    cpus, seen = np.full(shape, -1, dtype=np.int16), np.zeros(shape, dtype=bool)
    cpu = events["cpu"].to_numpy(dtype=np.int16)
    for wanted in range(_POINTS_PER_DIRECTION):
        rows = np.flatnonzero(step == wanted)
        of_packet = packet[rows]
        if np.any(np.bincount(of_packet, minlength=1) > 1):  # a replay: assign the earliest last, so that it stays
            rows = rows[np.argsort(-end_ns[rows], kind="stable")]
            of_packet = packet[rows]
        starts[wanted, of_packet] = end_ns[rows] - service_ns[rows]
        ends[wanted, of_packet] = end_ns[rows]
        cpus[wanted, of_packet] = cpu[rows]
        seen[wanted, of_packet] = True
    head, failed = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    head[packet[(flags & FLAG_HEAD) != 0]] = True
    failed[packet[(flags & FLAG_FAILED) != 0]] = True
    return Journeys(
        direction[first],
        ints(events, "object")[first],
        ints(events, "key_index")[first],
        events["nonce"].to_numpy(dtype=np.uint64)[first],
        starts,
        ends,
        cpus,
        seen,
        head,
        failed,
    )


def _known(events: pd.DataFrame, point: npt.NDArray[np.int8]) -> tuple[pd.DataFrame, npt.NDArray[np.int8]]:
    """Without the points this version does not know."""
    good = (point >= 1) & (point <= len(DIRECTIONS) * _POINTS_PER_DIRECTION)
    return (events, point) if good.all() else (events[good], point[good])


def _packets(events: pd.DataFrame, direction: npt.NDArray[np.int8]) -> tuple[IntArray, IntArray]:
    """The packet number of each event, and for each packet one of its events."""
    session = events["object"].to_numpy().astype(np.int64)
    session <<= 1
    session |= direction
    session <<= 32
    session |= events["key_index"].to_numpy()
    session_number, sessions = pd.factorize(session)
    nonce = events["nonce"].to_numpy(dtype=np.uint64)
    shift = max(1, len(sessions).bit_length())
    if nonce.size and int(nonce.max()) >> (63 - shift):  # never from a real session; keep the join right all the same
        nonce = pd.factorize(nonce)[0].astype(np.uint64)
    name = nonce.view(np.int64) << shift
    name |= session_number
    packet, packets = pd.factorize(name)
    first = np.zeros(len(packets), dtype=np.int64)
    first[packet[::-1]] = np.arange(packet.size - 1, -1, -1)
    return np.asarray(packet, dtype=np.int64), first


@dataclass(frozen=True)
class JourneyCounts:
    """How the sampled packets of one direction ended."""

    direction: str
    journeys: int
    complete: int
    failed: int  # dropped by a stage
    cut: int  # by the start or the end of the recording, or by a change of the sampling
    lost: int  # a stage's event is missing although it should be there


def journey_counts(journeys: Journeys, sampling: Sampling, window: Window) -> list[JourneyCounts]:
    """Count the endings; only `lost` ones speak against the recording.  Edges are those of the recording."""
    seen = journeys.seen
    complete = seen.all(axis=0)
    never = np.iinfo(np.int64).max
    first_ns = np.where(seen, journeys.end_ns, never).min(axis=0, initial=never)
    last_ns = journeys.end_ns.max(axis=0, initial=0)
    at_start, at_end = first_ns < window.recorded_start_ns + _EDGE_NS, last_ns > window.recorded_end_ns - _EDGE_NS
    # What misses its beginning may have been cut by the start, what misses its end by the end.
    by_edge = (seen[0] | at_start) & (seen[2] | at_end) & (seen[1] | ~(seen[0] & seen[2]))
    cut = ~complete & ~journeys.failed & (by_edge | sampling.changed_for(journeys.nonce, first_ns, last_ns))
    lost = ~complete & ~journeys.failed & ~cut
    failed = ~complete & journeys.failed
    rows = []
    for direction in DIRECTIONS:
        mine = journeys.of(direction)
        rows.append(
            JourneyCounts(
                direction, *(int(np.count_nonzero(mine & kind)) for kind in (mine, complete, failed, cut, lost))
            )
        )
    return rows


class Sampling:
    """The sampling of a recording: each point takes a packet when its nonce is divisible by the N then in force."""

    def __init__(self, intervals: pd.DataFrame) -> None:
        order = np.argsort(ints(intervals, "t_ns"))
        self._starts = ints(intervals, "t_ns")[order]
        self._every = np.maximum(ints(intervals, "sample_every")[order], 1)
        #: What was last asked for: every wait and queue asks for the same stages of the same journeys.
        self._asked: Journeys | None = None
        self._every_at: dict[int, IntArray] = {}

    def weights(self, journeys: Journeys, first: int, last: int) -> FloatArray:
        """Packets that a journey seen at stages `first` and `last` stands for: the least common multiple of both Ns."""
        if not self._starts.size:
            return np.ones(len(journeys))
        if self._asked is not journeys:
            self._asked, self._every_at = journeys, {}
        for stage in {first, last} - set(self._every_at):
            self._every_at[stage] = self._every[self._interval(journeys.end_ns[stage])]
        return np.lcm(self._every_at[first], self._every_at[last]).astype(np.float64)

    def changed_for(self, nonce: npt.NDArray[np.uint64], first_ns: IntArray, last_ns: IntArray) -> BoolArray:
        """Packets of which an N in force around their time would not have taken a sample."""
        changed = np.zeros(nonce.size, dtype=bool)
        if not self._starts.size:
            return changed
        begin = np.maximum(self._interval(first_ns) - 1, 0)
        end = self._interval(np.minimum(last_ns, np.iinfo(np.int64).max - _EDGE_NS) + _EDGE_NS) + 1
        for every in np.unique(self._every):
            until = np.append(0, np.cumsum(self._every == every))
            changed |= (until[end] > until[begin]) & (nonce % np.uint64(every) != 0)
        return changed

    def _interval(self, at_ns: IntArray) -> IntArray:
        found = np.searchsorted(self._starts, at_ns, side="right").astype(np.int64) - 1
        return np.clip(found, 0, self._starts.size - 1)
