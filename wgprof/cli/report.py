"""`wgprof report`: one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from wgprof.analysis import units
from wgprof.analysis.summary import analyse
from wgprof.cli import other_end
from wgprof.errors import UsageError
from wgprof.recording.reader import open_recording
from wgprof.report.page import write_report


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@other_end.option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The HTML file; default: beside FILE.")
def command(file: Path, end: Path | None, output: Path | None) -> None:
    """Write a report of a recording: one HTML file that needs no network."""
    out = output or file.with_suffix(".html")
    recording = open_recording(file)
    if out.exists() and out.samefile(file):
        raise UsageError(f"{out} is the recording itself", "Name another file with -o.")
    analysis = analyse(recording)
    if end is not None:
        analysis = other_end.compared(analysis, recording, file, end)
    size = write_report(recording, analysis, file.name, out)
    click.echo(f"Wrote {out} ({units.size(size)})")
