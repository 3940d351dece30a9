"""Little's law as a test of the recording: L = lambda W (Little 1961).

L, the time-average number in a queue, comes from looking at the queue on a clock; lambda and W
come from counting arrivals and from sampled journeys.  They share no probe and no clock, so their
agreement proves both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.tables import FloatArray

#: Largest accepted difference, as a share of L.
BOUND = 0.10
#: A queue that holds less than this on average is not judged: a few nanoseconds of stamping are then a large share.
LEAST_DEPTH = 1.0
_LEAST_JOURNEYS = 50
_LEAST_BATCHES = 4
#: Where a few bursts make up the whole queue, the batches say little of how sure the figures are: so many must
#: count, and so large a share of them.
_LEAST_EFFECTIVE_BATCHES = 3.0
_LEAST_EFFECTIVE_SHARE = 0.25
#: About 95 %.
_SIGMAS = 2.0


@dataclass(frozen=True)
class Batches:
    """What was seen of one queue, in consecutive batches of time (one element each)."""

    seconds: FloatArray
    depth_sum: FloatArray  # over clock samples
    samples: FloatArray
    accepted: FloatArray  # arrivals that got in
    wait_ns: FloatArray  # sum over sampled journeys, weighted
    journeys: FloatArray  # their number, weighted


@dataclass(frozen=True)
class Little:
    """Little's law on one queue."""

    depth: float  # L
    rate: float  # lambda, per second
    wait_ns: float | None  # W
    product: float | None  # lambda W
    residual: float | None  # (L - lambda W) / L
    residual_interval: float | None  # half width, about 95 %
    verdict: str  # ok, fail or unknown
    reason: str  # why it is unknown, else empty


def little(batches: Batches, journeys: int) -> Little:
    """Judge one queue.  `journeys` is the unweighted number of journeys behind the waits.

    The interval is a delete-one-batch jackknife over the batches (Quenouille 1956), which carries the
    correlation between depth and waits along.  A residual fails only when its whole interval is out of bounds
    and no few bursts decide it.
    """
    depth, rate, wait_ns = _estimate(batches)
    if wait_ns is None:
        return Little(depth, rate, None, None, None, None, "unknown", "no sampled journey passed it")
    product = rate * wait_ns / 1e9
    residual = (depth - product) / depth if depth > 0 else None
    interval = _interval(batches)

    if residual is None or max(depth, product) < LEAST_DEPTH:
        verdict, reason = "unknown", f"held {depth:.2g} on average, too few to tell"
    elif journeys < _LEAST_JOURNEYS:
        verdict, reason = "unknown", f"only {journeys} sampled journeys"
    elif abs(residual) <= BOUND:
        verdict, reason = "ok", ""
    elif interval is None:
        verdict, reason = "unknown", "too short to tell how sure the figures are"
    elif abs(residual) - interval <= BOUND:
        verdict, reason = "unknown", "the interval reaches into the bound"
    elif not _is_even(batches):
        verdict, reason = "unknown", "a few bursts make up the queue, too few to tell"
    else:
        verdict, reason = "fail", ""
    return Little(depth, rate, wait_ns, product, residual, interval, verdict, reason)


def _estimate(batches: Batches) -> tuple[float, float, float | None]:
    samples, seconds, journeys = batches.samples.sum(), batches.seconds.sum(), batches.journeys.sum()
    depth = float(batches.depth_sum.sum() / samples) if samples else 0.0
    rate = float(batches.accepted.sum() / seconds) if seconds else 0.0
    return depth, rate, float(batches.wait_ns.sum() / journeys) if journeys else None


def _is_even(batches: Batches) -> bool:
    """Whether enough batches have a say in the depth and in the waits (Kish's effective sample size, 1965)."""
    least = max(_LEAST_EFFECTIVE_BATCHES, _LEAST_EFFECTIVE_SHARE * batches.seconds.size)
    return all(_effective(values) >= least for values in (batches.depth_sum, batches.wait_ns))


def _effective(values: FloatArray) -> float:
    squares = float(np.sum(values**2))
    return float(np.sum(values)) ** 2 / squares if squares else 0.0


def _interval(batches: Batches) -> float | None:
    """Half width of the residual's interval; None with too few batches."""
    used = np.flatnonzero((batches.samples > 0) & (batches.seconds > 0))
    if used.size < _LEAST_BATCHES:
        return None
    # What is left of each sum without each of the batches.
    seconds, depth_sum, samples, accepted, wait_ns, journeys = (
        values.sum() - values[used]
        for values in (batches.seconds, batches.depth_sum, batches.samples, batches.accepted, batches.wait_ns,
                       batches.journeys)
    )  # fmt: skip
    # Journeys weigh at least one: less is what rounding leaves of none.
    if journeys.min() < 0.5 or depth_sum.min() <= 0:
        return None
    depth = depth_sum / samples
    residuals = (depth - accepted / seconds * wait_ns / journeys / 1e9) / depth
    spread = residuals - residuals.mean()
    return float(_SIGMAS * np.sqrt((used.size - 1) / used.size * np.sum(spread**2)))
