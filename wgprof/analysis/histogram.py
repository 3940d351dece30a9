"""Quantiles of the recording's log-linear histograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from wgprof.agent.layout import BUCKETS, DURATION_SHIFT, bucket_bounds
from wgprof.analysis.tables import FloatArray, IntArray, ints
from wgprof.analysis.window import Window
from wgprof.recording.schema import MAX_OBJECTS


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
    """The histograms of a window added up by metric and object, once, for many look-ups.

    Of a recording, which is untrusted, only the metrics asked for and the objects that are there take memory.
    """

    def __init__(self, histograms: pd.DataFrame, window: Window, metrics: Sequence[str]) -> None:
        given = histograms["metric"].astype("category").cat
        wanted = {name: number for number, name in enumerate(metrics)}
        number_of = np.array([wanted.get(str(name), -1) for name in given.categories], dtype=np.int64)
        metric = number_of[given.codes.to_numpy()] if number_of.size else np.zeros(0, dtype=np.int64)
        self._place = np.full(len(metrics) * MAX_OBJECTS, -1, dtype=np.int64)
        self._number = wanted
        columns = [histograms[name].to_numpy() for name in ("t_ns", "object", "bucket", "count")]
        there = np.zeros(self._place.size, dtype=bool)
        for part in _pieces(len(histograms)):
            pair = metric[part] * MAX_OBJECTS + columns[1][part]
            there[pair[metric[part] >= 0]] = True
        self._place[there] = np.arange(np.count_nonzero(there))
        sums = np.zeros(np.count_nonzero(there) * BUCKETS)
        for part in _pieces(len(histograms)):
            t_ns, objects, buckets, counts = (column[part] for column in columns)
            counted = (t_ns >= window.start_ns) & (t_ns < window.end_ns) & (metric[part] >= 0)
            pair = self._place[(metric[part] * MAX_OBJECTS + objects)[counted]]
            where = pair * BUCKETS + buckets[counted].clip(0, BUCKETS - 1)
            # Sums of less than 2^53 are exact as floats.
            sums += np.bincount(where, weights=counts[counted], minlength=sums.size)
        self._counts: IntArray = sums.astype(np.int64).reshape(-1, BUCKETS)

    def of(self, metric: str, number: int | None = None) -> IntArray:
        """The counts of a metric, of one object or of all: an array of BUCKETS."""
        first = self._number[metric] * MAX_OBJECTS
        if number is not None:
            place = self._place[first + number]
            return self._counts[place] if place >= 0 else np.zeros(BUCKETS, dtype=np.int64)
        places = self._place[first : first + MAX_OBJECTS]
        return np.asarray(self._counts[places[places >= 0]].sum(axis=0), dtype=np.int64)


def _pieces(rows: int) -> Iterator[slice]:
    return (slice(begin, begin + _AT_ONCE) for begin in range(0, rows, _AT_ONCE))


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
