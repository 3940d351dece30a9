"""Quantiles of the recording's log-linear histograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wgprof.agent.layout import BUCKETS, DURATION_SHIFT, bucket_bounds
from wgprof.analysis.tables import FloatArray, IntArray, ints


def _representatives() -> FloatArray:
    """For each bucket the value with the least relative error against both of its bounds."""
    middle = np.zeros(BUCKETS)
    for bucket in range(BUCKETS):
        low, high = bucket_bounds(bucket)
        # A bucket of one integer stands for that integer.
        middle[bucket] = low if high - low == 1 else 2 * low * high / (low + high)
    return middle


REPRESENTATIVE = _representatives()
#: The smallest value above each bucket.
UPPER = np.array([bucket_bounds(bucket)[1] for bucket in range(BUCKETS)], dtype=np.int64)
DURATION_UNIT_NS = 1 << DURATION_SHIFT


def counts_of(histogram: pd.DataFrame) -> IntArray:
    """The rows of one or more histograms added up: an array of BUCKETS counts."""
    counts = np.zeros(BUCKETS, dtype=np.int64)
    np.add.at(counts, ints(histogram, "bucket").clip(0, BUCKETS - 1), ints(histogram, "count"))
    return counts


def quantiles(counts: IntArray, wanted: Sequence[float]) -> list[float | None]:
    """Values at the wanted fractions, in the histogram's own unit; None where nothing was counted."""
    everything = int(counts.sum())
    if everything <= 0:
        return [None for _ in wanted]
    running = np.cumsum(counts)
    ranks = np.clip(np.ceil(np.asarray(wanted) * everything), 1, everything)
    return [float(REPRESENTATIVE[bucket]) for bucket in np.searchsorted(running, ranks)]


def duration_quantiles_ns(counts: IntArray, wanted: Sequence[float]) -> list[float | None]:
    """Quantiles of a histogram of durations, in nanoseconds."""
    return [None if value is None else value * DURATION_UNIT_NS for value in quantiles(counts, wanted)]


def largest(counts: IntArray) -> int:
    """An upper bound of the largest value counted; 0 when nothing was."""
    filled = np.flatnonzero(counts)
    return int(UPPER[filled[-1]] - 1) if filled.size else 0
