"""A sweep as lines, tables and JSON: its configurations, the laws that fit them, and the model against them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from wgprof.analysis import checks, units
from wgprof.analysis.estimate import Estimate
from wgprof.analysis.names import clean
from wgprof.report.as_json import plain
from wgprof.report.sheets import Sheet
from wgprof.report.terminal import print_sheets, wide
from wgprof.sweep.configuration import AXES
from wgprof.sweep.document import DONE, FAILED, WAITING, Sweep
from wgprof.sweep.figures import SERVERS, WASTED, Row, rows_of
from wgprof.sweep.file import SweepFile

if TYPE_CHECKING:  # both need what wgprof may be installed without
    from wgprof.sweep.curves import Curve, Fitted
    from wgprof.sweep.validation import Compared, Figure, Validation

VERSION = 1
_NOTHING = "–"
_AGAINST = ("predicted", "measured", "off", "within")
#: A law whose highest point is beyond any machine has none.
_NO_PEAK = 1e5
_LAWS = {"amdahl": "Amdahl", "usl": "USL"}
LAB = "Recorded in the lab: absolute speed is the emulator's; counts, orders and ratios are real."
INTERVALS = (
    "± is the 95 % interval over repeats (Student's t), a..b where it was cut at what can be; servers: of a peer's the"
    " busiest peer's."
)
ORDER = (
    "Every repeat has all configurations in a random order of its own, so that a drift of the machine does not favour"
    " any."
)


@dataclass(frozen=True)
class Results:
    """All that is known of a sweep."""

    sweep: Sweep
    rows: Sequence[Row]
    fits: Sequence[Fitted] = ()
    validation: Validation | None = None


def results_of(opened: SweepFile, progress: Callable[[int, int], None] | None = None) -> Results:
    """Analyse the recordings and fit the laws, where SciPy is installed.  Raises RecordingError if one is damaged."""
    rows = rows_of(opened, progress)
    if importlib.util.find_spec("scipy") is None:  # laws and predictions are an extra of the installation
        return Results(opened.sweep, rows)
    from wgprof.sweep.curves import curves_of, fits_of

    return Results(opened.sweep, rows, fits_of(list(curves_of(rows))))


def print_results(results: Results, console: Console | None = None) -> None:
    """Print what there is, what failed, the laws, and the model against it."""
    console = wide(console)
    for line in warnings(results):
        console.print(Text(line, style="bold red"), soft_wrap=True)
    for line in headline(results):
        console.print(Text(line, style="bold"), soft_wrap=True)
    for line in (LAB, INTERVALS):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    print_sheets(
        [configurations_sheet(results), servers_sheet(results), *trouble_sheets(results), fits_sheet(results)], console
    )
    if results.validation is not None:
        console.print()
        for line in validation_lines(results.validation):
            console.print(Text(line, style="bold"), soft_wrap=True)
        print_sheets(validation_sheets(results.validation), console)


def warnings(results: Results) -> list[str]:
    """What has to be said first."""
    found = [clean(f"{row.label}: {row.warning}", 400) for row in results.rows if row.warning]
    failed = [row for row in results.rows if row.failed_checks]
    if failed:
        runs = sum(bool(run.failed) for row in failed for run in row.runs)
        found.append(
            f"Checks FAILED in {runs} of {len(results.sweep.in_state(DONE))} recordings; they are listed below."
        )
    if lost := results.sweep.in_state(FAILED):
        found.append(f"{len(lost)} of {len(results.sweep.runs)} recordings could not be made; they are listed below.")
    return found


def headline(results: Results) -> list[str]:
    """How much there is, and whether it can be trusted."""
    sweep = results.sweep
    done, waiting, repeats = sweep.in_state(DONE), sweep.in_state(WAITING), sweep.matrix.repeats
    lines = [
        f"{len(results.rows)} configurations, {repeats} repeat{'s' if repeats > 1 else ''} of"
        f" {sweep.matrix.duration:g} s each: {len(done)} of {len(sweep.runs)} recordings."
    ]
    if waiting:
        lines.append(f"Not finished: {len(waiting)} recordings wait; the same `wgprof sweep` again goes on.")
    runs = [run for row in results.rows for run in row.runs]
    if runs and not any(run.failed for run in runs):
        lines.append(
            f"Quality: all {sum(run.checks_ok for run in runs)} decidable checks hold,"
            f" {sum(run.checks_open for run in runs)} could not be decided."
        )
    common = sweep.matrix.configurations[0].label(tuple(axis for axis in AXES if axis not in sweep.axes))
    return [*lines, f"In common: {common}."] if common else lines


def configurations_sheet(results: Results) -> Sheet:
    """A row a configuration."""
    columns = ("#", "configuration", "repeats", "checks", "Mbit/s goodput", "CPUs", "CE", "wasted polls")
    sheet = Sheet("Configurations: means over repeats", columns, left=2)
    for row in results.rows:
        sheet.add(
            [
                str(row.number),
                row.label,
                f"{len(row.runs)} of {results.sweep.matrix.repeats}",
                _verdict(row),
                _interval(row.goodput_mbit_s),
                units.share(row.busy_share.value if row.busy_share else None),
                _interval(row.busy_ce),
                share(row.wasted_polls),
            ],
            checks.FAIL if row.failed_checks or not row.runs else "",
        )
    return sheet


def servers_sheet(results: Results) -> Sheet:
    """Utilisation by server: a row a configuration."""
    kinds = [kind for kind in SERVERS if any(kind in row.utilisation for row in results.rows)]
    sheet = Sheet("Servers: how busy they are, means over repeats", ("#", "configuration", *kinds), left=2)
    for row in results.rows if kinds else ():
        sheet.add([str(row.number), row.label, *(share(row.utilisation.get(kind)) for kind in kinds)])
    return sheet


def share(estimate: Estimate | None) -> str:
    """A share as a percentage, and its interval."""
    return _NOTHING if estimate is None else units.share(estimate.value) + _width(estimate.scaled(100))


def _interval(estimate: Estimate | None) -> str:
    """A mean and its interval."""
    return _NOTHING if estimate is None else units.digits(estimate.value) + _width(estimate)


def _width(estimate: Estimate) -> str:
    """Half the interval's width; both ends where one was cut at what can be."""
    if estimate.low is None or estimate.high is None:
        return ""
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    if math.isclose(below, above, rel_tol=1e-6, abs_tol=1e-9):
        return f" ±{units.digits(above, 2)}"
    return f" ({units.digits(estimate.low)}..{units.digits(estimate.high)})"


