"""The arithmetic of the savings benchmark: what was not left over, which boots pair, what a ratio implies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost import Cost, instructions
from bench.load import Report
from bench.savings.compare import RECEIVE, Case, cipher, instructions_of, paired
from bench.savings.costs import BOTH, TRANSMIT, Sample
from bench.savings.implied import XEON_2014, Native, parts, ratio_for


def report(elapsed_ns: int, soaked: int) -> Report:
    return Report(elapsed_ns, soaked, 0, 0, 0, 0, 0, (0, 0), (0, 0))


def test_an_idle_machine_costs_nothing() -> None:
    idle = report(1_000_000, 500)
    assert instructions(report(2_000_000, 1000), idle) == 0


def test_rounds_that_are_missing_are_instructions() -> None:
    # 400 of 1000 rounds of 2000 ns are missing: 800,000 ns, at 4 ns an instruction
    assert instructions(report(2_000_000, 600), report(1_000_000, 500)) == 200_000


def sample(boot: int, side: str, count: float, has_cipher: bool = False) -> Sample:
    return Sample(boot, has_cipher, "vanilla", 1, "UDP", side, Cost(count, 0.0, 100, 0))


def test_the_receive_side_is_what_transmit_does_not_take_in_the_same_boot() -> None:
    samples = [sample(1, BOTH, 30.0), sample(1, TRANSMIT, 10.0), sample(2, BOTH, 40.0), sample(3, TRANSMIT, 5.0)]
    assert instructions_of(samples, Case(False, 1, "UDP", RECEIVE), "vanilla") == {1: 20.0}
    assert instructions_of(samples, Case(False, 1, "UDP", RECEIVE), "inline") == {}


def test_only_boots_that_have_both_are_compared() -> None:
    assert paired({1: 10.0, 2: 20.0}, {2: 5.0, 3: 6.0}) == [(20.0, 5.0)]


def test_the_cipher_is_the_difference_within_a_boot() -> None:
    samples = [sample(1, BOTH, 30.0), sample(1, BOTH, 75.0, has_cipher=True), sample(2, BOTH, 50.0)]
    assert cipher(samples, 1, "UDP", "vanilla") == [45.0]


def test_without_a_cipher_the_gain_is_the_ratio_of_instructions() -> None:
    assert parts(Native("", 7.3, 0.0), 1.8).gain == pytest.approx(1.8)


def test_the_xeons_gain_by_hand() -> None:
    found = parts(XEON_2014, 2.0)
    assert (found.hand_off, found.rest, found.crypto) == pytest.approx((3.65, 3.65, 5.5))
    assert found.gain == pytest.approx(12.8 / 9.15)


@given(st.floats(0.1, 20), st.floats(0.0, 20), st.floats(1.0, 10))
def test_a_packets_time_is_divided_and_not_changed(rest_us: float, crypto_us: float, ratio: float) -> None:
    found = parts(Native("", rest_us + crypto_us, crypto_us), ratio)
    assert found.hand_off + found.rest + found.crypto == pytest.approx(rest_us + crypto_us)
    assert 1 - 1e-9 <= found.gain <= ratio + 1e-9


def test_the_ratio_a_gain_needs_gives_that_gain() -> None:
    native = Native("", 9.3, 2.0)
    ratio = ratio_for(native, 2.0)
    assert ratio is not None
    assert parts(native, ratio).gain == pytest.approx(2.0)


def test_no_ratio_beats_a_cipher_that_takes_half_of_the_time() -> None:
    assert ratio_for(Native("", 10.0, 5.0), 2.0) is None
