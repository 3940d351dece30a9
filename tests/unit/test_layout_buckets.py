"""Histogram buckets: number and bounds agree, and a bucket's middle is within 6 % of what is in it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from wgprof.agent.layout import BUCKETS, DURATION_SHIFT, bucket_bounds, bucket_of

_HIGHEST = bucket_bounds(BUCKETS - 1)[1]


@settings(deadline=None)
@given(st.integers(0, _HIGHEST - 1))
@example(7)
@example(8)
@example(15)
@example(16)
@example(_HIGHEST - 1)
def test_a_value_lies_in_its_bucket(value: int) -> None:
    low, high = bucket_bounds(bucket_of(value))
    assert low <= value < high


@settings(deadline=None)
@given(st.integers(8, _HIGHEST - 1))
def test_the_middle_of_a_bucket_is_within_six_percent(value: int) -> None:
    low, high = bucket_bounds(bucket_of(value))
    middle = 2 * low * high / (low + high)
    assert abs(middle - value) <= 0.06 * value


def test_buckets_touch_each_other() -> None:
    bounds = [bucket_bounds(bucket) for bucket in range(BUCKETS)]
    assert bounds[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(bounds))


@settings(deadline=None)
@given(st.integers(_HIGHEST, 2**64 - 1))
def test_the_last_bucket_takes_all_that_is_larger(value: int) -> None:
    assert bucket_of(value) == BUCKETS - 1


def test_durations_reach_a_quarter_of_a_second() -> None:
    assert _HIGHEST << DURATION_SHIFT > 250_000_000
