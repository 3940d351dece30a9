"""The report: complete in itself, harmless whatever the recording says, small, and honest about failures."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from plotly.offline import get_plotlyjs

from tests.support.dashboard import CAPTURED
from tests.support.simulated import InMemory, Load, gateway
from tests.unit.test_rules_serving import serial_tx
from wgprof.analysis import units
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import analyse, server_words
from wgprof.cli.report import command
from wgprof.errors import RecordingError, WgprofError
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import BY_NAME
from wgprof.recording.writer import write_recording
from wgprof.report.page import render
from wgprof.resources import resource_dir
from wgprof.views.catalogue import VIEWS, pictures

LIMIT = 6_000_000
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<script>",
    '"><a href="javascript:alert(1)">%{x}',
    "\x1b[31m\u202eright to left\x00",
    "x" * 10_000,
)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._inside != "style":
            self.text += data


@pytest.fixture(scope="module")
def recording() -> InMemory:
    tx, rx = Load(rate=1500, segments=2, crypt_ns=100_000), Load(crypt_ns=100_000)
    return gateway(seconds=4, peers=2, workers=3, tx=tx, rx=rx, seed=5)


def page_of(recording: InMemory, title: str = "test") -> tuple[str, Page]:
    html = render(recording, analyse(recording), title)
    return html, Page(html)


@pytest.fixture(scope="module")
def page(recording: InMemory) -> tuple[str, Page]:
    return page_of(recording)


def hostile(recording: InMemory, text: str) -> InMemory:
    """The recording with every string replaced."""
    tables = {}
    for name, frame in recording.tables.items():
        changed = frame.copy()
        for column in BY_NAME[name].columns:
            free = pa.types.is_string(column.type) or (name, column.name) in {("interfaces", "name"), ("log", "topic")}
            if free:
                changed[column.name] = text
        tables[name] = changed
    log = [{"t_ns": 5_000_500_000_000, "level": level, "topic": text, "message": text} for level in ("info", "error")]
    manifest = {**recording.manifest, "target": {"kind": text, text: [text, {text: text}]}, "created": text}
    return InMemory(tables, manifest).with_table("log", log)


def inflated(text: str) -> str:
    return gzip.decompress(base64.b64decode(text, validate=True)).decode()


def figures_of(page: Page) -> dict[str, Any]:
    return {
        str(a["id"]): json.loads(inflated(text))
        for a, text in page.scripts
        if a.get("type") == "application/x-gzip-json"
    }


def test_every_figure_is_there_and_draws_something(page: tuple[str, Page], recording: InMemory) -> None:
    figures, analysis = figures_of(page[1]), analyse(recording)
    drawn = [picture.name for view in VIEWS for picture in pictures(view, recording, analysis, Selection())]
    assert list(figures) == [f"figure-{name}" for name in drawn]
    assert {"figure-pipeline", "figure-latency_percentiles", "figure-journeys_tx", "figure-quality"} <= set(figures)
    plots = {a.get("id") for _, a in page[1].tags}
    for name, figure in figures.items():
        assert figure["data"]
        assert str(name).replace("figure-", "plot-") in plots


def test_nothing_is_loaded_from_anywhere(page: tuple[str, Page]) -> None:
    html, parsed = page
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img", "form"}, (tag, attributes)
        assert not {"src", "action", "srcset", "data", "formaction"} & set(attributes), (tag, attributes)
        assert str(attributes.get("href", "#")).startswith("#"), (tag, attributes)
    style = (resource_dir("reports") / "style.css").read_text()
    assert "url(" not in style and "@import" not in style
    assert re.findall(r"https?://", html) == []
    policies = [a["content"] for tag, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'")
    ((scripts),) = re.findall(r"script-src ([^;]*);", str(policies[0]))
    assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", source) for source in scripts.split()), scripts


def test_the_figures_cannot_be_sent_to_plotlys_makers() -> None:
    script = (resource_dir("reports") / "report.js").read_text()
    (buttons,) = re.findall(r"modeBarButtons: (\[\[.*?\]\])", script)
    assert set(json.loads(buttons)[0]) == {"toImage", "zoom2d", "pan2d", "resetScale2d"}
    assert 'plotlyServerURL: ""' in script


def test_plotly_is_there_once_and_the_page_is_small(page: tuple[str, Page]) -> None:
    html, parsed = page
    (plotly,) = (text for a, text in parsed.scripts if a.get("id") == "plotly")
    assert inflated(plotly) == get_plotlyjs()
    assert len(html.encode()) < LIMIT
    kinds = [a.get("type") for a, _ in parsed.scripts]
    assert kinds.count(None) == 1, "of all scripts only our own runs by itself"
    assert kinds.count("application/x-wgprof") == 1


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_hostile_strings_stay_text(recording: InMemory, page: tuple[str, Page], text: str) -> None:
    html, parsed = page_of(hostile(recording, text), text)
    before = [tag for tag, _ in page[1].tags]
    after = [tag for tag, _ in parsed.tags]
    assert set(after) == set(before)
    assert after.count("script") == before.count("script")
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    if text.startswith("{{"):
        assert text in parsed.text
    assert "\x1b" not in html and "\x00" not in html and "\u202e" not in html
    assert len(html.encode()) < LIMIT
    for string in strings_of(figures_of(parsed)):
        assert "<script" not in string and "<img" not in string and "<a " not in string


def test_findings_have_their_evidence_their_steps_and_links_to_figures_that_are_there() -> None:
    html, parsed = page_of(serial_tx().recording())
    for words in (
        "S3 serial-tx (defect)",
        "Evidence",
        "sudo wgprof kmod load inline",
        "What was ruled out",
        "S2 serial-rx",
    ):
        assert words in parsed.text
    ids = {attributes.get("id") for _, attributes in parsed.tags}
    links = [str(attributes["href"]) for _, attributes in parsed.tags if "href" in attributes]
    assert links and all(link.removeprefix("#") in ids for link in links)
    assert html.index('id="h-findings"') < html.index('id="h-pipeline"') < html.index('id="h-ruled-out"')


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:12]))
def test_findings_do_not_let_hostile_names_out(text: str) -> None:
    recording = serial_tx().recording()
    good, bad = page_of(recording)[1], page_of(hostile(recording, text))[1]
    assert "S3 serial-tx" in bad.text, "it is found whatever things are called"
    assert {tag for tag, _ in bad.tags} <= {tag for tag, _ in good.tags} | {"strong"}
    assert not any(name.startswith("on") for _, attributes in bad.tags for name in attributes)


def strings_of(value: object) -> list[str]:
    if isinstance(value, dict):
        return [s for item in value.values() for s in strings_of(item)]
    if isinstance(value, list):
        return [s for item in value for s in strings_of(item)]
    return [value] if isinstance(value, str) else []


def test_a_failed_check_comes_before_the_headline(recording: InMemory) -> None:
    lossy = recording.with_table("losses", [{"cause": "ring-full", "where": "events", "count": 3}])
    html, parsed = page_of(lossy)
    assert html.index("Some checks failed") < html.index('aria-label="Verdict"')
    assert "ring-full" in parsed.text
    idle = InMemory().with_table("losses", [{"cause": "ring-full", "where": "events", "count": 3}])
    assert "Some checks failed" in page_of(idle)[1].text
    assert "Some checks failed" not in page_of(recording)[1].text


def test_an_idle_recording_gives_a_page_that_says_so() -> None:
    html, parsed = page_of(InMemory().with_table("intervals", [{"t_ns": 1, "dt_ns": 10**8, "sample_every": 1}]))
    assert "Nothing flowed" in parsed.text
    assert "figure-pipeline" not in html


def test_one_direction_alone_is_drawn() -> None:
    html, _ = page_of(gateway(seconds=2, rx=Load(rate=500)))
    assert "figure-pipeline" in html


def save(recording: InMemory, path: Path) -> Path:
    tables = {
        name: pa.Table.from_pandas(frame, schema=BY_NAME[name].arrow, preserve_index=False)
        for name, frame in recording.tables.items()
    }
    write_recording(path, recording.manifest, tables)
    return path


def test_command_writes_beside_the_recording_and_says_so(recording: InMemory, tmp_path: Path) -> None:
    file = save(recording, tmp_path / "a.wgprof")
    result = CliRunner().invoke(command, [str(file)])
    assert result.exit_code == 0, result.output
    assert re.fullmatch(rf"Wrote {re.escape(str(tmp_path))}/a\.html \(\d\.\d MB\)\n", result.output)
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.wgprof"]


def test_command_does_not_overwrite_with_half_a_page(recording: InMemory, tmp_path: Path) -> None:
    file = save(recording, tmp_path / "a.wgprof")
    result = CliRunner().invoke(command, [str(file), "-o", str(tmp_path / "none" / "x.html")])
    assert isinstance(result.exception, WgprofError)
    assert "cannot write" in result.exception.sentence
    assert result.exception.remedy


def test_command_refuses_to_write_over_the_recording(recording: InMemory, tmp_path: Path) -> None:
    file = save(recording, tmp_path / "a.wgprof")
    before = file.read_bytes()
    result = CliRunner().invoke(command, [str(file), "-o", str(file)])
    assert isinstance(result.exception, WgprofError)
    assert result.exception.exit_code == 2
    assert file.read_bytes() == before


def test_command_on_what_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "x.wgprof").write_text("hello")
    result = CliRunner().invoke(command, [str(tmp_path / "x.wgprof")])
    assert isinstance(result.exception, RecordingError)


def test_a_recording_of_both_ends_has_their_delay_in_the_report() -> None:
    example = open_recording(Path(str(resource_dir("reports"))) / "example.wgprof")
    page = Page(render(example, analyse(example), "example"))
    assert "One-way delay, end to end: A → B" in page.text
    assert "the offset is 0, exactly" in page.text


def test_without_both_ends_there_is_no_such_section(page: tuple[str, Page]) -> None:
    assert "One-way delay" not in page[1].text


def test_the_busiest_server_is_shown_with_its_occupancy() -> None:
    """By which it was chosen: its own work may be less than that of another."""
    with open_recording(CAPTURED / "scenarios" / "serial-tx.wgprof") as found:
        analysis = analyse(found)
        text = " ".join(Page(render(found, analysis, "serial-tx")).text.split())
    assert analysis.headline is not None
    servers = [flow.server for flow in analysis.headline.throughput if flow.server is not None]
    assert any(units.share(server.occupancy) != units.share(server.utilisation) for server in servers)
    for server in servers:
        assert f"{units.share(server.occupancy)} occupied {server_words(server)}" in text
