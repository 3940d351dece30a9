"""perf itself, on the running kernel: no VM, no WireGuard, and no hardware counters on many a machine."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from wgprof.agent.frames import Kind, read_frames
from wgprof.perf import state
from wgprof.recording.sampled import SampledTables

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def window(seconds: float, *options: str) -> SampledTables:
    """What the agent passes on of a window of perf, as the recorder reads it."""
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*become_root, "/usr/bin/python3", "-I", str(HERE / "perf_window.py"), str(ROOT), str(seconds), *options]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    tables = SampledTables()
    for frame in read_frames(io.BytesIO(done.stdout)):
        assert frame.kind is Kind.PERF
        tables.add(frame.payload)
    tables.finish()
    return tables


@contextlib.contextmanager
def kernel_at_work() -> Iterator[None]:
    """A process that keeps a CPU in the kernel."""
    busy = subprocess.Popen(["dd", "if=/dev/zero", "of=/dev/null", "bs=1"], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def test_perf_is_here() -> None:
    assert shutil.which("perf"), "perf is missing: run `make setup`"


def test_a_window_counts_samples_and_tells_what_the_machine_lacks() -> None:
    with kernel_at_work():
        tables = window(1)
    assert [(s.part, s.state) for s in tables.states] == [(part, state.OK) for part in ("stat", "stacks", "kwork")]
    manifest, rows = tables.manifest(), tables.rows()
    assert manifest["version"][0].isdigit()
    online = set(os.sched_getaffinity(0))
    counted = {(row["cpu"], row["event"]): row for row in rows["perf_stat"]}
    assert {cpu for cpu, _ in counted} >= online
    assert sum(row["value"] for (_, event), row in counted.items() if event == "context-switches") > 0
    cycles = {row["state"] for (_, event), row in counted.items() if event == "cycles"}
    assert manifest["sample_event"] == ("cycles" if "counted" in cycles else "cpu-clock")
    # A CPU in the kernel for a second; on a busy machine it had to share.
    assert manifest["samples"] > manifest["sample_hz"] / 10
    assert {row["stack"] for row in rows["stacks"]} == {"[elsewhere]"}, "nothing of WireGuard's runs here"


def test_a_window_that_is_stopped_ends_at_once_and_keeps_what_it_has() -> None:
    began = time.monotonic()
    tables = window(300, "--stop")
    assert time.monotonic() - began < 60
    assert {s.state for s in tables.states} <= {state.STOPPED, state.OK}
    assert tables.rows()["kwork"] == []


def test_without_perf_every_part_says_so() -> None:
    tables = window(1, "--path=/nowhere")
    assert [s.state for s in tables.states] == [state.NOT_INSTALLED] * 3
    assert all("apt install linux-perf" in s.remedy for s in tables.states)
    assert tables.rows() == {"stacks": [], "perf_stat": [], "kwork": []}
