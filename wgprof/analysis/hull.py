"""Lower convex hulls of many points, and what lines can lie under them."""

from __future__ import annotations

import numpy as np

from wgprof.analysis.tables import FloatArray, IntArray

_BINS = 1024


class LowerHull:
    """The lower convex hull of at least one point.  Exact: no point lies below it."""

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        order = np.lexsort((y, x))
        x, y = x[order], y[order]
        least = np.append(True, np.diff(x) > 0)  # of points above each other the lowest
        x, y = x[least], y[least]
        corners = _corners(x, y)
        self.x, self.y = x[corners], y[corners]
        self.slopes: FloatArray = np.diff(self.y) / np.diff(self.x)

    def intercept(self, slope: FloatArray) -> FloatArray:
        """The highest `c` for which the line c + slope * x lies under every point, that is min(y - slope * x)."""
        touched = np.searchsorted(self.slopes, slope)
        return self.y[touched] - slope * self.x[touched]


def _corners(x: FloatArray, y: FloatArray) -> IntArray:
    """Which of the points, sorted by x, are corners of the hull.

    The chain is walked in Python over a few points only: the lowest of each bin first, then, until there is none,
    those that lie below the hull found so far.
    """
    bins = np.arange(x.size) * _BINS // x.size
    chosen = np.union1d([0, x.size - 1], _lowest(bins, y))
    while True:
        corners = chosen[_chain(x[chosen].tolist(), y[chosen].tolist())]
        above = y - np.interp(x, x[corners], y[corners])
        above[corners] = 0
        # What is below by rounding alone does not count, or the loop might not end.
        below = np.flatnonzero(above < -1e-9 * (1 + np.abs(y)))
        if not below.size:
            return corners
        chosen = np.union1d(corners, below[_lowest(bins[below], above[below])])


def _lowest(bins: IntArray, y: FloatArray) -> IntArray:
    """The position of the lowest value in each bin; `bins` is sorted."""
    order = np.lexsort((y, bins))
    return np.asarray(order[np.append(True, np.diff(bins[order]) > 0)], dtype=np.int64)


def _chain(x: list[float], y: list[float]) -> list[int]:
    """Andrew's monotone chain (1979): the lower hull of points sorted by x, as positions."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull
