"""Sampled packets as slices of a trace: what each CPU did, and how each peer's packets fared.

Slices of one track must nest or lie apart: trace viewers draw anything else wrong.  What overlaps otherwise goes to a
further track, a lane.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wgprof.analysis.journeys import Journeys
from wgprof.analysis.names import Names
from wgprof.analysis.summary import DIRECTION_NAMES
from wgprof.analysis.tables import DIRECTIONS, STAGES, WAITS, IntArray
from wgprof.export.events import Event, Tracks

_STEPS = range(3)


@dataclass(frozen=True)
class Step:
    """One stage's work on a CPU, for one sampled packet or for several of one hand-off.  Times in ns of the trace."""

    cpu: int
    start_ns: int
    end_ns: int
    stage: str
    peer: int
    packets: tuple[int, ...]  # positions in Journeys


def first_seen_ns(journeys: Journeys) -> IntArray:
    """When each packet's first known step began."""
    never = np.iinfo(np.int64).max
    first: IntArray = np.where(journeys.seen, journeys.start_ns, never).min(axis=0, initial=never)
    return first


def cpu_events(journeys: Journeys, rows: IntArray, began_ns: int, names: Names, tracks: Tracks) -> Iterator[Event]:
    """A track for each CPU: the steps of the packets `rows`, and arrows from step to step of one packet."""
    steps = sorted(_steps(journeys, rows, began_ns), key=lambda step: (step.start_ns, -step.end_ns))
    left = Counter(packet for step in steps for packet in step.packets)
    started: set[int] = set()
    lanes: dict[int, list[list[int]]] = {}
    process = tracks.process("CPUs: sampled packets")
    for cpu in sorted({step.cpu for step in steps}):  # viewers show tracks in the order of their numbers
        tracks.thread(process, f"CPU {cpu}")
    for step in steps:
        lane = _nesting_lane(lanes.setdefault(step.cpu, []), step)
        name = f"CPU {step.cpu}" if lane == 0 else f"CPU {step.cpu}, overlapping ({lane})"
        thread = tracks.thread(process, name)
        args = {"peer": names.label(step.peer), "packets": len(step.packets)}
        args["counter"] = int(journeys.nonce[step.packets[0]])
        yield Event.slice(thread, step.stage, step.start_ns, step.end_ns, args)
        for packet in step.packets:
            left[packet] -= 1
            if packet in started or left[packet]:
                yield Event.flow(thread, packet, step.start_ns, packet not in started, not left[packet])
            started.add(packet)


def _steps(journeys: Journeys, rows: IntArray, began_ns: int) -> Iterator[Step]:
    """Segments of one hand-off pass its stage together: that is one step."""
    found: dict[tuple[int, int, int, str, int], list[int]] = {}
    for row in rows.tolist():
        direction = DIRECTIONS[journeys.direction[row]]
        for number in _STEPS:
            if journeys.seen[number, row]:
                start, end = (int(times[number, row]) - began_ns for times in (journeys.start_ns, journeys.end_ns))
                where = int(journeys.cpu[number, row]), start, end
                found.setdefault((*where, STAGES[direction][number], int(journeys.object[row])), []).append(row)
    return (Step(*key, tuple(packets)) for key, packets in found.items())


def _nesting_lane(lanes: list[list[int]], step: Step) -> int:
    """The first lane in which a step, no earlier than those before it, nests in what is open or comes after it.

    A lane is the stack of ends of its open slices.
    """
    for number, stack in enumerate(lanes):
        while stack and stack[-1] <= step.start_ns:
            stack.pop()
        if not stack or step.end_ns <= stack[-1]:
            stack.append(step.end_ns)
            return number
    lanes.append([step.end_ns])
    return len(lanes) - 1


def peer_events(journeys: Journeys, rows: IntArray, began_ns: int, names: Names, tracks: Tracks) -> Iterator[Event]:
    """For each peer and direction as many tracks as it has packets under way; a packet is a slice, with its steps and
    waits in it."""
    for direction in DIRECTIONS:
        mine = rows[journeys.direction[rows] == DIRECTIONS.index(direction)]
        for peer in sorted(set(journeys.object[mine].tolist())):
            title = f"{names.label(peer)}: {DIRECTION_NAMES[direction]}"
            process = tracks.process(title)
            lanes = _Lanes()
            for row in mine[journeys.object[mine] == peer].tolist():
                parts = list(_parts(journeys, row, direction, began_ns))
                (_, start, _), (_, _, end) = parts[0], parts[-1]
                thread = tracks.thread(process, f"packets {lanes.take(start, end) + 1:03}")
                name = "packet, dropped" if journeys.failed[row] else "packet"
                args = {"counter": int(journeys.nonce[row]), "key_index": int(journeys.key_index[row])}
                yield Event.slice(thread, name, start, end, args)
                for step, since, until in parts:
                    yield Event.slice(thread, step, since, until, {})


class _Lanes:
    """Gives what comes in the order of time the lowest lane that is free."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._busy: list[tuple[int, int]] = []  # (until, lane)

    def take(self, start_ns: int, end_ns: int) -> int:
        while self._busy and self._busy[0][0] <= start_ns:
            heapq.heappush(self._free, heapq.heappop(self._busy)[1])
        lane = heapq.heappop(self._free) if self._free else len(self._busy)
        heapq.heappush(self._busy, (end_ns, lane))
        return lane


def _parts(journeys: Journeys, row: int, direction: str, began_ns: int) -> Iterator[tuple[str, int, int]]:
    """Steps and waits of a packet, one after the other: (name, start, end).

    The end of a step is stamped after the next CPU could take the packet: a step that seems to begin before that
    begins at it.
    """
    seen: Sequence[int] = [number for number in _STEPS if journeys.seen[number, row]]
    at = -1
    for place, number in enumerate(seen):
        start = max(int(journeys.start_ns[number, row]) - began_ns, at)
        if place and seen[place - 1] == number - 1 and start > at:
            yield WAITS[direction][number - 1], at, start
        at = max(int(journeys.end_ns[number, row]) - began_ns, start)
        yield STAGES[direction][number], start, at
