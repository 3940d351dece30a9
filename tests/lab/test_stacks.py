"""`--stacks`: the perf tool of a real kernel, in a window of its own after the recording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.test_record import wgprof
from wgprof.recording.reader import open_recording

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free")]


def test_stacks_are_of_wireguard_and_its_workers(tmp_path: Path) -> None:
    words = ("record", "--target", "lab", "--duration", "3", "--stacks", "3", "-o", "it.wgprof")
    record = wgprof(*words, folder=tmp_path)
    assert record.code == 0, record.stderr
    with open_recording(tmp_path / "it.wgprof") as recording:
        stacks = recording.table("stacks")
        states = {part["part"]: part["state"] for part in recording.manifest["perf"]["parts"]}
    assert states["stacks"] == states["stat"] == "ok", states
    # Of the stacks that are shown at all most are of the work that moves packets, and crypto is the most of that.
    ours = stacks[stacks["stack"].str.contains("wg_")]
    assert ours["samples"].sum() > 100
    crypto = ours[ours["stack"].str.contains("chacha|poly1305")]
    assert crypto["samples"].sum() > 0.2 * ours["samples"].sum()
    assert set(ours["cpu"].unique()) == {0, 1}
    document = json.loads(wgprof("show", "--json", "it.wgprof", folder=tmp_path).stdout)
    hot = document["sampled"]["stacks"]
    assert hot[0]["path"][0].startswith("wg_") and hot[0]["ce"] > 0
    assert sum(row["ce"] for row in hot) < 2.2, "no more than the CPUs there are"
