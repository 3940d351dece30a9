"""The sampler keeps to its budget, and a coarser N takes a part of what a finer one took."""

from __future__ import annotations

import mmap
import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.simulated import rows
from wgprof.agent.maps import PAGE, SAMPLING, Control
from wgprof.agent.sampling import COARSEST, INITIAL, RULE, Sampler, budget, choose, distances, sample_below
from wgprof.analysis.journeys import Sampling

SECOND = 1_000_000_000


def golden() -> Sampling:
    return Sampling(rows("intervals", [{"t_ns": 0, "dt_ns": SECOND, "sample_every": 1}]), RULE)


@given(st.floats(0, 1e12), st.integers(0, 22))
def test_choice_keeps_to_the_budget_and_is_no_coarser_than_needed(rate: float, before: int) -> None:
    """Whatever N was before."""
    every = choose(rate, 1 << before)
    assert every == choose(rate)
    if every < COARSEST:
        assert rate / every <= budget(every)
    if every > 1:
        assert rate / (every // 2) > budget(every // 2)


def test_where_packets_are_few_a_part_of_them_is_enough() -> None:
    """24,000 steps a second, as the lab's one tunnel takes: 3,000 become events; a gateway's million, 8,000."""
    assert [choose(rate) for rate in (1_000, 5_000, 10_000, 24_000, 80_000, 1e6)] == [1, 1, 2, 8, 8, 128]


@given(st.integers(1, COARSEST), st.integers(1, COARSEST), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_coarser_n_takes_a_part_of_what_a_finer_one_took(one: int, other: int, nonces: list[int]) -> None:
    nonce = np.array(nonces, dtype=np.uint64)
    taken = [golden().takes(nonce, every) for every in sorted((one, other))]
    assert not np.any(taken[1] & ~taken[0])


@pytest.mark.parametrize("every", [1, 2, 3, 7, 8, 32, 100])
@pytest.mark.parametrize("turn", [1, 2, 3, 4, 6, 8, 12, 21, 34, 64])
def test_one_in_n_is_taken_of_every_cpu_that_work_goes_round(every: int, turn: int) -> None:
    """Taking nonces that N divides took, with N and the CPUs both even, packets of half the CPUs only."""
    nonce = np.arange(1000 * every * turn, dtype=np.uint64)
    taken = nonce[golden().takes(nonce, every)]
    shares = np.bincount((taken % np.uint64(turn)).astype(np.int64), minlength=turn) / 1000
    assert np.all(np.abs(shares - 1) < 0.05), shares


@given(st.integers(0, 2**63), st.sampled_from([1, 2, 4, 8, 64]))
def test_samples_are_evenly_spread(begin: int, every: int) -> None:
    taken = golden().takes(begin + np.arange(100 * every, dtype=np.uint64), every)
    gaps = np.diff(np.flatnonzero(taken))
    assert 90 <= taken.sum() <= 110
    assert gaps.max() <= 3 * every


@given(st.one_of(st.integers(1, 300), st.sampled_from([1 << k for k in range(9)])), st.integers(0, 2**40))
def test_the_distances_lead_from_each_sample_to_the_next(every: int, begin: int) -> None:
    """As next_sampled of probes/queues.h."""
    nonces = begin + np.arange(40 * every, dtype=np.uint64)
    taken = nonces[golden().takes(nonces, every)].tolist()
    up, up_by, down, down_by = distances(every)
    for nonce, follower in pairwise(taken):
        multiple = nonce * 2654435769 % 2**32
        if multiple + up_by < sample_below(every):
            assert follower == nonce + up
        else:
            assert follower == nonce + (down if multiple >= down_by else up + down)


@given(st.integers(1, COARSEST), st.integers(0, 2**64 - 1))
def test_the_agent_and_the_analysis_agree(every: int, nonce: int) -> None:
    by_agent = (nonce * 2654435769) % 2**32 < sample_below(every)  # as is_below of probes/state.h
    assert golden().takes(np.array([nonce], dtype=np.uint64), every)[0] == by_agent
    assert sample_below(0) == 0


def test_a_new_n_is_put_in_force_as_a_whole() -> None:
    """A hand-off reads bound and distances while the agent may stand between any two of its writes."""
    fd = os.memfd_create("control")
    os.truncate(fd, PAGE)
    control = Control(fd, [])
    with mmap.mmap(fd, PAGE) as memory:
        for every, before in ((32, 0), (4, 32), (1, 4), (0, 1)):
            control.sample_every(every)
            turn = memory[2 * SAMPLING.size]
            now, then = (SAMPLING.unpack_from(memory, SAMPLING.size * which) for which in (turn, 1 - turn))
            assert now == (sample_below(every), *distances(max(every, 1)))
            assert then[0] == sample_below(before), "who has begun with the one before goes on with it"
    os.close(fd)


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
