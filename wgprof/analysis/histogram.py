"""Quantiles of the recording's log-linear histograms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wgprof.agent.layout import BUCKETS, DURATION_SHIFT, bucket_bounds
from wgprof.analysis.tables import FloatArray, IntArray, ints
from wgprof.analysis.window import Window


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
#: Rows that are added up at once: histograms have millions, and this many stay in a cache.
_AT_ONCE = 1 << 17


def counts_of(histogram: pd.DataFrame) -> IntArray:
    """The rows of one or more histograms added up: an array of BUCKETS counts."""
    counts = np.zeros(BUCKETS, dtype=np.int64)
    np.add.at(counts, ints(histogram, "bucket").clip(0, BUCKETS - 1), ints(histogram, "count"))
    return counts


class HistogramSums:
    """All histograms of a window added up by metric and object, once, for many look-ups."""

    def __init__(self, histograms: pd.DataFrame, window: Window) -> None:
        metrics = histograms["metric"].astype("category").cat
        self._metrics = {str(name): code for code, name in enumerate(metrics.categories)}
        # Objects are the slots of the probes' maps: small numbers.
        self._objects = int(histograms["object"].max()) + 1 if len(histograms) else 0
        sums = np.zeros(len(self._metrics) * self._objects * BUCKETS)
        codes = metrics.codes.to_numpy()
        columns = [histograms[name].to_numpy() for name in ("t_ns", "object", "bucket", "count")]
        for begin in range(0, len(histograms), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            t_ns, objects, buckets, counts = (column[part] for column in columns)
            where = (codes[part].astype(np.int64) * self._objects + objects) * BUCKETS + buckets.clip(0, BUCKETS - 1)
            inside = (t_ns >= window.start_ns) & (t_ns < window.end_ns)
            # Sums of less than 2^53 are exact as floats.
            sums += np.bincount(where, weights=counts * inside, minlength=sums.size)
        self._counts: IntArray = sums.astype(np.int64).reshape(-1, max(self._objects, 1), BUCKETS)

    def of(self, metric: str, number: int | None = None) -> IntArray:
        """The counts of a metric, of one object or of all: an array of BUCKETS."""
        code = self._metrics.get(metric)
        if code is None or (number is not None and number >= self._objects):
            return np.zeros(BUCKETS, dtype=np.int64)
        found = self._counts[code]
        return np.asarray(found.sum(axis=0) if number is None else found[number], dtype=np.int64)


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