def _verdict(row: Row) -> str:
    if not row.runs:
        return "not recorded"
    failed = sum(len(run.failed) for run in row.runs)
    return f"{failed} FAILED" if failed else "ok"


def trouble_sheets(results: Results) -> list[Sheet]:
    """Checks that failed, and recordings that could not be made."""
    failed = Sheet("Checks that failed", ("configuration", "check", "recordings"), left=2)
    lost = Sheet("Recordings that could not be made", ("configuration", "why"), left=2)
    for row in results.rows:
        for name, count in row.failed_checks.items():
            failed.add([row.label, name, f"{count} of {len(row.runs)}"])
        for reason in row.failures:
            lost.add([row.label, clean(reason, 200)])
    return [failed, lost]


def fits_sheet(results: Results) -> Sheet:
    """A row a law and curve."""
    columns = ("curve", "law", "parameters, 95 % intervals", "highest at", "off by")
    sheet = Sheet("Laws of scaling, fitted to every repeat", columns, left=3)
    for fitted in results.fits:
        law = fitted.fit
        values = ", ".join(
            f"{p.name} {units.digits(p.value)} ({units.digits(p.low)}..{units.digits(p.high)})" for p in law.parameters
        )
        peak = _NOTHING if law.peak > _NO_PEAK else units.digits(law.peak, 2)
        sheet.add([curve_label(fitted.curve, results.sweep), _LAWS[law.law], values, peak, units.share(law.residual)])
    return sheet


def runs_sheet(results: Results) -> Sheet:
    """Every recording, in the order in which they were made."""
    columns = ("#", "configuration", "repeat", "goodput Mbit/s", "CE", "failed checks", "took")
    sheet = Sheet("Recordings, in their order", columns, left=2)
    found = {run.number: (row, run) for row in results.rows for run in row.runs}
    for run in results.sweep.runs:
        if run.number in found:
            row, figures = found[run.number]
            took = f"{run.seconds:.0f} s" if run.seconds else _NOTHING
            sheet.add([str(run.number), row.label, str(run.repeat), f"{figures.goodput_mbit_s:,.1f}",
                       f"{figures.busy_ce:.2f}", str(len(figures.failed)), took])  # fmt: skip
    return sheet


def curve_label(curve: Curve, sweep: Sweep) -> str:
    """Over what, and with what."""
    rest = curve.configuration.label(tuple(axis for axis in sweep.axes if axis != curve.axis))
    return f"over {'CPUs' if curve.axis == 'cpus' else 'tunnels'}: {rest}"


