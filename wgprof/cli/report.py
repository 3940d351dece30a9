"""`wgprof report`: one self-contained HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from wgprof.analysis import units
from wgprof.analysis.summary import analyse
from wgprof.cli import other_end
from wgprof.errors import UsageError
from wgprof.recording.reader import open_recording
from wgprof.report.page import Against, write_report
from wgprof.rules.comparison import compared


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@other_end.option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="OTHER",
    help="Compare with this recording: what changed from OTHER to FILE.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The HTML file; default: beside FILE.")
def command(file: Path, end: Path | None, against: Path | None, output: Path | None) -> None:
    """Write a report of a recording: one HTML file that needs no network and contains the recording."""
    out = output or file.with_suffix(".html")
    recording = open_recording(file)
    for given in (file, against):
        if given is not None and given.exists() and out.exists() and out.samefile(given):
            raise UsageError(f"{out} is the recording itself", "Name another file with -o.")
    analysis = analyse(recording)
    if end is not None:
        analysis = other_end.compared(analysis, recording, file, end)
    if against is None:
        size = write_report(recording, analysis, file.name, out)
    else:
        with open_recording(against) as before:
            if file.samefile(against):
                raise UsageError(
                    f"{file} was given twice", "Name two recordings: `wgprof report AFTER --against BEFORE`."
                )
            comparison = compared(before, recording)
            size = write_report(recording, analysis, file.name, out, Against(before, against.name, comparison))
    click.echo(f"Wrote {out} ({units.size(size)})")
