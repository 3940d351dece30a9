"""A report contains its recording, gives it back, and is trusted as little as any other file."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.simulated import InMemory, Load, gateway
from tests.unit.test_report import LIMIT, Page, save
from wgprof.analysis.summary import analyse
from wgprof.cli.report import command as report
from wgprof.cli.show import command as show
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import TABLES
from wgprof.report.embedded import open_recording_or_report, packed
from wgprof.report.page import render
from wgprof.resources import resource_dir

EXAMPLE = Path(str(resource_dir("reports"))) / "example.wgprof"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "example.html"
    result = CliRunner().invoke(report, [str(EXAMPLE), "-o", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_a_report_gives_its_recording_back_byte_for_byte(page: Path) -> None:
    parsed = Page(page.read_text())
    (data,) = (text for a, text in parsed.scripts if a.get("id") == "recording")
    assert base64.b64decode(data, validate=True) == EXAMPLE.read_bytes()
    assert len(page.read_bytes()) < LIMIT


def test_show_says_the_same_of_a_report_as_of_its_recording(page: Path) -> None:
    of_page, of_file = (CliRunner().invoke(show, [str(path), "--json"]) for path in (page, EXAMPLE))
    assert of_page.exit_code == of_file.exit_code == 0, of_page.output
    assert json.loads(of_page.stdout) == json.loads(of_file.stdout)


def test_the_table_can_still_be_read_when_the_file_is_gone(page: Path, tmp_path: Path) -> None:
    copy = shutil.copy(page, tmp_path / "copy.html")
    recording = open_recording_or_report(Path(copy))
    Path(copy).unlink()
    for table in TABLES:
        assert recording.table(table.name).equals(open_recording(EXAMPLE).table(table.name))


def test_what_is_not_from_a_file_is_contained_too(tmp_path: Path) -> None:
    recording = gateway(seconds=2, tx=Load(rate=300), seed=3)
    out = tmp_path / "x.html"
    out.write_text(render(recording, analyse(recording), "x"))
    assert len(open_recording_or_report(out).table("stages")) == len(recording.table("stages"))


def test_a_recording_that_is_too_large_is_made_coarser_and_says_so() -> None:
    recording = open_recording(EXAMPLE)
    data, note = packed(recording, 200_000)
    assert 0 < len(data) <= 200_000
    assert "one in" in note and "sampled packets" in note
    assert packed(recording, EXAMPLE.stat().st_size) == (EXAMPLE.read_bytes(), "")
    assert packed(recording, 1000) == (b"", "The recording is too large to be contained in this report.")


def test_a_coarser_recording_still_gives_the_same_answer(tmp_path: Path) -> None:
    file = tmp_path / "coarse.wgprof"
    file.write_bytes(packed(open_recording(EXAMPLE), 300_000)[0])
    lines = [CliRunner().invoke(show, [str(path)]).stdout.splitlines()[0] for path in (file, EXAMPLE)]
    assert "S14 crypto-bound" in lines[0] and "S14 crypto-bound" in lines[1]


def changed(page: Path, out: Path, change: str) -> Path:
    html = page.read_text()
    found = re.search(r'(id="recording">)([^<]*)', html)
    assert found
    out.write_text(html[: found.start(2)] + change + html[found.end(2) :])
    return out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not a wgprof recording"),
        ("!!!!", "is not Base64"),
        ("QUFBQQ==", "is not a wgprof recording"),
        (base64.b64encode(b"PK\x03\x04" + bytes(40)).decode(), "is damaged"),
        (base64.b64encode(EXAMPLE.read_bytes()[:-1000]).decode(), "is damaged"),
        (base64.b64encode(EXAMPLE.read_bytes().replace(b"PAR1", b"PAR2")).decode(), "is damaged"),
    ],
    ids=["empty", "no base64", "no zip", "bad zip", "cut", "changed"],
)
def test_a_changed_recording_is_refused_in_one_sentence(page: Path, tmp_path: Path, content: str, words: str) -> None:
    bad = changed(page, tmp_path / "bad.html", content)
    result = CliRunner().invoke(show, [str(bad)])
    assert isinstance(result.exception, RecordingError)
    assert words in result.exception.sentence
    assert str(bad) in result.exception.sentence and "report.wgprof" not in result.exception.sentence
    assert "\n" not in result.exception.sentence and result.exception.remedy


OPENED = '<!doctype html><script type="application/x-wgprof" id="recording">QUFB'


@pytest.mark.parametrize("html", ["<!doctype html>", "<!DOCTYPE html><p>hello", OPENED])
def test_a_page_without_a_recording_is_none(tmp_path: Path, html: str) -> None:
    (tmp_path / "x.html").write_text(html)
    with pytest.raises(RecordingError, match="contains no recording"):
        open_recording_or_report(tmp_path / "x.html")


def test_a_comparison_has_both_recordings_and_what_changed(tmp_path: Path) -> None:
    slow = gateway(seconds=7, workers=2, tx=Load(rate=400, serial_ns=900_000), seed=1)
    fast = gateway(seconds=7, workers=2, tx=Load(rate=400, serial_ns=200_000), seed=2)
    before, after = save(slow, tmp_path / "before.wgprof"), save(fast, tmp_path / "after.wgprof")
    result = CliRunner().invoke(report, [str(after), "--against", str(before)])
    assert result.exit_code == 0, result.output
    parsed = Page((tmp_path / "after.html").read_text())
    files = {a.get("id"): base64.b64decode(t) for a, t in parsed.scripts if a.get("type") == "application/x-wgprof"}
    assert files == {"recording": after.read_bytes(), "recording-against": before.read_bytes()}
    ids = {a.get("id") for _, a in parsed.tags}
    assert {"plot-compare_sides", "plot-compare_changes", "plot-compare_time"} <= ids
    assert "before.wgprof" in parsed.text and "tx.send" in parsed.text
    assert (
        open_recording_or_report(tmp_path / "after.html").table("stages").equals(open_recording(after).table("stages"))
    )


def test_a_recording_is_not_compared_with_itself(tmp_path: Path) -> None:
    file = save(InMemory(), tmp_path / "a.wgprof")
    result = CliRunner().invoke(report, [str(file), "--against", str(file)])
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "a.html").exists()
    other = save(gateway(seconds=2, tx=Load(rate=100)), tmp_path / "b.wgprof")
    before = other.read_bytes()
    assert CliRunner().invoke(report, [str(file), "--against", str(other), "-o", str(other)]).exit_code
    assert other.read_bytes() == before
