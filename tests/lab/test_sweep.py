"""`wgprof sweep` as a user runs it, in the real lab: three configurations, once each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.test_record import alone, wgprof
from wgprof.sweep.document import DONE
from wgprof.sweep.file import SweepFile

__all__ = ["alone"]

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free")]

_WHAT = ("--one-at-a-time", "--cpus", "1", "--mtu", "1420,512", "--serial-work", "none,tx.send:1000")
_OPTIONS = (*_WHAT, "--repeats", "1", "--duration", "3", "-o", "it.sweep", "--json")


def test_configurations_end_in_one_file_that_can_be_shown(alone: Path) -> None:
    swept = wgprof("sweep", *_OPTIONS, folder=alone)
    assert swept.code == 0, swept.stderr
    said = json.loads(swept.stdout)
    assert (said["done"], said["failed"], said["waiting"]) == (3, [], 0)
    assert not (alone / "it.sweep.part").exists()
    with SweepFile(alone / "it.sweep") as opened:
        for run in opened.sweep.in_state(DONE):
            with opened.recording(run) as recording:
                settings = recording.manifest["target"]["settings"]
                asked = (1, run.configuration.mtu, run.configuration.serial_work)
                assert (settings["cpus"], settings["mtu"], settings["serial_work"]) == asked
                assert recording.manifest["complete"] and 2 < recording.manifest["duration_s"] < 5

    show = wgprof("sweep", "show", "it.sweep", "--json", folder=alone)
    document = json.loads(show.stdout)
    plain, short, worked = found = [run for row in document["configurations"] for run in row["runs"]]
    assert short["packet_bytes"] <= 512 and 1000 < plain["packet_bytes"] <= 1420
    assert worked["service_ns"]["tx.send"] > 3 * plain["service_ns"]["tx.send"], "the rules run inside of it"
    assert worked["service_ns"]["rx.decrypt"] < 2 * plain["service_ns"]["rx.decrypt"], "and of nothing else"
    for run in found:
        assert run["goodput_mbit_s"] > 1 and 0 < run["busy_ce"] <= 1.01
        assert run["checks_ok"] > 10
    print(f"\n3 recordings of 3 s in {swept.seconds:.0f} s, waiting for other labs among it")
