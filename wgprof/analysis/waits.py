"""How long packets wait between the stages, from the sampled journeys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.journeys import Journeys, Sampling
from wgprof.analysis.spans import Spans
from wgprof.analysis.tables import DIRECTIONS, WAITS, FloatArray, IntArray
from wgprof.analysis.window import Window


@dataclass(frozen=True)
class Wait:
    """One wait in the window, for one peer or (`object` None) for all of them."""

    direction: str
    wait: str
    object: int | None
    journeys: int
    mean_ns: float | None
    p50_ns: float | None
    p99_ns: float | None
    max_ns: float | None


def wait_rows(journeys: Journeys, sampling: Sampling, window: Window) -> list[Wait]:
    """All waits in order: for each first all peers together, then every peer."""
    rows = []
    for direction in DIRECTIONS:
        for gap in range(len(WAITS[direction])):
            rows.append(_of(journeys, sampling, window, direction, gap, None))
            of_peers = [_of(journeys, sampling, window, direction, gap, p) for p in journeys.peers(direction)]
            rows += [row for row in of_peers if row.journeys]
    return rows


def wait_spans(journeys: Journeys, sampling: Sampling, spans: Spans) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Each wait of all peers by span: the weighted sum of what packets waited, and their weighted number."""
    found = {}
    for direction in DIRECTIONS:
        for gap, wait in enumerate(WAITS[direction]):
            mine = _known(journeys, direction, gap, None)
            span = spans.at(journeys.end_ns[gap, mine])
            mine, span = mine[span >= 0], span[span >= 0]
            weights = sampling.weights(journeys, gap, gap + 1, mine)
            sums = np.bincount(span, weights=journeys.waits_ns(gap, mine) * weights, minlength=len(spans))
            counts = np.bincount(span, weights=weights, minlength=len(spans))
            found[wait] = sums.astype(np.float64), counts.astype(np.float64)
    return found


def _known(journeys: Journeys, direction: str, gap: int, peer: int | None) -> IntArray:
    """The journeys of which a wait is known."""
    rows = journeys.rows_of(direction, None if peer is None else [peer])
    return np.asarray(rows[journeys.seen[gap, rows] & journeys.seen[gap + 1, rows]], dtype=np.int64)


def _of(journeys: Journeys, sampling: Sampling, window: Window, direction: str, gap: int, peer: int | None) -> Wait:
    mine = _known(journeys, direction, gap, peer)
    queued_ns = journeys.end_ns[gap, mine]
    mine = mine[(queued_ns >= window.start_ns) & (queued_ns < window.end_ns)]
    weights = sampling.weights(journeys, gap, gap + 1, mine)
    return _row(direction, WAITS[direction][gap], peer, journeys.waits_ns(gap, mine), weights)


def _row(direction: str, wait: str, number: int | None, values: IntArray, weight: FloatArray) -> Wait:
    if not values.size:
        return Wait(direction, wait, number, 0, None, None, None, None)
    p50, p99 = weighted_quantiles(values, weight, (0.5, 0.99))
    mean = float(np.average(values, weights=weight))
    return Wait(direction, wait, number, int(values.size), mean, p50, p99, float(values.max()))


def weighted_quantiles(values: IntArray, weights: FloatArray, wanted: tuple[float, ...]) -> list[float]:
    """The smallest values at or below which the wanted fractions of the weight lie.  `values` must not be empty."""
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    at = np.searchsorted(running, np.asarray(wanted) * running[-1] * (1 - 1e-12))
    return [float(values[order[min(int(i), order.size - 1)]]) for i in at]
