"""The offset between two clocks: the truth is always within what is stated, and no more is stated than is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.two_ends import Clock
from wgprof.analysis.hull import LowerHull
from wgprof.analysis.offset import (
    BENT,
    DECIDED,
    LONGEST_WINDOW_NS,
    MAX_DRIFT,
    ONE_WAY,
    Crossings,
    Offset,
    estimate_offset,
)
from wgprof.analysis.tables import IntArray

S = 1_000_000_000


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=1, max_size=200))
def test_a_hull_has_all_points_above_it_and_touches_one(points: list[tuple[int, int]]) -> None:
    x, y = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    hull = LowerHull(x, y)
    for slope in (-1e4, -3.0, -0.5, 0.0, 0.1, 7.0, 1e4):
        assert np.isclose(hull.intercept(np.array([slope]))[0], np.min(y - slope * x), rtol=1e-12, atol=1e-9)


def test_a_hull_of_more_points_than_bins_is_exact() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 6e10, 50_000)
    y = rng.exponential(1e5, x.size) + 1e-4 * x + 1e-15 * (x - 3e10) ** 2
    hull = LowerHull(x, y)
    slopes = np.linspace(-1e-3, 1e-3, 301)
    assert np.allclose(hull.intercept(slopes), [np.min(y - slope * x) for slope in slopes], rtol=1e-12, atol=1e-3)


@dataclass(frozen=True)
class Traffic:
    """Packets of both directions: when they were sent, in true time, and how long they took."""

    sent_ns: tuple[IntArray, IntArray]
    delay_ns: tuple[IntArray, IntArray]

    def crossings(self, second: Clock) -> tuple[Crossings, Crossings]:
        """As both ends see them; the first end's clock shows the true time."""
        (forth, back), (slow, late) = self.sent_ns, self.delay_ns
        order = np.argsort(back + late)
        return (
            Crossings(forth, second.read(forth + slow) - forth),
            Crossings((back + late)[order], (second.read(back) - (back + late))[order]),
        )

    def estimate(self, second: Clock) -> Offset:
        return estimate_offset(*self.crossings(second))


@st.composite
def traffic(draw: st.DrawFn, length_s: int = 20) -> Traffic:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sent, delays = [], []
    for _ in range(2):
        count = draw(st.sampled_from([1, 2, 5, 50, 3000]))
        least_ns, scale_ns = draw(st.integers(0, 50_000_000)), draw(st.sampled_from([0, 1_000, 100_000, 10_000_000]))
        begin, end = sorted(draw(st.tuples(st.integers(0, length_s), st.integers(0, length_s))))
        sent.append(7 * S + np.sort(rng.integers(begin * S, end * S + 1, count)))
        delays.append(least_ns + rng.exponential(scale_ns, count).astype(np.int64))
    return Traffic((sent[0], sent[1]), (delays[0], delays[1]))


clocks = st.builds(
    Clock,
    st.integers(-(10**17), 10**17),
    st.floats(-100e-6, 100e-6),
    st.integers(0, 30 * S),
)


def truth_ns(second: Clock, at_ns: IntArray) -> IntArray:
    return second.read(at_ns) - at_ns


@settings(deadline=None)
@given(traffic(), clocks)
def test_the_truth_is_within_the_uncertainty_at_any_time(packets: Traffic, second: Clock) -> None:
    offset = packets.estimate(second)
    (window,) = offset.windows
    assert window.state == DECIDED
    at_ns = np.linspace(0, 60 * S, 1001).astype(np.int64)  # also long before and after the packets
    middle_ns, half_ns, decided = offset.middle_ns(at_ns)
    assert decided.all()
    assert (np.abs(middle_ns - truth_ns(second, at_ns)) <= half_ns).all()
    assert window.drift_ppm is not None and window.drift_uncertainty_ppm is not None
    assert abs(window.drift_ppm - second.drift * 1e6) <= window.drift_uncertainty_ppm + 1e-6


@settings(deadline=None)
@given(traffic(), clocks)
def test_the_uncertainty_is_no_more_than_what_any_two_packets_leave(packets: Traffic, second: Clock) -> None:
    offset = packets.estimate(second)
    at_ns = np.linspace(7 * S, 27 * S, 101).astype(np.int64)
    _, half_ns, _ = offset.middle_ns(at_ns)
    (forth, back), (slow, late) = packets.sent_ns, packets.delay_ns
    for at, half in zip(at_ns, half_ns, strict=True):
        apart = [
            (delay * (1 + 1e-4) + 2 * MAX_DRIFT * np.abs(when - at)).min()
            for when, delay in ((forth, slow), (back + late, late))
        ]
        assert half <= sum(apart) / 2 + 4


