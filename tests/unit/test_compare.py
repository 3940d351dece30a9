"""`wgprof compare`: finds what changed, and says how large a difference can be where there is none."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.support.simulated import InMemory, Load, gateway
from tests.support.situation import receiver
from tests.unit.test_report import hostile, save
from tests.unit.test_rules_serving import serial_rx, serial_tx
from wgprof.analysis.difference import CHANGED, OPEN, SAME, Difference, sign_flip
from wgprof.cli.compare import command
from wgprof.errors import RecordingError, UsageError
from wgprof.report.comparison import as_document, lines
from wgprof.report.terminal import print_comparison
from wgprof.rules.comparison import Comparison, compared

NAMES = ("a.wgprof", "b.wgprof")
TX = Load(rate=1500, segments=2, crypt_ns=100_000)


@pytest.fixture(scope="module")
def before() -> InMemory:
    return gateway(seconds=10, tx=TX, seed=5)


def figure(comparison: Comparison, name: str, unit: str = "ns") -> Difference:
    return next(row for row in comparison.differences if (row.name, row.unit) == (name, unit))


def test_a_stage_that_became_slower_is_found_with_its_size(before: InMemory) -> None:
    slower = gateway(seconds=10, tx=Load(rate=1500, segments=2, crypt_ns=130_000), seed=6)
    row = figure(compared(before, slower), "tx.encrypt")
    assert row.verdict == CHANGED
    assert row.low is not None and row.high is not None
    assert row.low > 0 and abs(row.change or 0.0) == pytest.approx(30_000, abs=4_000)
    assert row.relative == pytest.approx(0.3, abs=0.05)


def test_what_did_not_change_has_a_largest_difference(before: InMemory) -> None:
    comparison = compared(before, gateway(seconds=10, tx=TX, seed=7))
    assert [row.name for row in comparison.changed] == []
    row = figure(comparison, "transmit", "Mbit/s")
    assert row.verdict == SAME and row.within is not None and row.base is not None
    assert row.within < 0.1 * row.base
    text = " ".join(lines(comparison, NAMES))
    assert "no difference larger than" in text and "0 figures changed" in text


def test_findings_come_and_go() -> None:
    comparison = compared(serial_tx().recording(), serial_rx().recording())
    assert [(row.id, row.change) for row in comparison.findings] == [("S2", "new"), ("S3", "gone")]
    assert "Findings new: S2 serial-rx; gone: S3 serial-tx." in lines(comparison, NAMES)


def test_few_seconds_leave_everything_open() -> None:
    comparison = compared(receiver(seconds=3).recording(), receiver(seconds=3).recording())
    assert {row.verdict for row in comparison.differences} == {OPEN}


def test_figures_of_one_recording_alone_are_open() -> None:
    comparison = compared(serial_tx().recording(), serial_rx().recording())
    row = figure(comparison, "tx.send")
    assert (row.verdict, row.second, row.pairs) == (OPEN, None, 0)


def test_what_was_different_when_they_were_made_is_said(before: InMemory) -> None:
    other = InMemory(before.tables, {**before.manifest, "machine": {"user_hz": 100, "kernel": "9.9"}})
    rows = {row.name: (row.first, row.second) for row in compared(before, other).conditions}
    assert rows == {"kernel": ("", "9.9")}


def test_a_recording_in_which_nothing_flowed_is_no_comparison(before: InMemory) -> None:
    idle = InMemory().with_table("intervals", [{"t_ns": 1, "dt_ns": 10**8, "sample_every": 1}])
    comparison = compared(idle, before)
    assert lines(comparison, NAMES)[0] == "a.wgprof: nothing flowed, so there is nothing to compare."
    assert {row.verdict for row in comparison.differences} == {OPEN}


def test_one_line_before_all_says_that_nothing_was_encrypted(before: InMemory) -> None:
    facts = {"variant": "vanilla-lab-crypto", "crypto_permille": 100}
    dial = InMemory(before.tables, {**before.manifest, "wireguard": facts})
    assert "NOT encrypted" in lines(compared(before, dial), NAMES)[0]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_command_prints_lines_then_tables_and_json_has_everything(before: InMemory, tmp_path: Path) -> None:
    first, second = save(before, tmp_path / "a.wgprof"), save(gateway(seconds=10, tx=TX, seed=8), tmp_path / "b.wgprof")
    result = run(first, second)
    assert result.exit_code == 0
    assert result.output.startswith("Throughput: transmit")
    places = [result.output.index(words) for words in ("Each recording is one run", "Stages: CPU time", "sign-flip")]
    assert places == sorted(places)
    document = json.loads(run(first, second, "--json").output)
    assert document["wgprof_compare"] == 1
    assert {"first", "second", "verdict", "test", "caution", "conditions", "differences", "findings"} <= set(document)
    assert {"group", "name", "unit", "first", "second", "change", "low", "high", "p", "verdict", "relative"} <= set(
        document["differences"][0]
    )


def test_misuse_is_one_sentence(before: InMemory, tmp_path: Path) -> None:
    first = save(before, tmp_path / "a.wgprof")
    assert isinstance(run(first, first).exception, UsageError)
    assert isinstance(run(first, tmp_path / "none.wgprof").exception, RecordingError)


def test_hostile_strings_do_nothing_on_a_terminal(before: InMemory) -> None:
    out = io.StringIO()
    comparison = compared(before, hostile(before, "\x1b[31m\u202e[bold red]x[/]"))
    print_comparison(comparison, ("\x1b[2J", "b"), Console(file=out, width=200, color_system=None))
    shown = out.getvalue()
    assert {c for c in shown if c != "\n" and (ord(c) < 32 or 0x202A <= ord(c) <= 0x202E)} == set()
    assert json.dumps(as_document(comparison, NAMES), allow_nan=False)


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=9))
def test_the_sign_flip_test_is_exact(pairs: list[float]) -> None:
    values = np.array(pairs)
    observed = abs(values.sum())
    flips = [abs(float(np.dot(signs, values))) for signs in itertools.product((1, -1), repeat=len(pairs))]
    exact = np.mean([flip >= observed * (1 - 1e-9) for flip in flips])
    assert sign_flip(values) == pytest.approx(exact)
    assert sign_flip(-values) == pytest.approx(sign_flip(values))


def test_the_sign_flip_test_is_as_wrong_as_it_says() -> None:
    rng = np.random.default_rng(3)
    rejected = np.mean([sign_flip(rng.normal(size=10)) <= 0.05 for _ in range(600)])
    assert 0.02 < rejected < 0.08
    assert sign_flip(rng.normal(1.0, 0.3, 40)) < 0.001  # by random signs
