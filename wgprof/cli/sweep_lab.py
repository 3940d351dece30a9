"""How a sweep records: in a fresh lab each time, as `wgprof record` does, with one display for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from wgprof.analysis.names import clean
from wgprof.cli.record import Interrupted, record_patiently
from wgprof.errors import RecordingError
from wgprof.recording.reader import open_recording
from wgprof.sweep.configuration import DISTRIBUTION, Configuration
from wgprof.sweep.document import DONE, WAITING, Run, Sweep
from wgprof.sweep.matrix import Matrix
from wgprof.sweep.running import Recorder
from wgprof.targets.base import RecordRequest
from wgprof.targets.lab import LabSettings, LabTarget
from wgprof.targets.session import Progress


class SweepDisplay:
    """A bar over all recordings on a terminal; on a pipe only what went wrong.  Implements sweep.running.Watch."""

    def __init__(self, notes: Console, sweep: Sweep) -> None:
        self._notes = notes
        self._axes = sweep.axes
        self._bar = Bar(
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
            console=notes,
            transient=True,
            disable=not notes.is_terminal,
        )
        self._task = self._bar.add_task(
            "", total=len(sweep.runs), completed=len(sweep.runs) - len(sweep.in_state(WAITING)), left=""
        )
        self._label = ""

    def __enter__(self) -> SweepDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, run: Run, left_s: float) -> None:
        """Before a recording; `left_s` until the end of the last."""
        self._label = run.configuration.label(self._axes)
        self._bar.update(self._task, description=self._label, left=time_words(left_s) + " left")

    def ended(self, run: Run) -> None:
        """After a recording, or after it was given up."""
        self._bar.advance(self._task)
        if run.state != DONE:
            self._say(f"gave up: {run.configuration.label(self._axes)}, repeat {run.repeat}")

    def stumbled(self, run: Run, reason: str) -> None:
        """A recording failed; it is tried once more."""
        self._say(f"note: {run.configuration.label(self._axes)}, repeat {run.repeat}: {reason}")

    def say_step(self, line: str) -> None:
        """What the lab is doing."""
        self._bar.update(self._task, description=f"{self._label}: {line}")

    def _say(self, line: str) -> None:
        self._notes.print(clean(line, 500), markup=False, soft_wrap=True)


class _Phases:
    """Shows a recording's phases within the sweep's bar."""

    def __init__(self, display: SweepDisplay) -> None:
        self._display = display

    def __enter__(self) -> _Phases:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, progress: Progress) -> None:
        """Called often."""
        self._display.say_step(progress.phase)


def lab_recorder(matrix: Matrix, notes: Console, display: SweepDisplay) -> Recorder:
    """Makes the recordings of a matrix."""
    request = RecordRequest(
        duration_s=matrix.duration, interval_ms=matrix.interval_ms, sample=matrix.sample, detail=matrix.detail
    )

    def record(configuration: Configuration, out: Path) -> None:
        target = LabTarget(settings_of(configuration), display.say_step)
        try:
            session, finished = record_patiently(target, request, out, notes, display.say_step, _Phases(display))
        except Interrupted:
            raise KeyboardInterrupt from None
        if session.interrupted:
            raise KeyboardInterrupt
        if not finished.complete:
            raise RecordingError(f"the recording was cut off: {finished.message or finished.end_reason}")
        with open_recording(out) as recording:
            wrong = traffic_error(recording.manifest["results"], idle=configuration.workload == "idle")
        if wrong:
            raise RecordingError(f"the traffic failed: {wrong}")

    return record


def settings_of(configuration: Configuration) -> LabSettings:
    """The lab of a configuration."""
    return LabSettings(
        kernel=configuration.kernel,
        cpus=configuration.cpus,
        tunnels=configuration.tunnels,
        workload=configuration.workload,
        threaded=configuration.threaded,
        module="" if configuration.module == DISTRIBUTION else configuration.module,
        lab_crypto=configuration.lab_crypto,
        mtu=configuration.mtu,
        serial_work=configuration.serial_work,
    )


def traffic_error(results: Mapping[str, object], *, idle: bool) -> str:
    """What went wrong with a recording's traffic, as the lab noted it in the manifest; empty if nothing did."""
    if results.get("error"):
        return clean(results["error"], 200)
    tunnels = results.get("tunnels")
    for tunnel in tunnels if isinstance(tunnels, list) else []:
        if isinstance(tunnel, Mapping) and tunnel.get("error"):
            return clean(f"{tunnel.get('interface', '')}: {tunnel['error']}", 200)
    return "" if idle or results.get("received_bytes") else "nothing arrived"


def time_words(seconds: float) -> str:
    """Roughly how long."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
