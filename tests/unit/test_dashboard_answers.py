"""What an address gives, without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dash._utils import to_json

from bench.analysis import repeated
from tests.support.dashboard import CAPTURED, ROOT
from wgprof.dashboard.answers import Dashboard
from wgprof.dashboard.app import make_app
from wgprof.dashboard.guard import Guard
from wgprof.dashboard.library import Library
from wgprof.dashboard.pages import all_pages
from wgprof.dashboard.recordings import Recordings
from wgprof.dashboard.sweeps import Sweeps
from wgprof.recording.reader import open_recording

EXAMPLE = ROOT / "reports" / "example.wgprof"


@pytest.fixture(scope="module")
def dashboard() -> Dashboard:
    return Dashboard(Library([EXAMPLE, CAPTURED / "idle-6.12.wgprof"]), Recordings(), Sweeps())


def text_of(parts: object) -> str:
    return str(to_json(parts))


def plots_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        here = [value["props"]["figure"]] if value.get("type") == "Graph" else []
        return here + [found for item in value.values() for found in plots_in(item)]
    return [found for item in value for found in plots_in(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", [page.name for page in all_pages()])
def test_every_page_is_an_answer_for_every_recording(dashboard: Dashboard, name: str) -> None:
    for file in ("example", "idle-6.12"):
        for scheme in ("light", "dark"):
            answer = dashboard.answer(f"?file={file}&page={name}", scheme)
            assert answer.facts["page"] == name and answer.facts["file"] == file
            assert answer.verdict and text_of(answer.page)
            behind = dashboard.tables(f"?file={file}&page={name}")
            text_of([behind.tiles, *(grid.component for grid in behind.grids)])
            assert bool(answer.figures) == bool(answer.facts["outline"])


def test_figures_are_in_the_colours_of_the_page(dashboard: Dashboard) -> None:
    light, dark = (
        plots_in(json.loads(text_of(dashboard.answer("?page=cores", scheme).page))) for scheme in ("light", "dark")
    )
    assert len(light) == len(dark) > 0
    for one, other in zip(light, dark, strict=True):
        assert one["layout"]["font"]["color"] != other["layout"]["font"]["color"]
        assert one["data"] == other["data"]


def test_what_was_drawn_once_is_at_hand(dashboard: Dashboard) -> None:
    first = dashboard.answer("?page=queues&from=1&to=4", "light").figures
    again = dashboard.answer("?page=queues&to=4&from=1", "light").figures
    assert first and first[-1] is again[-1]
    assert dashboard.answer("?page=queues&from=1&to=5", "light").figures[-1] is not first[-1]


def test_what_stays_on_the_page_has_the_same_outline(dashboard: Dashboard) -> None:
    def outlines(search: str) -> tuple[str, str]:
        return dashboard.answer(search, "light").facts["outline"], dashboard.tables(search).outline

    assert outlines("?page=queues&from=1&to=4") == outlines("?page=queues&from=2")
    page, tables = outlines("?page=queues&dir=tx")
    assert page == outlines("?page=queues")[0] and tables == outlines("?page=queues")[1]
    assert outlines("?page=journeys&dir=tx")[0] != outlines("?page=journeys")[0], "fewer figures"
    assert outlines("?page=cores")[0] != page and outlines("?page=cores&file=idle-6.12") == ("", "")


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof"
    path.write_bytes((CAPTURED / "idle-6.12.wgprof").read_bytes())
    dashboard = Dashboard(Library([path]), Recordings(), Sweeps())
    assert "Nothing flowed" in text_of(dashboard.answer("", "light").verdict)
    path.write_bytes(EXAMPLE.read_bytes())
    assert "S14 crypto-bound" in text_of(dashboard.answer("", "light").verdict)


def test_a_damaged_file_is_one_sentence_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "bad.wgprof").write_bytes(EXAMPLE.read_bytes()[:5000])
    answer = Dashboard(Library([tmp_path]), Recordings(), Sweeps()).answer("", "light")
    assert "is damaged" in text_of(answer.page) and answer.verdict == []


def test_a_large_recording_is_not_sent_whole(tmp_path: Path) -> None:
    """Ten times as long a recording gives no more to draw; its verdict is still that of all of it."""
    path = tmp_path / "long.wgprof"
    repeated(EXAMPLE, path, events=700_000)
    long, short = (Dashboard(Library([file]), Recordings(), Sweeps()) for file in (path, EXAMPLE))
    for page in ("pipeline", "cores", "queues", "latency", "journeys"):
        sizes = [len(text_of(d.answer(f"?page={page}", "light").page)) for d in (long, short)]
        assert sizes[0] < 4 * sizes[1] and sizes[0] < 1_500_000, (page, sizes)
    with open_recording(path) as recording:
        from wgprof.analysis.summary import analyse
        from wgprof.rules.diagnose import diagnose
        from wgprof.rules.verdict import answer

        analysis = analyse(recording)
        lines = answer(analysis, diagnose(analysis, recording))
    assert [part.children for part in long.answer("", "light").verdict] == lines


def test_whatever_goes_wrong_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live view asks again only when it was answered."""

    def broken(*_: object) -> None:
        raise ValueError("I/O operation on closed file")

    browser = make_app(Library([EXAMPLE]), Recordings(), Sweeps(), Guard.of("127.0.0.1"), live=True).test_client()
    (draw,) = (d for d in browser.get("/_dash-dependencies").json or [] if "answered.data" in d["output"])
    outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in parts_of(draw["output"])]

    def drawn(asked: int) -> dict[str, Any]:
        values = {"where": {"search": "", "scheme": "light"}, "asked": asked, "facts": None}
        inputs, state = ([{**part, "value": values[part["id"]]} for part in draw[kind]] for kind in ("inputs", "state"))
        asking = {"output": draw["output"], "outputs": outputs, "inputs": inputs, "state": state}
        answer = browser.post("/_dash-update-component", json={**asking, "changedPropIds": ["asked.data"]})
        assert answer.status_code == 200, answer.text
        return dict((answer.json or {})["response"])

    assert drawn(1)["answered"]["data"] == 1
    monkeypatch.setattr(Recordings, "version", broken)
    assert drawn(2)["answered"]["data"] == 2
    monkeypatch.setattr(Recordings, "whole", broken)
    said = drawn(3)
    assert said["answered"]["data"] == 3 and "ValueError" in text_of(said["page"])
    monkeypatch.setattr(Library, "entries", broken)
    assert drawn(4) == {"answered": {"data": 4}}


def parts_of(output: str) -> list[str]:
    """The outputs in Dash's one name for several."""
    return output.strip(".").split("...")
