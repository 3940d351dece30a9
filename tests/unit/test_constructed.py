"""Recordings constructed from measured ones: each is found for what it is, and not when the change is too small."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.constructed.catalogue import CONSTRUCTIONS, Construction, measured_once
from wgprof.analysis.summary import analyse
from wgprof.cli.scenario import judged
from wgprof.lab.scenario import Truth, agreement
from wgprof.recording.reader import open_recording
from wgprof.report.as_json import as_document
from wgprof.report.page import render
from wgprof.report.terminal import print_analysis
from wgprof.rules.diagnose import diagnose
from wgprof.rules.verdict import verdict

DOCS = Path(__file__).parents[2] / "docs" / "scenarios.md"
CASES = [pytest.param(each, amount, truth, id=name) for each in CONSTRUCTIONS for name, amount, truth in each.cases]


@pytest.mark.slow
@pytest.mark.parametrize(("construction", "amount", "truth"), CASES)
def test_what_was_constructed_is_found_and_nothing_else(
    construction: Construction, amount: float, truth: Truth
) -> None:
    recording = construction.draft(amount).recording()
    analysis = analyse(recording)
    assert [f"{check.name} {check.subject}: {check.detail}" for check in analysis.failed] == []
    result = agreement(truth, [finding.id for finding in diagnose(analysis, recording).findings])
    assert result.holds, result


def test_a_change_of_nothing_leaves_what_was_measured() -> None:
    """The machines that constructions begin with are measured ones, side by side and in turns: nothing is found."""
    construction = next(each for each in CONSTRUCTIONS if each.name == "spinning-receive")
    recording = construction.draft(0).recording()
    assert diagnose(analyse(recording), recording).findings == []


def test_the_documentation_has_a_row_for_each_and_for_nothing_else() -> None:
    _, _, after = DOCS.read_text(encoding="utf-8").partition("## What is constructed")
    rows = [line.split(" | ") for line in after.splitlines() if line[:3] == "| `"]
    assert [(row[0], row[1], row[4]) for row in rows] == [
        (f"| `{each.name}`", each.truth.top, each.truth.top) for each in CONSTRUCTIONS
    ]


def test_a_measured_recording_is_not_changed_by_what_is_made_of_it() -> None:
    for construction in (each for each in CONSTRUCTIONS if each.name in ("preempted-worker", "lost-wakeup-threaded")):
        base = measured_once(construction.base)
        before = {name: frame.copy() for name, frame in base.tables.items()}
        construction.draft()
        assert all(frame.equals(base.tables[name]) for name, frame in before.items())
        assert "constructed" not in base.manifest or not base.manifest["constructed"]


def test_a_constructed_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    construction, out = CONSTRUCTIONS[0], tmp_path / "made.wgprof"
    construction.draft().write(out)
    assert judged(construction.truth, out).holds
    with open_recording(out) as recording:
        analysis = analyse(recording)
        diagnosis = diagnose(analysis, recording)
        line = verdict(analysis, diagnosis)[-1]
        assert line == f"Constructed: {construction.mark()}"
        print_analysis(analysis, diagnosis, recording)
        assert line in capsys.readouterr().out
        assert "Constructed: measured was example; " in render(recording, analysis, "made")
        assert as_document(analysis, diagnosis, recording.manifest)["constructed"] == construction.mark()


def test_the_mark_is_cleaned_and_escaped() -> None:
    draft = CONSTRUCTIONS[0].draft().having(constructed="<b>x</b>\x1b[31m\nnext " + "y" * 2000)
    recording = draft.recording()
    analysis = analyse(recording)
    assert not set("\x1b\n") & set(analysis.constructed) and len(analysis.constructed) <= 800
    page = render(recording, analysis, "made")
    assert "Constructed: &lt;b&gt;x" in page and "Constructed: <b>" not in page


def test_what_was_recorded_is_not_called_constructed() -> None:
    recording = measured_once(CONSTRUCTIONS[0].base).recording()
    analysis = analyse(recording)
    assert not any("Constructed" in line for line in verdict(analysis, diagnose(analysis, recording)))
