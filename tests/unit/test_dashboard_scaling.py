"""Sweeps in the dashboard: the Scaling page shows what `wgprof sweep report` does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.dashboard import CAPTURED
from tests.support.sweeps import Quiet, recorder, small, swept
from tests.unit.test_dashboard_answers import plots_in, text_of
from tests.unit.test_report import HOSTILE, figures_of
from tests.unit.test_report import Page as ReportPage
from wgprof.dashboard.answers import Dashboard
from wgprof.dashboard.library import Library
from wgprof.dashboard.recordings import Recordings
from wgprof.dashboard.sweeps import Sweeps
from wgprof.errors import RecordingError
from wgprof.report.sweep import headline, results_of
from wgprof.report.sweep_page import render
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import DONE
from wgprof.sweep.file import SweepFile, write_sweep
from wgprof.sweep.part import part_of
from wgprof.sweep.running import run_sweep

IDLE = CAPTURED / "idle-6.12.wgprof"
#: What any test has had analysed, by the state of the file: as in a dashboard that runs.
KEPT = Recordings(), Sweeps()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One, two and four tunnels, with one and two CPUs: two figures over tunnels, three over CPUs."""
    out = tmp_path_factory.mktemp("sweep") / "mine.sweep"
    matrix = small(tunnels=[1, 2, 4], cpus=[1, 2], repeats=1)
    return swept(out, matrix, recorder(lambda c, n: 100.0 * c.tunnels**0.8 * c.cpus**0.5))


def dashboard_of(*given: Path, live: bool = False, sweeps: Sweeps | None = None) -> Dashboard:
    recordings, kept = KEPT
    return Dashboard(Library(given, live=live), recordings, sweeps or kept)


def words_of(parts: object) -> str:
    """The text of a page, in which a component's own braces are no quotes."""
    return str(json.dumps(json.loads(text_of(parts)), ensure_ascii=False))


def grids_in(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        here = [value["props"]] if value.get("type") == "AgGrid" else []
        return here + [found for item in value.values() for found in grids_in(item)]
    return [found for item in value for found in grids_in(item)] if isinstance(value, list) else []


def test_the_figures_and_tables_are_those_of_the_report(sweep: Path) -> None:
    answer = dashboard_of(IDLE, sweep).answer("?page=scaling", "light")
    page = json.loads(text_of(answer.page))
    with SweepFile(sweep) as opened:
        results = results_of(opened)
    report = ReportPage(render(results, sweep.name))
    drawn = list(figures_of(report).values())
    assert len(drawn) == 5
    assert [plot["data"] for plot in plots_in(page)] == [figure["data"] for figure in drawn]
    cells = [cell for grid in grids_in(page) for row in grid["rowData"] for key, cell in row.items() if key != "kind"]
    assert len(cells) > 60 and all(cell in report.text for cell in cells)
    assert [line for line in headline(results) if line not in words_of(answer.verdict)] == []
    assert answer.facts["title"] == "Scaling · mine · wgprof" and answer.facts["file"] == "idle-6.12"


def test_a_sweep_is_chosen_by_its_slug_and_by_nothing_else(sweep: Path, tmp_path: Path) -> None:
    shutil.copy(sweep, tmp_path / "other.sweep")
    dashboard = dashboard_of(IDLE, sweep, tmp_path)
    assert dashboard.answer("?page=scaling", "light").facts["sweep"] == "mine"
    assert dashboard.answer("?page=scaling&sweep=other", "light").facts["sweep"] == "other"
    for slug in (str(sweep), "../mine", "mine.sweep", "idle-6.12"):
        answer = dashboard.answer(f"?page=scaling&sweep={slug}", "light")
        assert "no such sweep" in words_of(answer.page) and answer.facts["sweep"] == ""
    # And no sweep as if it were a recording.
    assert "no such recording" in words_of(dashboard.answer("?file=mine", "light").page)


def test_only_sweeps_begin_with_their_page_which_says_that_there_is_no_recording(sweep: Path) -> None:
    dashboard = dashboard_of(sweep)
    answer = dashboard.answer("", "light")
    assert answer.facts["page"] == "scaling" and len(plots_in(json.loads(text_of(answer.page)))) == 5
    assert "There is no recording here" in words_of(answer.page) and answer.facts["files"] == []
    other = dashboard.answer("?page=pipeline", "light")
    assert other.facts["page"] == "pipeline" and "wgprof record" in words_of(other.page)
    assert dashboard_of(IDLE, sweep).answer("", "light").facts["page"] == "pipeline"
    assert "There is no recording" not in words_of(dashboard_of(IDLE, sweep).answer("?page=scaling", "light").page)
    waiting = dashboard_of(sweep.parent, live=True).answer("", "light")
    assert waiting.facts["page"] == "pipeline", "who follows a recording waits for it"


def test_without_a_sweep_the_page_says_what_makes_one() -> None:
    answer = dashboard_of(IDLE).answer("?page=scaling", "light")
    said = words_of(answer.page)
    assert "wgprof sweep --tunnels 1,2,4 -o NAME.sweep" in said and "wgprof dashboard NAME.sweep" in said
    assert answer.verdict, "that of the recording"


def test_a_sweep_is_analysed_once_for_each_state_of_its_file(sweep: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sweep, tmp_path))
    said: list[str] = []
    sweeps = Sweeps(said.append)
    dashboard = Dashboard(Library([path]), Recordings(), sweeps)
    first = dashboard.answer("", "light").page[-1]
    assert said.count("") == 1 and "6 of 6" in said[-2]
    dashboard.answer("", "dark")
    assert dashboard.answer("?page=scaling&sweep=mine", "light").page[-1] is first and said.count("") == 1
    os.utime(path, (1, 1))
    assert dashboard.answer("", "light").page[-1] is not first and said.count("") == 2


