"""How long packets take from the first stage of a direction to the end of its last, and where the time goes.

From journeys that were seen at all three stages.  Each stands for as many packets as the sampling says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.held import last_of_those_before, sessions
from wgprof.analysis.journeys import Journeys, Sampling
from wgprof.analysis.tables import STAGES, WAITS, FloatArray, IntArray

_ENTERED, _CRYPTED, _LEFT = 0, 1, 2


def steps_of(direction: str) -> tuple[str, ...]:
    """Stages and waits in the order in which a packet meets them."""
    (first, second, third), (ring, queue) = STAGES[direction], WAITS[direction]
    return first, ring, second, queue, third


@dataclass(frozen=True)
class Latency:
    """Complete journeys of a direction, one element each, in the order of their beginning."""

    direction: str
    rows: IntArray  # positions in `Journeys`
    began_ns: IntArray
    steps_ns: IntArray  # a row for each of `steps_of`
    weights: FloatArray  # packets it stands for

    def __len__(self) -> int:
        return int(self.rows.size)

    @property
    def total_ns(self) -> IntArray:
        """From end to end."""
        return np.asarray(self.steps_ns.sum(axis=0), dtype=np.int64)

    def quantiles(self, values: IntArray, wanted: FloatArray) -> FloatArray:
        """The weighted quantiles of one value a journey."""
        order = np.argsort(values)
        running = np.cumsum(self.weights[order])
        at = np.searchsorted(running, wanted * running[-1] * (1 - 1e-12))
        return np.asarray(values[order[np.minimum(at, order.size - 1)]], dtype=np.float64)

    def between(self, low: float, high: float) -> FloatArray:
        """The mean of each step over the packets whose total lies between two fractions, the fastest first."""
        order = np.argsort(self.total_ns, kind="stable")
        running = np.cumsum(self.weights[order])
        first = int(np.searchsorted(running, low * running[-1]))
        last = int(np.searchsorted(running, high * running[-1] * (1 - 1e-12)))
        chosen = order[min(first, order.size - 1) : max(last, first) + 1]
        return np.asarray(np.average(self.steps_ns[:, chosen], axis=1, weights=self.weights[chosen]))


def latency_of(journeys: Journeys, sampling: Sampling, direction: str) -> Latency:
    """All complete journeys of a direction."""
    rows = journeys.rows_of(direction)
    rows = rows[journeys.seen[:, rows].all(axis=0)]
    rows = rows[np.argsort(journeys.start_ns[_ENTERED, rows], kind="stable")]
    service = journeys.end_ns[:, rows] - journeys.start_ns[:, rows]
    steps = [service[0], journeys.waits_ns(0, rows), service[1], journeys.waits_ns(1, rows), service[2]]
    weights = sampling.weights(journeys, _ENTERED, _LEFT, rows)
    return Latency(direction, rows, journeys.start_ns[_ENTERED, rows], np.maximum(np.stack(steps), 0), weights)


@dataclass(frozen=True)
class Blocked:
    """What a packet's wait for its last stage was for: an earlier packet that was not ready yet."""

    holder: IntArray  # position in `Journeys` of the one that held it; -1: none that was sampled
    until_ns: IntArray  # when that one was ready


def blocked_by(journeys: Journeys, latency: Latency) -> Blocked:
    """For each journey of `latency` the sampled packet before it in its session that was ready last."""
    mine = latency.rows
    if not mine.size:
        return Blocked(mine, mine)
    order = np.lexsort((journeys.nonce[mine], journeys.key_index[mine], journeys.object[mine]))
    ready = journeys.end_ns[_CRYPTED, mine[order]]
    before = last_of_those_before(ready, sessions(journeys, mine[order]))
    holds = (before >= 0) & (ready[before] > ready)
    holder, until = np.full(mine.size, -1, dtype=np.int64), np.zeros(mine.size, dtype=np.int64)
    holder[order] = np.where(holds, mine[order][before], -1)
    until[order] = np.where(holds, ready[before], 0)
    return Blocked(holder, until)