@settings(deadline=None)
@given(traffic(), clocks)
def test_moments_of_the_second_clock_are_found_on_the_first(packets: Traffic, second: Clock) -> None:
    offset = packets.estimate(second)
    at_ns = np.linspace(7 * S, 27 * S, 101).astype(np.int64)
    found_ns = offset.on_first_ns(second.read(at_ns))
    _, half_ns, _ = offset.middle_ns(found_ns)
    assert (np.abs(found_ns - at_ns) <= half_ns / (1 - MAX_DRIFT) + 1).all()
    assert (np.abs(offset.on_second_ns(found_ns) - second.read(at_ns)) <= 2).all()


def steady(length_s: int, every_ns: int = 10_000_000, least_ns: int = 30_000) -> Traffic:
    rng = np.random.default_rng(length_s)
    sent = np.arange(0, length_s * S, every_ns, dtype=np.int64)
    delays = tuple(least_ns + rng.exponential(200_000, sent.size).astype(np.int64) for _ in range(2))
    return Traffic((sent, sent + every_ns // 2), (delays[0], delays[1]))


def test_dense_traffic_leaves_half_the_least_round_trip() -> None:
    window = steady(20).estimate(Clock(5 * S, 50e-6)).windows[0]
    assert window.uncertainty_ns is not None and 30_000 <= window.uncertainty_ns < 40_000
    assert window.drift_ppm is not None and abs(window.drift_ppm - 50) < 2


def test_an_asymmetric_network_is_inside_the_uncertainty_and_not_seen() -> None:
    packets = steady(20)
    slower = Traffic(packets.sent_ns, (packets.delay_ns[0] + 400_000, packets.delay_ns[1]))
    window = slower.estimate(Clock()).windows[0]
    assert window.offset_ns is not None and window.uncertainty_ns is not None
    assert abs(window.offset_ns - 200_000) < 10_000  # half of what cannot be seen, wrongly
    assert abs(window.offset_ns) <= window.uncertainty_ns


def test_one_direction_gives_one_bound_and_no_estimate() -> None:
    second = Clock(3 * S, 50e-6)
    forth, back = steady(5).crossings(second)
    nothing = Crossings(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    (only_forth,) = estimate_offset(forth, nothing).windows
    (only_back,) = estimate_offset(nothing, back).windows
    assert only_forth.state == only_back.state == ONE_WAY
    assert only_forth.offset_ns is None and only_back.offset_ns is None
    assert only_forth.at_least_ns is None and only_back.at_most_ns is None
    assert only_forth.at_most_ns is not None and only_back.at_least_ns is not None
    assert only_back.at_least_ns <= 3 * S + 50e-6 * 5 * S and only_forth.at_most_ns >= 3 * S
    assert not estimate_offset(forth, nothing).middle_ns(forth.at_ns)[2].any()


def test_a_long_recording_is_cut_into_windows() -> None:
    second = Clock(3 * S, 20e-6)
    offset = steady(200, every_ns=100_000_000).estimate(second)
    assert 4 <= len(offset.windows) <= 5
    assert all(w.end_ns - w.start_ns <= LONGEST_WINDOW_NS + 1 and w.state == DECIDED for w in offset.windows)
    at_ns = np.linspace(0, 200 * S, 999).astype(np.int64)
    middle_ns, half_ns, _ = offset.middle_ns(at_ns)
    assert (np.abs(middle_ns - truth_ns(second, at_ns)) <= half_ns).all()


def test_a_clock_that_was_set_is_decided_only_away_from_the_step() -> None:
    forth, back = steady(20).crossings(Clock(3 * S))
    step_ns = 50_000_000
    forth, back = (Crossings(c.at_ns, c.ahead_ns + np.where(c.at_ns > 7.3 * S, step_ns, 0)) for c in (forth, back))
    offset = estimate_offset(forth, back)
    states = [window.state for window in offset.windows]
    assert states.count(BENT) == 1 and states.count(DECIDED) >= 2
    bent = offset.windows[states.index(BENT)]
    assert bent.start_ns <= 7.3 * S <= bent.end_ns and bent.end_ns - bent.start_ns < 2 * S
    at_ns = np.linspace(0, 20 * S - 1, 999).astype(np.int64)
    middle_ns, half_ns, decided = offset.middle_ns(at_ns)
    truth = 3 * S + np.where(at_ns > 7.3 * S, step_ns, 0)
    assert (np.abs(middle_ns - truth) <= half_ns)[decided].all()


def test_centuries_of_nothing_cost_nothing() -> None:
    forth, back = steady(2).crossings(Clock(3 * S))
    late_ns = 2**62
    forth, back = (
        Crossings(np.append(c.at_ns, c.at_ns + late_ns), np.append(c.ahead_ns, c.ahead_ns)) for c in (forth, back)
    )
    windows = estimate_offset(forth, back).windows
    assert [window.state for window in windows] == [DECIDED, DECIDED]
