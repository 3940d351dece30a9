"""`wgprof export`: a recording in the forms other tools read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wgprof.errors import RecordingError, UsageError
from wgprof.recording.sizes import human_size

if TYPE_CHECKING:
    from wgprof.recording.reader import Recording

#: Formats that are one text, to a file or the standard output; a folder of files; and a recording again.
_TEXTS = ("perfetto", "folded", "openmetrics")
_FOLDERS = ("csv", "parquet")
_RECORDING = "wgprof"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice([*_TEXTS, *_FOLDERS, _RECORDING]), required=True, help="What to write."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="csv, parquet: a new folder; others: a file.")
@click.option("--anonymize", is_flag=True, help="Labels for public keys, addresses and host names.")
@click.option("--from", "from_s", type=float, metavar="SECONDS", help="perfetto: from so long after the start.")
@click.option("--to", "to_s", type=float, metavar="SECONDS", help="perfetto: until so long after the start.")
def command(
    file: Path, form: str, output: Path | None, anonymize: bool, from_s: float | None, to_s: float | None
) -> None:
    """Write a recording in a form other tools read.

    \b
    perfetto     a trace for ui.perfetto.dev and chrome://tracing: sampled packets
                 on each CPU and of each peer; queues, CPUs and goodput over time
    folded       sampled stacks for flame graphs
    openmetrics  totals and findings for Prometheus: node_exporter's textfile
                 collector, or a push gateway
    csv, parquet a folder with a file for each table, by default beside FILE
    wgprof       a whole recording again, in the present format; needs -o

    The first three go to the standard output without -o. --anonymize goes with every format: peer-N, addr-N and
    host-N stand for keys, addresses and host names; names of interfaces, namespaces and threads stay.

    \b
    wgprof export slow.wgprof --format perfetto --from 2 --to 3 -o slow.trace.json
    wgprof export slow.wgprof --format folded | flamegraph.pl > slow.svg
    wgprof export slow.wgprof --format openmetrics -o /var/lib/node_exporter/wgprof.prom
    wgprof export slow.wgprof --format csv -o slow-tables
    wgprof export slow.wgprof --format parquet --anonymize -o shareable-tables
    wgprof export slow.wgprof --format wgprof --anonymize -o shareable.wgprof
    """
    from wgprof.recording.anonymize import anonymous
    from wgprof.recording.reader import open_recording

    if form != "perfetto" and (from_s is not None or to_s is not None):
        raise UsageError("--from and --to are for perfetto", "Leave them out; the other formats are of all of it.")
    if form == _RECORDING:
        _check_copy(file, output)
    with open_recording(file) as opened:
        recording = anonymous(opened) if anonymize else opened
        if form in _TEXTS:
            _write_text(_text(recording, form, (from_s, to_s)), output)
        elif form in _FOLDERS:
            _write_folder(recording, form, output or file.with_name(f"{file.stem}-{form}"))
        else:
            assert output is not None
            _write_recording(recording, output)


def _text(recording: Recording, form: str, times: tuple[float | None, float | None]) -> Iterable[str]:
    """The lines of a text format, each with its end."""
    if form == "folded":
        from wgprof.export.folded import folded_lines

        return [f"{line}\n" for line in folded_lines(recording)]
    if form == "perfetto":
        from wgprof.export.perfetto import trace_of

        trace = trace_of(recording, *times)
        for note in trace.notes:
            click.echo(f"note: {note}", err=True)
        return trace.lines()
    from wgprof.analysis.summary import analyse
    from wgprof.export.openmetrics import openmetrics_text
    from wgprof.rules.diagnose import diagnose

    analysis = analyse(recording)
    return [openmetrics_text(recording, analysis, diagnose(analysis, recording))]


def _write_text(lines: Iterable[str], output: Path | None) -> None:
    if output is None:
        for line in lines:  # as UTF-8, whatever the terminal's locale is
            sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()
        return
    from wgprof.recording.writer import replacing

    def write() -> int:
        # A reader of the file never sees a part of it; what is no file, a pipe perhaps, is written as it is.
        with output.open("wb") if output.exists() and not output.is_file() else replacing(output) as stream:
            stream.writelines(line.encode() for line in lines)
        return output.stat().st_size

    _wrote(output, write)


def _write_folder(recording: Recording, form: str, folder: Path) -> None:
    from wgprof.export.folder import export_folder

    _wrote(folder, lambda: export_folder(recording, form, folder))


def _check_copy(file: Path, output: Path | None) -> None:
    """Raises UsageError if there is no other file to write the recording to."""
    if output is None:
        raise UsageError("--format wgprof needs a file to write", "Name it with -o, for example -o shareable.wgprof.")
    if output.exists() and file.exists() and output.samefile(file):
        raise UsageError(f"{output} is the recording itself", "Name another file with -o.")


def _write_recording(recording: Recording, output: Path) -> None:
    from wgprof.recording.schema import TABLES
    from wgprof.recording.writer import write_recording

    def write() -> int:
        write_recording(output, recording.manifest, {table.name: recording.arrow(table.name) for table in TABLES})
        return output.stat().st_size

    _wrote(output, write)


def _wrote(path: Path, write: Callable[[], int]) -> None:
    """Write a file or folder, whose size `write` gives, and say so."""
    try:
        size = write()
    except OSError as error:
        raise RecordingError(f"{path} could not be written: {error.strerror or error}") from error
    click.echo(f"Wrote {path} ({human_size(size)})")
