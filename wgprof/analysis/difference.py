"""What differs between two recordings, and how sure that is.

Second i of one recording's traffic is paired with second i of the other's, which takes out what all recordings have in
common: slow start, warming up.  The differences of the pairs are judged by the sign-flip randomisation test (Fisher,
The Design of Experiments, 1935, ch. 3; Pitman 1937): if nothing differed, each difference could as well have had the
other sign.  Of many figures some would differ by chance, so the rate of false discoveries is held at 5 % (Benjamini and
Hochberg 1995).  Intervals are those of the paired t test (Student 1908).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wgprof.analysis.estimate import LEAST_SPANS, Estimate, student
from wgprof.analysis.series import Series
from wgprof.analysis.tables import FloatArray

CHANGED, SAME, OPEN = "changed", "same", "open"
FALSE_DISCOVERIES = 0.05
#: Up to so many pairs every combination of signs is tried, beyond that so many random ones.
_ALL_SIGNS = 14
_RANDOM_SIGNS = 20_000
_SEED = 1935


@dataclass(frozen=True)
class Difference:
    """A figure in both recordings; `change`, `low` and `high` are second minus first, in its unit."""

    group: str
    name: str
    unit: str
    first: Estimate | None
    second: Estimate | None
    pairs: int
    base: float | None = None  # mean of the first over the paired seconds, which `change` is to be compared with
    change: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: str = OPEN  # changed; same: no difference larger than `within`; open: too few pairs, or in one alone

    @property
    def relative(self) -> float | None:
        """The change as a share of the first."""
        return self.share_of_base(self.change)

    def share_of_base(self, value: float | None) -> float | None:
        """A value as a share of the first; None where that is zero or not known."""
        return None if value is None or not self.base else value / self.base

    @property
    def within(self) -> float | None:
        """The largest difference that the interval allows."""
        return None if self.low is None or self.high is None else max(abs(self.low), abs(self.high))


def differences(first: Sequence[Series], second: Sequence[Series]) -> list[Difference]:
    """Every figure that at least one recording has, in the order of the first, then of the second."""
    names = list(dict.fromkeys((row.group, row.name, row.unit) for row in (*first, *second)))
    of = [{(row.group, row.name, row.unit): row for row in rows} for rows in (first, second)]
    found = [_difference(name, of[0].get(name), of[1].get(name)) for name in names]
    return _judged(found)


def _difference(name: tuple[str, str, str], first: Series | None, second: Series | None) -> Difference:
    group, figure, unit = name
    before, after = (None if row is None else row.estimate for row in (first, second))
    if first is None or second is None:
        return Difference(group, figure, unit, before, after, 0)
    count = min(first.above.size, second.above.size)
    earlier, later = first.values[:count], second.values[:count]
    known = np.isfinite(earlier) & np.isfinite(later)
    pairs = (later - earlier)[known]
    number = int(pairs.size)
    if number < LEAST_SPANS:
        return Difference(group, figure, unit, before, after, number)
    mean = float(pairs.mean())
    half = student(number - 1) * float(pairs.std(ddof=1)) / number**0.5
    base, p = float(earlier[known].mean()), sign_flip(pairs)
    return Difference(group, figure, unit, before, after, number, base, mean, mean - half, mean + half, p)


def sign_flip(pairs: FloatArray) -> float:
    """The p-value of the sign-flip test that the mean of `pairs` is zero, two-sided.  Exact for few pairs."""
    moved = pairs[pairs != 0]
    if not moved.size:
        return 1.0
    observed = abs(moved.sum()) * (1 - 1e-12)  # what only rounding makes smaller counts as equal
    if moved.size <= _ALL_SIGNS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=moved.size)))
        return float(np.mean(np.abs(signs @ moved) >= observed))
    rng = np.random.default_rng(_SEED)
    signs = rng.integers(0, 2, (_RANDOM_SIGNS, moved.size)) * 2.0 - 1.0
    # The observed signs are one of the possible ones.
    return float((np.count_nonzero(np.abs(signs @ moved) >= observed) + 1) / (_RANDOM_SIGNS + 1))


def _judged(rows: Sequence[Difference]) -> list[Difference]:
    """With verdicts: which differences are discoveries."""
    tested = sorted((row.p, at) for at, row in enumerate(rows) if row.p is not None)
    accepted = 0
    for rank, (p, _) in enumerate(tested, 1):
        if p <= FALSE_DISCOVERIES * rank / len(tested):
            accepted = rank
    changed = {at for _, at in tested[:accepted]}
    verdicts = [OPEN if row.p is None else CHANGED if at in changed else SAME for at, row in enumerate(rows)]
    return [replace(row, verdict=verdict) for row, verdict in zip(rows, verdicts, strict=True)]
