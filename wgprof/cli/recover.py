"""`wgprof recover`: finish the file of a recording that was cut off."""

from __future__ import annotations

import json
from pathlib import Path

import click

from wgprof.errors import UsageError
from wgprof.recording.finish import Finished, finish_part, output_of
from wgprof.recording.sizes import human_size

#: Version of what --json prints.
_JSON_VERSION = 1


@click.command("recover")
@click.argument("part", metavar="FILE.part", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write; else FILE without .part.")
@click.option("--anonymize", is_flag=True, help="Labels for public keys, addresses and host names.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(part: Path, output: Path | None, anonymize: bool, as_json: bool) -> None:
    """Make a recording of what a killed `wgprof record` left behind.

    The .part is removed once the recording is complete on the disk. It has public keys and addresses; with
    --anonymize, or if it was recorded with that, the recording has labels in their place.

    \b
    wgprof recover slow.wgprof.part
    wgprof recover slow.wgprof.part --anonymize -o shareable.wgprof
    """
    out = output or output_of(part)
    if output is None and out != part and out.exists():
        raise UsageError(f"{out} exists already", "Name another file with -o.")
    done = finish_part(part, out, anonymize=anonymize)
    wrote = f"Wrote {done.path} ({human_size(done.size)})"
    click.echo(_summary(done), err=True)
    if as_json:
        click.echo(json.dumps(_as_json(done), indent=1))
    click.echo(wrote, err=as_json)


def _summary(done: Finished) -> str:
    words = f"Recovered {done.duration_s:.1f} s from {done.frames} frames, {done.journeys} journey events"
    if done.dropped_bytes:
        words += f"; dropped {human_size(done.dropped_bytes)} at the end: {done.message}"
    return words + "."


def _as_json(done: Finished) -> dict[str, object]:
    return {
        "version": _JSON_VERSION,
        "path": str(done.path),
        "bytes": done.size,
        "frames": done.frames,
        "dropped_bytes": done.dropped_bytes,
        "complete": done.complete,
        "end_reason": done.end_reason,
        "message": done.message,
        "duration_s": done.duration_s,
        "journeys": done.journeys,
    }