def validation_lines(validation: Validation) -> list[str]:
    """What was calibrated with what, and how many ratios are near."""
    count, source = len(validation.compared), clean(validation.source, 100)
    base, within = validation.base.label, f"{validation.tolerance * 100:.0f} %"
    if count:
        head = (
            f"The model, calibrated with {source}, against the sweep: {validation.holding} of {count} ratios to {base}"
            f" are within {within} ({units.share(validation.holding / count)})."
        )
    else:
        head = f"The model, calibrated with {source}, has no second configuration to predict."
    absolute = f"Absolute: the model's throughput times {validation.scale:.2f} is that of {base}."
    figures = validation.figures
    if figures:
        near = sum(figure.holds for figure in figures)
        absolute += f" Wasted polls and time by server: {near} of {len(figures)} are within {within}."
    notes = [f"Note: {clean(note, 300)}." for note in validation.notes]
    return [head, absolute, *notes, *(f"Taken, not predicted: {clean(taken, 300)}." for taken in validation.taken)]


def validation_sheets(validation: Validation) -> list[Sheet]:
    """Ratios, predicted and measured; then what was left out."""
    columns = (
        "#",
        "configuration",
        "checks",
        "predicted",
        "band",
        "measured",
        "off",
        "within",
        "CE predicted",
        "CE measured",
        "taken",
    )
    sheet = Sheet(f"Throughput as a multiple of {validation.base.label}", columns, left=2)
    for row in validation.compared:
        sheet.add(_compared_cells(row), checks.OK if row.holds else checks.FAIL)
    shares = Sheet("Wasted polls, and CPU time by server", ("#", "configuration", "of", *_AGAINST), left=3)
    for row in validation.compared:
        for figure in row.figures:
            shares.add(_figure_cells(row.row, figure), checks.OK if figure.holds else checks.FAIL)
    left = Sheet("Not compared", ("configuration", "why"), left=2)
    for out, why in validation.not_compared:
        left.add([out.label, why])
    return [sheet, shares, left]


def _figure_cells(row: Row, figure: Figure) -> list[str]:
    def worded(value: float) -> str:
        return units.share(value) if figure.name == WASTED else f"{value:.2f} CE"

    off = "–" if figure.off is None else f"{figure.off * 100:+.0f} %"
    cells = [worded(figure.predicted), worded(figure.measured.value), off, "yes" if figure.holds else "NO"]
    return [str(row.number), row.label, figure.name, *cells]


def _compared_cells(compared: Compared) -> list[str]:
    return [
        str(compared.row.number),
        compared.row.label,
        _verdict(compared.row),
        f"{compared.predicted:.2f}",
        f"{compared.low:.2f}..{compared.high:.2f}",
        _ends(compared.measured),
        f"{compared.off * 100:+.0f} %",
        "yes" if compared.holds else "NO",
        f"{compared.busy_predicted:.2f}",
        f"{compared.busy_measured:.2f}",
        ", ".join(compared.taken) or _NOTHING,
    ]


def _ends(ratio: Estimate) -> str:
    """A ratio and its interval, which is not the same to both sides."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} ({ratio.low:.2g}..{ratio.high:.2g})"


def as_document(results: Results) -> dict[str, Any]:
    """One JSON-able object; within a version keys are only added."""
    document = {
        "wgprof_sweep": VERSION,
        "created": results.sweep.created,
        "matrix": results.sweep.matrix.document(),
        "left_out": results.sweep.matrix.left_out,
        "recordings": {state: len(results.sweep.in_state(state)) for state in (DONE, FAILED, WAITING)},
        "configurations": [{**plain(row), "failed_checks": row.failed_checks} for row in results.rows],
        "fits": [
            {
                "axis": fitted.curve.axis,
                "configurations": [row.number for row in fitted.curve.rows],
                "law": fitted.fit.law,
                "parameters": {p.name: {"value": p.value, "low": p.low, "high": p.high} for p in fitted.fit.parameters},
                "residual": fitted.fit.residual,
                "peak": fitted.fit.peak,
            }
            for fitted in results.fits
        ],
        "validation": None if results.validation is None else _validation(results.validation),
    }
    whole: dict[str, Any] = plain(document)
    return whole


def _validation(validation: Validation) -> dict[str, Any]:
    compared = [
        {
            "configuration": c.row.number,
            "predicted": c.predicted,
            "low": c.low,
            "high": c.high,
            "measured": c.measured,
            "off": c.off,
            "within": c.holds,
            "busy_ce_predicted": c.busy_predicted,
            "busy_ce_measured": c.busy_measured,
            "taken": list(c.taken),
            "figures": [
                {"of": f.name, "predicted": f.predicted, "measured": f.measured, "off": f.off, "within": f.holds}
                for f in c.figures
            ],
        }
        for c in validation.compared
    ]
    return {
        "calibrated_with": validation.source,
        "base": validation.base.number,
        "scale": validation.scale,
        "notes": list(validation.notes),
        "taken": list(validation.taken),
        "tolerance": validation.tolerance,
        "within": validation.holding,
        "compared": compared,
        "not_compared": [{"configuration": row.number, "why": why} for row, why in validation.not_compared],
    }