def test_a_damaged_sweep_is_one_sentence_on_its_page_alone(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.sweep").write_bytes(sweep.read_bytes()[:-4000])
    (tmp_path / "none.sweep").write_text("this is no sweep")
    (tmp_path / "recording.sweep").write_bytes(IDLE.read_bytes())
    dashboard = dashboard_of(IDLE, sweep, tmp_path)
    for slug, words in (("cut", "is damaged"), ("none", "is not a sweep"), ("recording", "but not a sweep")):
        answer = dashboard.answer(f"?page=scaling&sweep={slug}", "light")
        said = words_of(answer.page)
        assert words in said and '"role": "alert"' in said and answer.verdict == []
        assert '"value": "mine"' in said, "another can be chosen"
        assert dashboard.answer(f"?sweep={slug}", "light").verdict, "the recording's pages are as they were"
    assert plots_in(json.loads(text_of(dashboard.answer("?page=scaling&sweep=mine", "light").page)))


def test_a_damaged_recording_in_a_sweep_is_named_by_its_number(tmp_path: Path) -> None:
    with part_of(tmp_path / "it.sweep", small(repeats=1)) as part:
        run_sweep(part, recorder(lambda c, n: 1.0), Quiet())
        made = part.sweep
        folder = part.folder
        member = folder / made.in_state(DONE)[1].member
        member.write_bytes(member.read_bytes()[:-3000])
        write_sweep(tmp_path / "it.sweep", made, folder)
    said = words_of(dashboard_of(tmp_path / "it.sweep").answer("", "light").page)
    assert "it.sweep: its recording 2 is damaged" in said and "wgprof-sweep-" not in said


def test_a_damaged_recording_does_not_keep_anybody_from_a_sweep(sweep: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wgprof").write_bytes(IDLE.read_bytes()[:3000])
    answer = dashboard_of(tmp_path, sweep).answer("?page=scaling", "light")
    assert answer.verdict and plots_in(json.loads(text_of(answer.page)))


def test_without_the_model_there_are_tables_and_the_way_to_curves(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    page = json.loads(text_of(dashboard_of(sweep, sweeps=Sweeps()).answer("", "light").page))
    assert plots_in(page) == [] and len(grids_in(page)) >= 3
    assert "wgprof[model]" in json.dumps(page)


def test_hostile_strings_stay_what_they_are(tmp_path: Path) -> None:
    """Why a recording failed, and the file's name: text in components, without control characters."""

    def record(configuration: Configuration, out: Path) -> None:
        if configuration.tunnels > 1:
            raise RecordingError(HOSTILE[configuration.tunnels - 2])
        recorder(lambda c, n: 1.0)(configuration, out)

    path = tmp_path / f"{HOSTILE[1]}\u202e.sweep"
    with part_of(path, small(tunnels=list(range(1, len(HOSTILE) + 2)), repeats=1)) as part:
        run_sweep(part, record, Quiet())
        part.pack()
    answer = dashboard_of(tmp_path).answer("", "light")
    said = words_of([*answer.page, *answer.verdict]) + str(answer.facts)
    assert "alert(1)" in said and not [c for c in "\x1b\x00\u202e" if c in said]
    assert "x" * 500 not in said and set(answer.facts["sweep"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert "dangerously" not in said.replace('"dangerously_allow_code": false', "")
