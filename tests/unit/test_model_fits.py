"""Amdahl's and Gunther's laws are found again in points that follow them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgprof.errors import UsageError
from wgprof.model.fits import fit

_N = [1, 2, 4, 8, 16, 32]


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 50), st.floats(0.001, 0.5))
def test_amdahl_is_recovered(x1: float, serial: float) -> None:
    found = fit("amdahl", _N, [x1 * n / (1 + serial * (n - 1)) for n in _N])
    assert found.parameters[0].value == pytest.approx(x1, rel=1e-3)
    assert found.parameters[1].value == pytest.approx(serial, rel=1e-2)
    assert found.residual < 1e-3
    assert found.peak == math.inf


def test_usl_finds_the_peak() -> None:
    points = [5 * n / (1 + 0.02 * (n - 1) + 0.002 * n * (n - 1)) for n in _N]
    found = fit("usl", _N, points)
    assert found.peak == pytest.approx(math.sqrt(0.98 / 0.002), rel=0.01)
    assert found.at([4]) == pytest.approx(points[2], rel=1e-3)


def test_intervals_contain_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(5)
    truth = np.array([5 * n / (1 + 0.1 * (n - 1)) for n in _N])
    inside = 0
    for _ in range(200):
        serial = fit("amdahl", _N, (truth * random.normal(1, 0.03, len(_N))).tolist()).parameters[1]
        inside += serial.low <= 0.1 <= serial.high
    assert 176 <= inside <= 199  # 95 % of 200 is 190


@pytest.mark.parametrize(
    ("n", "x", "words"),
    [([1, 2], [1, 2], "too few"), ([1, 1, 1], [1, 1, 1], "1 different points"), ([1, 2, 4], [1, -2, 3], "above 0")],
)
def test_refuses_what_cannot_be_fitted(n: list[float], x: list[float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fit("amdahl", n, x)
