"""`wgprof compare`: what changed from one recording to another."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wgprof.errors import UsageError
from wgprof.recording.reader import open_recording
from wgprof.rules.comparison import compared


@click.command()
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object (stable, versioned).")
def command(first: Path, second: Path, as_json: bool) -> None:
    """Compare two recordings: what changed from A to B, with intervals, and what did not."""
    with open_recording(first) as before, open_recording(second) as after:
        if first.samefile(second):
            raise UsageError(f"{first} was given twice", "Name two recordings, the one before and the one after.")
        comparison = compared(before, after)
    names = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    if as_json:
        from wgprof.report.comparison import as_document

        click.echo(json.dumps(as_document(comparison, names), indent=1))
        return
    from wgprof.report.terminal import print_comparison

    print_comparison(comparison, names)
