"""The sampler keeps to its budget, and a coarser N takes a part of what a finer one took."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wgprof.agent.sampling import BUDGET_EVENTS_PER_S, COARSEST, INITIAL, Sampler, choose

SECOND = 1_000_000_000


@given(st.floats(0, 1e12))
def test_choice_keeps_to_the_budget_and_is_no_coarser_than_needed(rate: float) -> None:
    every = choose(rate)
    if every < COARSEST:
        assert rate / every <= BUDGET_EVENTS_PER_S
    if every > 7:
        assert rate / (every // 2) > BUDGET_EVENTS_PER_S


def test_choices_divide_one_another() -> None:
    ladder = sorted({choose(10.0**exponent) for exponent in range(12)})
    assert all(coarse % fine == 0 for fine, coarse in pairwise(ladder))


def test_a_fixed_n_stays() -> None:
    sampler = Sampler(5)
    assert sampler.every == 5
    assert sampler.next(0, SECOND) is None
    assert sampler.next(10**9, 2 * SECOND) is None


def test_silence_changes_nothing() -> None:
    sampler = Sampler(0)
    assert all(sampler.next(100, i * SECOND) is None for i in range(1, 10))
    assert sampler.every == INITIAL


def test_a_flood_makes_it_coarser_at_once_and_finer_only_slowly() -> None:
    sampler = Sampler(0)
    sampler.next(0, SECOND)
    coarse = sampler.next(10_000_000, 2 * SECOND)
    assert coarse is not None and coarse > INITIAL
    assert sampler.next(10_001_000, 3 * SECOND) is None, "too soon to become finer"
    finer = sampler.next(10_002_000, 8 * SECOND)
    assert finer is not None and finer < coarse
