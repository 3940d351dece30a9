"""`wgprof sweep` as a user runs it, in the real lab: two configurations, once each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.test_record import alone, wgprof
from wgprof.sweep.document import DONE
from wgprof.sweep.file import SweepFile

__all__ = ["alone"]

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free")]

_OPTIONS = ("--tunnels", "1,2", "--cpus", "1", "--repeats", "1", "--duration", "3", "-o", "it.sweep", "--json")


def test_two_configurations_end_in_one_file_that_can_be_shown(alone: Path) -> None:
    swept = wgprof("sweep", *_OPTIONS, folder=alone)
    assert swept.code == 0, swept.stderr
    said = json.loads(swept.stdout)
    assert (said["done"], said["failed"], said["waiting"]) == (2, [], 0)
    assert not (alone / "it.sweep.part").exists()
    with SweepFile(alone / "it.sweep") as opened:
        for run in opened.sweep.in_state(DONE):
            with opened.recording(run) as recording:
                settings = recording.manifest["target"]["settings"]
                assert (settings["tunnels"], settings["cpus"]) == (run.configuration.tunnels, 1)
                assert recording.manifest["complete"] and 2 < recording.manifest["duration_s"] < 5

    show = wgprof("sweep", "show", "it.sweep", "--json", folder=alone)
    document = json.loads(show.stdout)
    for row in document["configurations"]:
        (run,) = row["runs"]
        assert run["goodput_mbit_s"] > 1 and 0 < run["busy_ce"] <= 1.01
        assert run["checks_ok"] > 10
    print(f"\n2 recordings of 3 s in {swept.seconds:.0f} s, waiting for other labs among it")
