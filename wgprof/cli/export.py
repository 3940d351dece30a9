"""`wgprof export`: a recording in the forms other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from wgprof.errors import RecordingError
from wgprof.export.folded import folded_lines
from wgprof.export.folder import WRITERS, export_folder
from wgprof.recording.reader import open_recording
from wgprof.recording.sizes import human_size


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["folded", *WRITERS]), required=True, help="What to write.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="folded: a file; others: a new folder.")
def command(file: Path, form: str, output: Path | None) -> None:
    """Write a recording in a form other tools read.

    folded: sampled stacks for flame graphs, to the standard output or a file.  csv, parquet: a folder
    with a file for each table, by default beside FILE.

    \b
    wgprof export slow.wgprof --format folded | flamegraph.pl > slow.svg
    wgprof export slow.wgprof --format csv -o slow-tables
    """
    with open_recording(file) as recording:
        if form == "folded":
            _folded(list(folded_lines(recording)), output)
            return
        folder = output or file.with_name(f"{file.stem}-{form}")
        size = export_folder(recording, form, folder)
    click.echo(f"Wrote {folder} ({human_size(size)})")


def _folded(lines: list[str], output: Path | None) -> None:
    if output is None:
        click.echo("\n".join(lines))
        return
    try:
        output.write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise RecordingError(f"{output} could not be written: {error.strerror or error}") from error
    click.echo(f"Wrote {output} ({human_size(output.stat().st_size)})")
