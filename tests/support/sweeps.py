"""Sweeps for tests: real small recordings under a matrix, with goodputs that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wgprof.recording.reader import open_recording
from wgprof.recording.schema import TABLES
from wgprof.recording.writer import write_recording
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import Run
from wgprof.sweep.matrix import Matrix, matrix_of
from wgprof.sweep.part import part_of
from wgprof.sweep.running import Recorder, run_sweep

#: A recording of a lab with one tunnel and TCP.
RECORDED = Path(__file__).parents[1] / "captures/recordings/tcp-7.2.wgprof"

Goodput = Callable[[Configuration, int], float]


class Quiet:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.began: list[Run] = []
        self.ends: list[Run] = []
        self.reasons: list[str] = []
        self.left: list[float] = []

    def started(self, run: Run, left_s: float) -> None:
        self.began.append(run)
        self.left.append(left_s)

    def ended(self, run: Run) -> None:
        self.ends.append(run)

    def stumbled(self, run: Run, reason: str) -> None:
        self.reasons.append(reason)


def small(**values: object) -> Matrix:
    """Two configurations, two repeats, if nothing else is said."""
    return matrix_of({"tunnels": [1, 2], "repeats": 2, "duration": 1.0, **values}, "the test")


def recorder(goodput: Goodput) -> Recorder:
    """Writes the recording with another goodput; `goodput` gets the configuration and how often it was recorded."""
    made: dict[Configuration, int] = {}

    def record(configuration: Configuration, out: Path) -> None:
        made[configuration] = made.get(configuration, 0) + 1
        with open_recording(RECORDED) as recording:
            results = {
                **recording.manifest["results"],
                "goodput_bps": goodput(configuration, made[configuration]) * 1e6,
            }
            tables = {table.name: recording.arrow(table.name) for table in TABLES}
            write_recording(out, {**recording.manifest, "results": results}, tables)

    return record


def swept(out: Path, matrix: Matrix, record: Recorder) -> Path:
    """A finished sweep."""
    with part_of(out, matrix) as part:
        assert run_sweep(part, record, Quiet())
        part.pack()
    return out
