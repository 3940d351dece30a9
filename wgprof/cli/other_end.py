"""`--end OTHER`: the recording of the other end of the tunnels, for the commands that show one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from wgprof.analysis.ends import ends_between
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables, ints
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.reader import open_recording

option = click.option(
    "--end",
    type=click.Path(path_type=Path),
    metavar="OTHER",
    help="A recording made at the other end of the tunnels at the same time.",
)


def compared(analysis: Analysis, recording: Tables, file: Path, other_file: Path) -> Analysis:
    """The analysis with the delays between this end and the other.

    Raises RecordingError if the recordings have no packet in common, UsageError if they are the same.
    """
    with open_recording(other_file) as other:
        if file.samefile(other_file):
            raise UsageError(
                f"{other_file} was given as both ends", "A recording that has both ends is shown without --end."
            )
        ends = ends_between(recording, other, (file.name, other_file.name))
        if ends is None:
            raise RecordingError(
                f"{file} and {other_file} have no sampled packet of a tunnel in common{_apart(recording, other)}",
                "Record both ends of the same tunnel at the same time, while packets flow (docs/two-ended.md).",
            )
    return dataclasses.replace(analysis, ends=ends)


def _apart(first: Tables, second: Tables) -> str:
    """That they were not made at the same time, if the wall clocks of the two machines say so."""
    spans = [_span_unix_s(recording) for recording in (first, second)]
    (earlier, earlier_end), (later, _) = sorted(spans)
    if not earlier or later <= earlier_end:
        return ""
    return f": by their wall clocks they were made {later - earlier_end:,.0f} s apart"


def _span_unix_s(recording: Tables) -> tuple[float, float]:
    """Start and end by the wall clock; zeros if that is not known."""
    clock, intervals = recording.manifest.get("clock"), recording.table("intervals")
    start_ns = clock.get("start_unix_ns") if isinstance(clock, dict) else None
    if not isinstance(start_ns, int) or start_ns <= 0 or not len(intervals):
        return 0.0, 0.0
    length_ns = int((ints(intervals, "t_ns") + ints(intervals, "dt_ns")).max()) - int(ints(intervals, "t_ns").min())
    return start_ns / 1e9, (start_ns + length_ns) / 1e9
