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
    for direction_number, direction in enumerate(DIRECTIONS):
        mine = journeys.direction == direction_number
        for gap, wait in enumerate(WAITS[direction]):
            waited_ns, known = journeys.waits_ns(gap)
            weights = sampling.weights(journeys, gap, gap + 1)
            queued_ns = journeys.end_ns[gap]
            known = known & mine & (queued_ns >= window.start_ns) & (queued_ns < window.end_ns)
            rows.append(_row(direction, wait, None, waited_ns[known], weights[known]))
            for number in np.unique(journeys.object[known]):
                of_peer = known & (journeys.object == number)
                rows.append(_row(direction, wait, int(number), waited_ns[of_peer], weights[of_peer]))
    return rows


def wait_spans(journeys: Journeys, sampling: Sampling, spans: Spans) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Each wait of all peers by span: the weighted sum of what packets waited, and their weighted number."""
    found = {}
    for direction_number, direction in enumerate(DIRECTIONS):
        mine = journeys.direction == direction_number
        for gap, wait in enumerate(WAITS[direction]):
            waited_ns, known = journeys.waits_ns(gap)
            span = spans.at(journeys.end_ns[gap])
            known = known & mine & (span >= 0)
            weights, places = sampling.weights(journeys, gap, gap + 1)[known], span[known]
            sums = np.bincount(places, weights=waited_ns[known] * weights, minlength=len(spans))
            counts = np.bincount(places, weights=weights, minlength=len(spans))
            found[wait] = sums.astype(np.float64), counts.astype(np.float64)
    return found


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
