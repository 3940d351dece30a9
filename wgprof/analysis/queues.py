"""Depths, refusals and Little's law of every queue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from wgprof.analysis.histogram import HistogramSums, largest, quantiles
from wgprof.analysis.journeys import Journeys, Sampling
from wgprof.analysis.little import Batches, Little, little
from wgprof.analysis.names import Names
from wgprof.analysis.tables import (
    DIRECTIONS,
    LIMITS,
    RINGS,
    FloatArray,
    IntArray,
    Tables,
    by_object,
    direction_of,
    ints,
    only,
    total,
    within,
)
from wgprof.analysis.window import Window

_BATCH_NS = 1_000_000_000
#: A journey is on the peer queue until its third stage begins, in the ring until its second does.
_LEFT_AT = {"tx-queue": 2, "rx-queue": 2, "encrypt-ring": 1, "decrypt-ring": 1}


@dataclass(frozen=True)
class Queue:
    """One queue of one object in the window."""

    direction: str
    queue: str
    object: int
    unit: str  # what it holds: hand-offs or packets
    limit: int
    depth_mean: float | None  # on the clock
    depth_p99: float | None
    depth_max: int | None  # on the clock, to the resolution of the histogram
    occupied: float | None  # share of the time
    depth_met: float | None  # mean depth an arrival met
    handoffs: int
    packets: int
    refused: int
    refused_packets: int
    law: Little | None


def queue_rows(
    recording: Tables, histograms: HistogramSums, journeys: Journeys, sampling: Sampling, names: Names, window: Window
) -> list[Queue]:
    """Every queue something arrived at or was sampled in, in the order of the path."""
    arrivals, depths = within(recording.table("arrivals"), window), within(recording.table("depths"), window)
    rows = []
    for queue in LIMITS:
        met, seen = only(arrivals, queue=queue), only(depths, queue=queue)
        met_of, seen_of = by_object(met), by_object(seen)
        for number in sorted({*met_of, *seen_of}):
            met_here, seen_here = met_of.get(number, met.iloc[:0]), seen_of.get(number, seen.iloc[:0])
            if not total(met_here, "handoffs") and not total(seen_here, "depth_sum"):
                continue
            law = None
            if queue in _LEFT_AT:
                mine, waited_ns = _journeys_of(queue, number, journeys, names, window)
                weights = sampling.weights(journeys, 0, _LEFT_AT[queue], mine)
                batches = _batches(met_here, seen_here, (journeys.end_ns[0, mine], waited_ns, weights), window)
                law = little(batches, mine.size)
            counts = histograms.of(f"{queue}.depth", number)
            rows.append(replace(_row(queue, number, met_here, seen_here, counts), law=law))
    return rows


def _row(queue: str, number: int, met: pd.DataFrame, seen: pd.DataFrame, counts: IntArray) -> Queue:
    samples, handoffs = total(seen, "samples"), total(met, "handoffs")
    depth_max = largest(counts) if counts.any() else (int(ints(seen, "depth_max").max()) if samples else None)
    direction = direction_of(queue)
    return Queue(
        direction,
        queue,
        number,
        "hand-offs" if queue in ("encrypt-ring", "tx-queue") else "packets",
        LIMITS[queue],
        total(seen, "depth_sum") / samples if samples else None,
        quantiles(counts, (0.99,))[0],
        None if depth_max is None else min(depth_max, max(LIMITS[queue], int(ints(seen, "depth_max").max(initial=0)))),
        total(seen, "occupied") / samples if samples else None,
        total(met, "depth_sum") / handoffs if handoffs else None,
        handoffs,
        total(met, "packets"),
        total(met, "refused"),
        total(met, "refused_packets"),
        None,
    )


def _journeys_of(
    queue: str, number: int, journeys: Journeys, names: Names, window: Window
) -> tuple[IntArray, FloatArray]:
    """Which journeys passed this queue in the window, and each journey's time in it.

    On transmit what queues is a hand-off, represented by the journey of its first segment.
    """
    direction, left_at = direction_of(queue), _LEFT_AT[queue]
    owners = names.peers_of(number) if queue in RINGS.values() else [number]
    mine = journeys.rows_of(direction, owners)
    if direction == DIRECTIONS[0]:
        mine = mine[journeys.head[mine]]
    queued_ns = journeys.end_ns[0, mine]
    passed = journeys.seen[0, mine] & journeys.seen[left_at, mine]
    mine = mine[passed & (queued_ns >= window.start_ns) & (queued_ns < window.end_ns)]
    return mine, np.maximum(journeys.start_ns[left_at, mine] - journeys.end_ns[0, mine], 0).astype(np.float64)


def _batches(
    met: pd.DataFrame, seen: pd.DataFrame, waits: tuple[IntArray, FloatArray, FloatArray], window: Window
) -> Batches:
    """Cut into batches.  `waits`: of each journey when it was queued, how long it waited, and its weight."""
    queued_ns, waited_ns, weights = waits
    length_ns = window.end_ns - window.start_ns
    # Not more batches than rows, however far apart a damaged recording says that these are.
    count = max(1, min(length_ns // _BATCH_NS, len(met) + len(seen)))
    batch_ns = _BATCH_NS if length_ns < 2 * count * _BATCH_NS else length_ns // count

    def summed(t_ns: np.ndarray, values: np.ndarray) -> FloatArray:
        batch = np.clip((t_ns - window.start_ns) // batch_ns, 0, count - 1)
        return np.bincount(batch, weights=values, minlength=count).astype(np.float64)

    seconds = np.full(count, batch_ns / 1e9)
    seconds[-1] = (length_ns - (count - 1) * batch_ns) / 1e9
    return Batches(
        seconds,
        summed(ints(seen, "t_ns"), ints(seen, "depth_sum")),
        summed(ints(seen, "t_ns"), ints(seen, "samples")),
        summed(ints(met, "t_ns"), ints(met, "handoffs") - ints(met, "refused")),
        summed(queued_ns, waited_ns * weights),
        summed(queued_ns, weights),
    )
