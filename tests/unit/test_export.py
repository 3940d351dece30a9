"""`wgprof export`: stacks a flame graph tool takes, and tables that read back as they are in the recording."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from tests.support.perf import RX, TX
from tests.unit.test_recording_sampled import recorded
from wgprof.cli.export import command
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import TABLES
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
