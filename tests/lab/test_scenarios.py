"""Two scenarios in one machine: one with nothing to find, one with a serial stage.  `make scenarios` has all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.scenarios import run_all
from wgprof.cli.scenario import truth_path
from wgprof.lab.recipe import DEFAULT_KERNEL

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free", "lab_image")]


def test_what_was_planted_is_found_and_nothing_else(tmp_path: Path) -> None:
    runs, failures = run_all(["idle", "serial-tx"], DEFAULT_KERNEL, 1, tmp_path)
    assert not failures
    found = {run.name: run.result for run in runs}
    assert found["idle"].found == () and found["idle"].holds
    assert found["serial-tx"].top == "S3" and found["serial-tx"].holds, found["serial-tx"]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.wgprof")}
    assert len(written) == 2 and all(truth_path(path).exists() for path in written)
    again, _ = run_all(["idle", "serial-tx"], DEFAULT_KERNEL, 1, tmp_path)
    assert [run.result for run in again] == [run.result for run in runs]
    assert written == {path: path.stat().st_mtime_ns for path in written}, "it was recorded again"
