"""`wgprof sweep show` and `wgprof sweep report`: what a sweep says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wgprof.analysis import units
from wgprof.cli.predict import counted_progress, machine_of
from wgprof.errors import UsageError
from wgprof.model.installed import require_model
from wgprof.sweep.file import SweepFile

if TYPE_CHECKING:
    from wgprof.report.sweep import Results

_FILE = click.argument("file", type=click.Path(path_type=Path))
_PREDICT = click.option(
    "--predict",
    "calibration",
    metavar="CONFIGURATION|FILE",
    help="Compare with the model, calibrated with a configuration (its number) or as `wgprof predict FILE`.",
)


@click.command()
@_FILE
@_PREDICT
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object (stable, versioned).")
def show_command(file: Path, calibration: str | None, as_json: bool) -> None:
    """Show what a sweep says of each configuration, the laws that fit it, and the model against it."""
    from wgprof.report.sweep import as_document, print_results

    results = _results(file, calibration)
    if as_json:
        click.echo(json.dumps(as_document(results), indent=1))
    else:
        print_results(results)


@click.command()
@_FILE
@_PREDICT
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The HTML file; default: beside FILE.")
def report_command(file: Path, calibration: str | None, output: Path | None) -> None:
    """Write the scaling curves of a sweep, and what `show` prints, as one HTML file that needs no network."""
    require_model("drawing a sweep")
    from wgprof.report.sweep_page import write_page

    out = output or file.with_suffix(".html")
    results = _results(file, calibration)
    if out.exists() and out.samefile(file):
        raise UsageError(f"{out} is the sweep itself", "Name another file with -o.")
    size = write_page(results, file.name, out)
    click.echo(f"Wrote {out} ({units.size(size)})")


def _results(file: Path, calibration: str | None) -> Results:
    """Analyse the recordings, fit, and predict if that is asked."""
    if calibration is not None:
        require_model()
    from wgprof.report.sweep import results_of

    with SweepFile(file) as opened:
        with counted_progress("analysing") as progress:
            results = results_of(opened, progress)
        if calibration is None:
            return results
        from wgprof.sweep.validation import calibrated, row_named, validate

        rows = results.rows
        base = row_named(rows, calibration)
        if base is None and calibration.isdigit():
            raise UsageError(f"there is no configuration {calibration}", f"There are 1 to {len(rows)}.")
        machine = calibrated(opened, base) if base is not None else machine_of(Path(calibration))
        with counted_progress("simulating") as progress:
            return replace(results, validation=validate(machine, rows, base, progress=progress))
