"""`wgprof show`: the verdict and the tables behind it, in the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wgprof.analysis.summary import analyse
from wgprof.cli import other_end
from wgprof.report.embedded import open_recording_or_report
from wgprof.rules.diagnose import diagnose


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@other_end.option
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object (stable, versioned).")
def command(file: Path, end: Path | None, as_json: bool) -> None:
    """Show what a recording says: the verdict first, then the evidence, then what was ruled out.

    FILE is a recording, or a report that contains one.
    """
    recording = open_recording_or_report(file)
    analysis = analyse(recording)
    if end is not None:
        analysis = other_end.compared(analysis, recording, file, end)
    diagnosis = diagnose(analysis, recording)
    if as_json:
        from wgprof.report.as_json import as_document  # the terminal's tables are not needed here

        click.echo(json.dumps(as_document(analysis, diagnosis, recording.manifest), indent=1))
        return
    from wgprof.report.terminal import print_analysis

    print_analysis(analysis, diagnosis, recording)
