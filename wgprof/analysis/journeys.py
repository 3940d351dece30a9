"""Joining the events of sampled packets into journeys.

A journey is one packet's way through the three stages of its direction.  Its events are found by
(direction, peer, key index, nonce), which names a packet uniquely (WireGuard never uses a nonce
twice with a key).  Everything is vectorised: ten million events take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from wgprof.agent.layout import FLAG_FAILED, FLAG_HEAD
from wgprof.agent.sampling import MODULUS, RULE, STEP
from wgprof.analysis.tables import DIRECTIONS, BoolArray, FloatArray, IntArray, Tables, ints
from wgprof.analysis.window import Window
from wgprof.errors import RecordingError

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

    def waits_ns(self, gap: int, rows: IntArray) -> IntArray:
        """The wait of some journeys between stage `gap` and the next one, both of which they were seen at.

        The end of a stage is stamped after the packet became visible to the next CPU, so a short wait can come
        out below zero: it is then zero.
        """
        waited: IntArray = np.maximum(self.start_ns[gap + 1, rows] - self.end_ns[gap, rows], 0)
        return waited

    def peers(self, direction: str) -> list[int]:
        """The peers that journeys of a direction belong to, in order."""
        number = DIRECTIONS.index(direction)
        return [peer for way, peer in self._rows_by_peer if way == number]

    def rows_of(self, direction: str, peers: Sequence[int] | None = None) -> IntArray:
        """Positions of the journeys of a direction, of some peers or of all."""
        number, found = DIRECTIONS.index(direction), self._rows_by_peer
        wanted = self.peers(direction) if peers is None else peers
        parts = [found[number, peer] for peer in wanted if (number, peer) in found]
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    @cached_property
    def _rows_by_peer(self) -> dict[tuple[int, int], IntArray]:
        """Sorted once, as every wait and queue of every peer asks."""
        codes, keys = pd.factorize(self.object * 2 + self.direction, sort=True)
        # Narrow integers are sorted in linear time.
        narrow = codes.astype(np.uint16) if len(keys) <= np.iinfo(np.uint16).max else codes
        order = np.argsort(narrow, kind="stable").astype(np.int64)
        edges = np.searchsorted(codes[order], np.arange(len(keys) + 1))
        named = [(int(key) % 2, int(key) // 2) for key in keys]
        return {name: order[slice(*edge)] for name, edge in zip(named, pairwise(edges.tolist()), strict=True)}

    def of(self, direction: str) -> BoolArray:
        """Which journeys go in this direction."""
        return np.asarray(self.direction == DIRECTIONS.index(direction), dtype=bool)


def join_journeys(events: pd.DataFrame, numbers: IntArray | None = None) -> Journeys:
    """Join the rows of the `journeys` table; their order does not matter.

    `numbers`, if they are known: for each row that of its packet, from 0 on, among these or more rows
    (`packet_numbers`).
    """
    # Ten million events: columns stay as narrow as they are, for fresh memory costs more than arithmetic.
    point = events["point"].to_numpy(dtype=np.int8)
    good = _known(point)
    if not good.all():  # points that this version does not know
        events, point, numbers = events[good], point[good], None if numbers is None else numbers[good]
    direction, step = np.divmod(point - np.int8(1), np.int8(_POINTS_PER_DIRECTION))
    end_ns, service_ns = ints(events, "end_ns"), ints(events, "service_ns")
    flags = events["flags"].to_numpy(dtype=np.uint8)
    packet, first = _renumbered(_numbered(events, direction) if numbers is None else numbers)
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


def packet_numbers(events: pd.DataFrame) -> IntArray:
    """The number of each event's packet: what takes longest in joining, and is the same in each part of a recording."""
    point = events["point"].to_numpy(dtype=np.int8)
    return _numbered(events, (np.clip(point, 1, None) - np.int8(1)) // np.int8(_POINTS_PER_DIRECTION))


def _known(point: npt.NDArray[np.int8]) -> BoolArray:
    return np.asarray((point >= 1) & (point <= len(DIRECTIONS) * _POINTS_PER_DIRECTION), dtype=bool)


def _numbered(events: pd.DataFrame, direction: npt.NDArray[np.int8]) -> IntArray:
    """The packet number of each event, in the order in which packets first appear."""
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
    return np.asarray(pd.factorize(name)[0], dtype=np.int64)


def _renumbered(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The same without gaps, in the order in which they appear, and for each the first place where it does."""
    first = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=np.int64)
    first[numbers[::-1]] = np.arange(numbers.size - 1, -1, -1)
    place = first[numbers]
    appears = place == np.arange(numbers.size)
    if np.count_nonzero(appears) == first.size and (np.diff(first) > 0).all():
        return numbers, first
    return (np.cumsum(appears) - 1)[place], np.flatnonzero(appears)


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
    """The sampling of a recording: each point takes a packet by its nonce and the N then in force."""

    def __init__(self, intervals: pd.DataFrame, rule: str) -> None:
        """`rule`: manifest key `sampling.rule`; empty where N divides the nonce.  Raises RecordingError for another."""
        if rule not in ("", RULE):
            raise RecordingError(f"its packets were sampled by a rule {rule[:40]!r}", "Read it with a newer wgprof.")
        self._golden = rule == RULE
        order = np.argsort(ints(intervals, "t_ns"))
        self._starts = ints(intervals, "t_ns")[order]
        self._every = np.maximum(ints(intervals, "sample_every")[order], 1)
        #: What was last asked for: every wait and queue asks for the same stages of the same journeys.
        self._asked: Journeys | None = None
        self._every_at: dict[int, IntArray] = {}

    def weights(self, journeys: Journeys, first: int, last: int, rows: IntArray) -> FloatArray:
        """Packets that journeys seen at stages `first` and `last` stand for.

        With two Ns that is the larger, of which the samples are a part of the other's; or, by the rule that came
        first, the least common multiple.
        """
        if not self._starts.size:
            return np.ones(rows.size)
        if self._asked is not journeys:
            self._asked, self._every_at = journeys, {}
        for stage in {first, last} - set(self._every_at):
            self._every_at[stage] = self._every[self._interval(journeys.end_ns[stage])]
        ns: IntArray = self.both(self._every_at[first][rows], self._every_at[last][rows])
        return ns.astype(np.float64)

    def changed_for(self, nonce: npt.NDArray[np.uint64], first_ns: IntArray, last_ns: IntArray) -> BoolArray:
        """Packets of which an N in force within a second of their time would not have taken a sample.

        Of a packet whose first steps were not sampled that time is the end of its wait, so what was before counts.
        """
        changed = np.zeros(nonce.size, dtype=bool)
        if not self._starts.size:
            return changed
        begin = np.maximum(self._interval(np.maximum(first_ns, _EDGE_NS) - _EDGE_NS) - 1, 0)
        end = self._interval(np.minimum(last_ns, np.iinfo(np.int64).max - _EDGE_NS) + _EDGE_NS) + 1
        for every in np.unique(self._every):
            until = np.append(0, np.cumsum(self._every == every))
            changed |= (until[end] > until[begin]) & ~self.takes(nonce, every)
        return changed

    def takes_all(self, at_ns: IntArray) -> BoolArray:
        """At which moments every packet is sampled."""
        return self._every[self._interval(at_ns)] == 1 if self._starts.size else np.zeros(at_ns.size, dtype=bool)

    @property
    def both(self) -> np.ufunc:
        """Of two Ns the N by which what both take is sampled."""
        return np.maximum if self._golden else np.lcm

    def takes(self, nonce: npt.NDArray[np.uint64], every: int | IntArray) -> BoolArray:
        """Which nonces are sampled with one in `every`, from 1, or with an N of its own for each."""
        each, modulus = np.asarray(every, dtype=np.uint64), np.uint64(MODULUS)
        if not self._golden:
            return np.asarray(nonce % each == 0)
        return np.asarray(nonce * np.uint64(STEP) % modulus < (modulus + each - np.uint64(1)) // each)

    @classmethod
    def of(cls, recording: Tables) -> Sampling:
        """The sampling of a recording."""
        stated = recording.manifest.get("sampling")
        rule = stated.get("rule") if isinstance(stated, Mapping) else None
        return cls(recording.table("intervals"), rule if isinstance(rule, str) else "")

    def _interval(self, at_ns: IntArray) -> IntArray:
        found = np.searchsorted(self._starts, at_ns, side="right").astype(np.int64) - 1
        return np.clip(found, 0, self._starts.size - 1)
