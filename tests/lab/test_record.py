"""`wgprof record --target lab` as a user runs it: the whole way from a booting kernel to the report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from wgprof.analysis.tables import only
from wgprof.lab.lock import hold
from wgprof.lab.machine import EmulatorFailure
from wgprof.lab.paths import lab_lock_path
from wgprof.recording.reader import open_recording

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free")]

WGPROF = Path(sys.executable).with_name("wgprof")
DURATION_S = 30
MEGABYTE = 1e6


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str
    seconds: float
    peak_mb: float


def start(*words: str, folder: Path) -> subprocess.Popen[bytes]:
    out, err = (folder / "stdout").open("wb"), (folder / "stderr").open("wb")
    with out, err:
        return subprocess.Popen([WGPROF, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


def finish(process: subprocess.Popen[bytes], folder: Path, began: float) -> Done:
    """Its end.  Raises EmulatorFailure if the emulator is to blame."""
    peak = 0
    # Of the process alone: what it starts, the emulator, is not counted.
    while process.poll() is None:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(found[1])) if found else peak
        time.sleep(0.02)
    seconds = time.monotonic() - began
    stdout, stderr = ((folder / name).read_text() for name in ("stdout", "stderr"))
    if process.returncode and re.search("the lab's machine (did not boot|died|gave no answer)", stderr):
        raise EmulatorFailure(stderr)
    return Done(process.returncode, stdout, stderr, seconds, peak * 1024 / MEGABYTE)


def wgprof(*words: str, folder: Path) -> Done:
    began = time.monotonic()
    return finish(start(*words, folder=folder), folder, began)


def wait_for(words: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    while words not in (folder / "stderr").read_text():
        assert process.poll() is None, (folder / "stderr").read_text()
        time.sleep(0.05)


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder to work in, once no other lab runs: waiting for one is not part of what is measured."""
    with hold(lab_lock_path(), "the lab", float(os.environ["WGPROF_LAB_WAIT"]), print):
        return tmp_path


def of(document: dict[str, Any], name: str) -> dict[str, list[dict[str, Any]]]:
    """The checks of a name, by verdict."""
    rows = [check for check in document["checks"] if check["name"] == name]
    return {verdict: [row for row in rows if row["verdict"] == verdict] for verdict in ("ok", "fail", "unknown")}


def shares(rows: pd.DataFrame, column: str) -> pd.Series[float]:
    """Of an object's total of a column by object and CPU."""
    total = rows.groupby(["object", "cpu"], observed=True)[column].sum()
    return total / total.groupby(level=0).transform("sum")


