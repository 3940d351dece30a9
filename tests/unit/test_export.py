"""`wgprof export`: stacks a flame graph tool takes, and tables that read back as they are in the recording."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from tests.support.frames import synthetic_recording
from tests.support.perf import RX, TX
from tests.unit.test_recording_sampled import recorded
from wgprof.cli.export import command
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import BY_NAME, SCHEMA_VERSION, TABLES
from wgprof.recording.upgrade import STEPS, Step
from wgprof.recording.writer import write_recording


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = recorded()
    path = tmp_path_factory.mktemp("export") / "a.wgprof"
    write_recording(path, made.manifest, {table.name: made.arrow(table.name) for table in TABLES})
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_stacks_of_all_cpus_are_one_line_each(file: Path, tmp_path: Path) -> None:
    lines = [";".join(("kworker", *TX)) + " 40", ";".join(("ksoftirqd/1", *RX)) + " 20"]
    printed = run(file, "--format", "folded")
    assert printed.exit_code == 0
    assert printed.output.splitlines() == lines
    written = run(file, "--format", "folded", "-o", tmp_path / "a.folded")
    assert written.output.startswith(f"Wrote {tmp_path / 'a.folded'} (")
    assert (tmp_path / "a.folded").read_text().splitlines() == lines


def test_a_recording_without_stacks_says_how_to_get_some(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof"
    write_recording(path, {}, {})
    result = run(path, "--format", "folded")
    assert isinstance(result.exception, RecordingError)
    assert "--stacks" in result.exception.remedy


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_table_reads_back(file: Path, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "out"
    result = run(file, "--format", form, "-o", folder)
    assert result.output.startswith(f"Wrote {folder} (")
    with open_recording(file) as recording:
        assert json.loads((folder / "manifest.json").read_text()) == recording.manifest
        for table in TABLES:
            wanted = recording.arrow(table.name)
            path = folder / f"{table.name}.{form}"
            if form == "parquet":
                found = pyarrow.parquet.read_table(path)
                assert found.to_pylist() == wanted.to_pylist()
            else:
                found = pyarrow.csv.read_csv(path)
                assert found.column_names == wanted.column_names
                assert found.num_rows == wanted.num_rows
                for column in ("packets", "samples", "nonce", "stack"):
                    if column in wanted.column_names and wanted.num_rows:
                        assert found[column].to_pylist() == wanted[column].to_pylist()
    assert len(list(folder.iterdir())) == len(TABLES) + 1


def test_nothing_is_overwritten(file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    result = run(file, "--format", "csv", "-o", tmp_path)
    assert isinstance(result.exception, UsageError)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(file: Path, tmp_path: Path) -> None:
    for form in ("csv", "folded"):
        result = run(file, "--format", form, "-o", tmp_path / "no" / "such")
        assert isinstance(result.exception, RecordingError)
        assert "could not be written" in result.exception.sentence


def test_the_folder_is_beside_the_recording_by_default(file: Path) -> None:
    assert run(file, "--format", "csv").exit_code == 0
    assert (file.parent / "a-csv" / "stages.csv").is_file()


def test_a_recording_again_is_the_same(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "b.wgprof"
    assert run(file, "--format", "wgprof", "-o", copy).output.startswith(f"Wrote {copy} (")
    with open_recording(file) as first, open_recording(copy) as second:
        assert second.manifest == first.manifest
        for table in TABLES:
            assert second.arrow(table.name).equals(first.arrow(table.name)), table.name


def test_an_older_recording_is_written_in_the_present_format(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a later wgprof will: a format of which the present one differs by a key."""

    def manifest(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "message": "upgraded"}

    for module in ("reader", "writer"):
        monkeypatch.setattr(f"wgprof.recording.{module}.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setitem(
        STEPS, SCHEMA_VERSION, Step({}, manifest, lambda name, table: BY_NAME[name].arrow.empty_table())
    )
    copy = tmp_path / "b.wgprof"
    assert run(file, "--format", "wgprof", "-o", copy).exit_code == 0
    monkeypatch.delitem(STEPS, SCHEMA_VERSION)
    with open_recording(copy) as recording:
        assert (recording.manifest["schema_version"], recording.manifest["message"]) == (SCHEMA_VERSION + 1, "upgraded")


@pytest.mark.parametrize("form", ["wgprof", "csv", "parquet", "openmetrics", "perfetto"])
def test_what_is_anonymised_has_no_key_and_no_address(tmp_path: Path, form: str) -> None:
    made = synthetic_recording(seconds=0.3, rate=60.0, peers=2)
    path, out = tmp_path / "a.wgprof", tmp_path / "out"
    write_recording(path, made.manifest, {table.name: made.arrow(table.name) for table in TABLES})
    keys = [key.encode() for key in made.table("objects")["public_key"] if key]
    secrets = [*keys, *(key[:8] for key in keys), b"192.0.2."]
    for option in ([], ["--anonymize"]):
        assert run(path, "--format", form, "-o", out, *option).exit_code == 0
        written = b"".join(p.read_bytes() for p in (out.iterdir() if out.is_dir() else [out]))
        if form in ("wgprof", "parquet"):  # these are compressed
            written += b" ".join(text.encode() for text in texts_of_objects(out, form))
        assert any(secret in written for secret in secrets) is not bool(option)
        assert (b"peer-1" in written) is bool(option)
        shutil.rmtree(out) if out.is_dir() else out.unlink()


def texts_of_objects(out: Path, form: str) -> list[str]:
    """The texts of an exported table `objects`."""
    if form == "parquet":
        table = pyarrow.parquet.read_table(out / "objects.parquet")
    else:
        with open_recording(out) as recording:
            table = recording.arrow("objects")
    return [str(text) for name in ("public_key", "endpoint") for text in table.column(name).to_pylist()]


def test_a_recording_is_not_written_over_itself(file: Path) -> None:
    before = file.read_bytes()
    for arguments in ([], ["-o", file]):
        result = run(file, "--format", "wgprof", "--anonymize", *arguments)
        assert isinstance(result.exception, UsageError)
        assert "-o" in result.exception.remedy
    assert file.read_bytes() == before


def test_a_pipe_is_written_as_it_is(file: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(file, "--format", "folded", "-o", pipe).exit_code == 0
        assert os.read(reader, 1 << 16).decode() == run(file, "--format", "folded").output
    finally:
        os.close(reader)
    assert pipe.is_fifo()
