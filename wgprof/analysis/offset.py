"""The offset between two machines' clocks, bounded by the packets that went between them.

Let `a` be a moment on the first machine's clock and a + o(a) the same moment on the second's.  A
packet is never received before it was sent, and a clock never runs backwards, so

    sent by the first at a, received by the second at b:      o(a) <= b - a
    sent by the second at b, received by the first at a:      o(a) >= b - a

Nothing else is needed when o does not change: it lies between the largest of the lower and the
smallest of the upper bounds, an interval as long as the two smallest delays together, the least round
trip.  Its middle is NTP's estimate (Mills, RFC 5905, section 8), exact if both smallest delays are
equal.  Whether they are cannot be seen from the ends, so half the interval is the uncertainty.

Clocks also drift.  Within a window o is taken to be a straight line, of which all packets must
leave room: under every upper and above every lower bound (Moon, Skelly and Towsley, INFOCOM 1999;
by convex hulls: Zhang, Liu and Xia, INFOCOM 2002).  The lines that are possible make a convex
polygon of (offset, slope).  At each moment the offset lies between the lowest and the highest of
them; the estimate is the middle, the uncertainty half the distance.  If there is no such line the
window is halved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from wgprof.analysis.hull import LowerHull
from wgprof.analysis.tables import BoolArray, FloatArray, IntArray

#: The kernel lets nobody steer a clock by more than this (MAXFREQ, include/linux/timex.h), and quartz is better.
#: Two clocks may run apart twice as fast.
MAX_DRIFT = 2 * 500e-6
#: A steered clock is not straight for long.
LONGEST_WINDOW_NS = 60_000_000_000
_SHORTEST_WINDOW_NS = 1_000_000_000
#: Times are whole nanoseconds.
_ROUNDING_NS = 1.0

DECIDED, ONE_WAY, BENT = "decided", "one direction only", "no straight line"


@dataclass(frozen=True)
class ClockWindow:
    """What is known of the second clock minus the first between two moments of the first clock.

    `offset_ns` and `uncertainty_ns` are those of the middle of the window, `worst_ns` is the largest uncertainty in
    it.  When the window is not decided, `at_least_ns` or `at_most_ns` is the one bound that the fastest packet sets,
    for the moment when it passed.
    """

    start_ns: int
    end_ns: int
    state: str
    packets_to_second: int
    packets_to_first: int
    offset_ns: int | None = None
    uncertainty_ns: float | None = None
    worst_ns: float | None = None
    drift_ppm: float | None = None
    drift_uncertainty_ppm: float | None = None
    at_least_ns: int | None = None
    at_most_ns: int | None = None


@dataclass(frozen=True)
class Crossings:
    """Packets of one direction: when they passed, on the first machine's clock, and the second's time minus that.

    Sorted by `at_ns`.
    """

    at_ns: IntArray
    ahead_ns: IntArray

    def within(self, start_ns: int, end_ns: int) -> Crossings:
        """Those from `start_ns` on and before `end_ns`."""
        inside = slice(*np.searchsorted(self.at_ns, (start_ns, end_ns)))
        return Crossings(self.at_ns[inside], self.ahead_ns[inside])

    def __len__(self) -> int:
        return int(self.at_ns.size)


class Corridor:
    """All straight lines that a window's packets leave room for; `possible` says whether there is one."""

    def __init__(self, to_second: Crossings, to_first: Crossings) -> None:
        # Small numbers keep their nanoseconds in floating point; an offset may be the uptime of a machine.
        both_ns = np.concatenate([to_second.at_ns, to_first.at_ns])
        self._origin_ns = (int(both_ns.min()) + int(both_ns.max())) // 2
        self._base_ns = int(to_second.ahead_ns.min())
        over = LowerHull(*self._local(to_second))
        at, ahead = self._local(to_first)
        under = LowerHull(at, -ahead)
        slopes = np.concatenate([over.slopes, -under.slopes, [-MAX_DRIFT, 0.0, MAX_DRIFT]])
        slopes = np.unique(slopes[np.abs(slopes) <= MAX_DRIFT])
        room = over.intercept(slopes) + under.intercept(-slopes) + 2 * _ROUNDING_NS
        self.possible = bool(room.max() >= 0)
        if not self.possible:
            return
        slopes = _where_room(slopes, room)
        self.slopes = float(slopes[0]), float(slopes[-1])
        # The corners of the polygon.  By duality a highest line at a moment is again a question to a hull.
        self._highest = LowerHull(slopes, -over.intercept(slopes) - _ROUNDING_NS)
        self._lowest = LowerHull(slopes, -under.intercept(-slopes) - _ROUNDING_NS)

    def between_ns(self, at_ns: IntArray) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest offset possible at moments of the first clock, less `base_ns`."""
        at = (at_ns - self._origin_ns).astype(np.float64)
        return self._lowest.intercept(-at), -self._highest.intercept(at)

    @property
    def base_ns(self) -> int:
        return self._base_ns

    def _local(self, crossings: Crossings) -> tuple[FloatArray, FloatArray]:
        at, ahead = crossings.at_ns - self._origin_ns, crossings.ahead_ns - self._base_ns
        return at.astype(np.float64), ahead.astype(np.float64)


def _where_room(slopes: FloatArray, room: FloatArray) -> FloatArray:
    """The slopes at which there is room and, between them and the next, where it ends; `room` is concave."""
    good = np.flatnonzero(room >= 0)
    first, last = int(good[0]), int(good[-1])
    found = list(slopes[first : last + 1])
    for inside, outside in ((first, first - 1), (last, last + 1)):
        if 0 <= outside < slopes.size and room[inside] > 0:
            share = room[inside] / (room[inside] - room[outside])
            found.append(slopes[inside] + share * (slopes[outside] - slopes[inside]))
    return np.unique(found)


class Offset:
    """The second clock minus the first, over the time of the first."""

    def __init__(self, windows: list[ClockWindow], corridors: list[Corridor | None]) -> None:
        self.windows = windows
        self._corridors = corridors
        self._starts = np.array([window.start_ns for window in windows], dtype=np.int64)
        self._anywhere_ns = int(self.middle_ns(self._starts[:1])[0].sum())

    def middle_ns(self, at_ns: IntArray) -> tuple[IntArray, FloatArray, BoolArray]:
        """Estimate, uncertainty, and whether the window is decided.  If not, the estimate is the one bound there is."""
        moments = at_ns.ravel()
        middle, half = np.zeros(moments.size, dtype=np.int64), np.full(moments.size, np.inf)
        found = np.clip(np.searchsorted(self._starts, moments, side="right") - 1, 0, None)
        order = np.argsort(found, kind="stable")
        edges = np.searchsorted(found[order], np.arange(len(self.windows) + 1))
        for window, corridor, edge in zip(self.windows, self._corridors, pairwise(edges), strict=True):
            here = order[slice(*edge)]
            if corridor is not None:
                low, high = corridor.between_ns(moments[here])
                middle[here] = corridor.base_ns + np.rint((low + high) / 2).astype(np.int64)
                half[here] = (high - low) / 2 + _ROUNDING_NS
            else:
                bound = window.at_most_ns if window.at_most_ns is not None else window.at_least_ns
                middle[here] = bound or 0
        shape = at_ns.shape
        return middle.reshape(shape), half.reshape(shape), np.isfinite(half).reshape(shape)

    def on_first_ns(self, second_ns: IntArray) -> IntArray:
        """Moments of the second clock on the first."""
        first_ns = second_ns - self._anywhere_ns
        for _ in range(4):  # each leaves MAX_DRIFT of the error at most
            first_ns = second_ns - self.middle_ns(first_ns)[0]
        return first_ns

    def on_second_ns(self, first_ns: IntArray) -> IntArray:
        """Moments of the first clock on the second."""
        return first_ns + self.middle_ns(first_ns)[0]


class SameClock(Offset):
    """Both ends are on one machine: the offset is zero, exactly."""

    def __init__(self) -> None:
        super().__init__([], [])

    def middle_ns(self, at_ns: IntArray) -> tuple[IntArray, FloatArray, BoolArray]:
        return np.zeros(at_ns.shape, dtype=np.int64), np.zeros(at_ns.shape), np.ones(at_ns.shape, dtype=bool)

    def on_first_ns(self, second_ns: IntArray) -> IntArray:
        return second_ns

    def on_second_ns(self, first_ns: IntArray) -> IntArray:
        return first_ns


def estimate_offset(to_second: Crossings, to_first: Crossings) -> Offset:
    """Bound the offset by the packets of both directions, of which at least one must have some."""
    both_ns = np.concatenate([to_second.at_ns, to_first.at_ns])
    start_ns, end_ns = int(both_ns.min()), int(both_ns.max()) + 1
    pieces = -(-(end_ns - start_ns) // LONGEST_WINDOW_NS)
    length_ns = -(-(end_ns - start_ns) // pieces)
    windows: list[ClockWindow] = []
    corridors: list[Corridor | None] = []
    for piece in np.unique((both_ns - start_ns) // length_ns).tolist():  # a damaged file may have centuries of nothing
        left = start_ns + piece * length_ns
        for window, corridor in _windows(to_second, to_first, left, left + length_ns):
            windows.append(window)
            corridors.append(corridor)
    return Offset(windows, corridors)


def _windows(
    to_second: Crossings, to_first: Crossings, start_ns: int, end_ns: int
) -> list[tuple[ClockWindow, Corridor | None]]:
    to_second, to_first = to_second.within(start_ns, end_ns), to_first.within(start_ns, end_ns)
    if not len(to_second) and not len(to_first):
        return []
    window = ClockWindow(start_ns, end_ns, ONE_WAY, len(to_second), len(to_first))
    if not len(to_second):
        return [(replace(window, at_least_ns=int(to_first.ahead_ns.max())), None)]
    if not len(to_first):
        return [(replace(window, at_most_ns=int(to_second.ahead_ns.min())), None)]
    corridor = Corridor(to_second, to_first)
    if corridor.possible:
        return [(_decided(window, corridor), corridor)]
    middle_ns = (start_ns + end_ns) // 2
    if end_ns - start_ns < 2 * _SHORTEST_WINDOW_NS:
        return [(replace(window, state=BENT, at_most_ns=int(to_second.ahead_ns.min())), None)]
    return [
        *_windows(to_second, to_first, start_ns, middle_ns),
        *_windows(to_second, to_first, middle_ns, end_ns),
    ]


def _decided(window: ClockWindow, corridor: Corridor) -> ClockWindow:
    moments = np.array([window.start_ns, (window.start_ns + window.end_ns) // 2, window.end_ns - 1])
    low, high = corridor.between_ns(moments)
    half = (high - low) / 2 + _ROUNDING_NS
    slowest, fastest = corridor.slopes
    return replace(
        window,
        state=DECIDED,
        offset_ns=corridor.base_ns + round(float(low[1] + high[1]) / 2),
        uncertainty_ns=float(half[1]),
        worst_ns=float(half.max()),  # highest minus lowest is convex in time
        drift_ppm=(slowest + fastest) / 2 * 1e6,
        drift_uncertainty_ppm=(fastest - slowest) / 2 * 1e6,
    )
