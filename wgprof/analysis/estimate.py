"""Figures with intervals, from spans of time.

Packets come in bursts, so single packets are no independent observations.  Spans of a second or
more nearly are: the method of batch means (Conway 1963; Law and Kelton, Simulation Modeling and
Analysis, ch. 9).  A ratio of sums gets its interval from the delete-one jackknife over the spans
(Quenouille 1956), with Student's t for as few spans as there are (Tukey 1958).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.tables import FloatArray

#: With fewer spans there is no interval.
LEAST_SPANS = 5
#: The 97.5 % points of Student's t for 1, 2, .. degrees of freedom; beyond them 1.96 + 2.5 / freedom is within 0.5 %.
_STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; without one, as with few spans, `low` and `high` are None."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0  # spans with something in them

    def scaled(self, factor: float) -> Estimate:
        """The same in another unit; `factor` is positive."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Estimate(self.value * factor, low, high, self.n)

    def within(self, most: float) -> Estimate:
        """The interval without what cannot be: less than nothing of a whole, or more than all of it.

        A value beyond the whole is a fault of the measurement, which must be seen: it stays as it is.
        """
        low = max(self.low, 0.0) if self.low is not None and self.value >= 0 else self.low
        high = min(self.high, most) if self.high is not None and self.value <= most else self.high
        return Estimate(self.value, low, high, self.n)

    def inverse(self, factor: float = 1.0) -> Estimate | None:
        """factor / value; None for zero.  An interval that reaches zero has no upper end."""
        if self.value <= 0:
            return None
        low = None if self.high is None or self.high <= 0 else factor / self.high
        high = None if self.low is None or self.low <= 0 else factor / self.low
        return Estimate(factor / self.value, low if high is not None else None, high, self.n)


def student(freedom: int) -> float:
    """The 97.5 % point of Student's t."""
    return _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 1.96 + 2.5 / freedom


def mean_of(above: FloatArray, below: FloatArray) -> FloatArray:
    """Span by span; nan where there is nothing to divide by."""
    values: FloatArray = np.full(above.size, np.nan)
    np.divide(above, below, out=values, where=below > 0)
    return values


def correlation(first: FloatArray, second: FloatArray) -> tuple[float | None, int]:
    """Rank correlation (Spearman 1904) over the spans in which both are known, and their number; None with too few."""
    known = np.isfinite(first) & np.isfinite(second)
    n = int(np.count_nonzero(known))
    one, other = (pd.Series(values[known]).rank().to_numpy(dtype=np.float64) for values in (first, second))
    if n < LEAST_SPANS or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None, n
    return float(np.corrcoef(one, other)[0, 1]), n


def ratio(above: FloatArray, below: FloatArray) -> Estimate | None:
    """Sum of `above` over sum of `below`, one element a span; None when there is nothing below.

    Spans with nothing below are left out of the interval.  A ratio of what is never negative is never below zero.
    """
    whole = float(below.sum())
    if whole <= 0:
        return None
    value = float(above.sum()) / whole
    used = below > 0
    n = int(np.count_nonzero(used))
    if n < LEAST_SPANS:
        return Estimate(value, n=n)
    without = (above.sum() - above[used]) / (whole - below[used])
    error = float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))
    half = student(n - 1) * error
    low = value - half
    return Estimate(value, max(low, 0.0) if np.all(above >= 0) else low, value + half, n)


def share(part: FloatArray, whole: FloatArray, most: float = 1.0) -> Estimate | None:
    """The ratio of a part to its whole, which is `most` at most: of the time of several CPUs, their number."""
    found = ratio(part, whole)
    return None if found is None else found.within(most)