def test_thirty_seconds_from_a_booting_kernel_to_a_report_that_agrees_with_itself(alone: Path) -> None:
    record = wgprof("record", "--target", "lab", "--duration", str(DURATION_S), "-o", "it.wgprof", folder=alone)
    assert record.code == 0, record.stderr
    assert re.fullmatch(r"Wrote it.wgprof \([\d.]+ [kM]B\)\n", record.stdout)
    assert "note:" not in record.stderr
    show = wgprof("show", "--json", "it.wgprof", folder=alone)
    report = wgprof("report", "it.wgprof", folder=alone)
    assert re.fullmatch(r"Wrote it.html \([\d.]+ MB\)\n", report.stdout)
    assert (alone / "it.html").stat().st_size < 6 * MEGABYTE

    document = json.loads(show.stdout)
    assert document["flowed"]
    for name in ("conservation", "interface counters"):
        checks = of(document, name)
        assert checks["ok"] and not checks["fail"] and not checks["unknown"], checks
    assert of(document, "losses")["fail"] == []
    assert [row["lost"] for row in document["journeys"]] == [0, 0]
    assert all(row["complete"] > 1000 for row in document["journeys"])
    little = of(document, "Little's law")
    # A host that takes the emulated CPUs away takes their clock away, while queues grow; the panel says so.
    starved = of(document, "emulation")["fail"] and of(document, "depth clock")["fail"]
    assert starved or not little["fail"], little["fail"]
    assert starved or any(row["value"] < 0.10 for row in little["ok"]), "a queue held enough to be judged"
    assert document["manifest"]["probes"]["missing"] == 0
    assert document["manifest"]["results"]["received_bytes"] > 10 * MEGABYTE

    ends = document["ends"]
    assert ends["same_clock"] and len(ends["tunnels"]) == 1
    seen = [direction["seen"] for direction in ends["directions"]]
    assert [s["both"] > 1000 for s in seen] == [True, True]
    assert [s["only_receiver"]["missing"] for s in seen] == [0, 0]

    with open_recording(alone / "it.wgprof") as recording:
        kinds = set(recording.table("probes")["kind"])
        assert kinds <= {"fentry", "fexit", "tracepoint", "perf"}, "a program was refused, and a kprobe taken instead"
        stages = recording.table("stages").groupby("stage", observed=True)["packets"].sum()
        if stages["tx.send"] == stages["rx.receive"]:  # nothing was lost on the way, so nothing may be called lost
            assert [s["only_sender"]["missing"] for s in seen] == [0, 0]
        agent_mb = recording.table("intervals")["agent_rss_bytes"].max() / MEGABYTE
        for point, stage in ((2, "tx.encrypt"), (5, "rx.decrypt")):
            counted = shares(only(recording.table("stages"), stage=stage), "packets")
            sampled = shares(only(recording.table("journeys"), point=point).assign(packets=1), "packets")
            apart = (counted - sampled.reindex(counted.index, fill_value=0.0)).abs()
            assert apart.max() < 0.1, f"samples are of every CPU what all packets are: {apart}"
    residuals = ", ".join(f"{row['subject']} {100 * row['value']:.1f} %" for row in little["ok"])
    took = f"recorded {DURATION_S} s in {record.seconds:.0f} s, report {report.seconds:.1f} s"
    print(f"\nthe agent's start: {document['manifest']['startup']}")
    print(f"{took}, host {record.peak_mb:.0f} MB, report {report.peak_mb:.0f} MB, agent {agent_mb:.0f} MB")
    print(f"Little's law: {residuals}")
    assert record.peak_mb < 300
    assert agent_mb < 250


def test_ctrl_c_ends_the_traffic_and_completes_the_file(alone: Path) -> None:
    began = time.monotonic()
    process = start("record", "--target", "lab", "--duration", "300", "-o", "it.wgprof", "--json", folder=alone)
    wait_for("Recording for", process, alone)
    time.sleep(3)  # of traffic
    process.send_signal(signal.SIGINT)
    done = finish(process, alone, began)
    assert done.code == 4, done.stderr
    assert re.search(r"Interrupted after [\d.]+ s; the file is complete", done.stderr)
    said = json.loads(done.stdout)
    assert (said["complete"], said["interrupted"]) == (True, True)
    with open_recording(alone / "it.wgprof") as recording:
        results = recording.manifest["results"]
        if "machine died" in results.get("error", ""):
            raise EmulatorFailure(results["error"])
        assert results.get("received_bytes", 0) > 0, results
        assert 2 < recording.manifest["duration_s"] < 60
    assert not (alone / "it.wgprof.part").exists()


def test_ctrl_c_before_the_recording_leaves_nothing(alone: Path) -> None:
    began = time.monotonic()
    process = start("record", "--target", "lab", "--duration", "300", "-o", "it.wgprof", folder=alone)
    wait_for("lab: booting", process, alone)
    process.send_signal(signal.SIGINT)
    done = finish(process, alone, began)
    assert done.code == 1
    assert done.stderr.splitlines()[-2:] == [
        "error: interrupted before anything was recorded",
        "  No file was written.",
    ]
    assert sorted(path.name for path in alone.iterdir()) == ["stderr", "stdout"]
