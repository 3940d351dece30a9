"""A sweep as one HTML page with everything in it, which asks nothing of any network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from wgprof.analysis.names import clean
from wgprof.errors import WgprofError
from wgprof.model.predict import Prediction
from wgprof.recording.writer import replacing, this_version
from wgprof.report import sweep as words
from wgprof.report.page import allowed_scripts, plotly_source
from wgprof.report.sections import inflatable
from wgprof.resources import resource_dir
from wgprof.sweep.configuration import AXES, COMPARED
from wgprof.sweep.figures import Row
from wgprof.sweep.settings import Setting
from wgprof.sweep.validation import architecture_of
from wgprof.views.figure import Figure
from wgprof.views.scaling import Axis, Measured, scaling

#: More figures than this make no page that anybody reads.
MOST_FIGURES = 12
#: Of a figure's height over its highest mean.
_HEADROOM = 1.35


@dataclass(frozen=True)
class Drawn:
    """A figure and what it says."""

    name: str
    title: str
    caption: str
    figure: Figure


def write_page(results: words.Results, title: str, out: Path) -> int:
    """Write the page and return its size in bytes.  Raises WgprofError if it cannot be written."""
    try:
        with replacing(out) as file:
            file.write(render(results, title).encode())
        return out.stat().st_size
    except OSError as error:
        raise WgprofError(f"cannot write {out}: {error.strerror or error}", "Name another file with -o.") from error


def render(results: words.Results, title: str) -> str:
    """The whole page."""
    folder = resource_dir("reports")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    drawn, left_out = shown_figures(results)
    validation = results.validation
    return environment.get_template("sweep.html.j2").render(
        title=clean(title, 80),
        version=this_version(),
        created=clean(results.sweep.created, 40),
        warnings=words.warnings(results),
        headline=words.headline(results),
        notes=[words.LAB, words.INTERVALS],
        drawn=drawn,
        left_out=left_out,
        data={d.name: inflatable(d.figure.to_json()) for d in drawn},
        configurations=[words.configurations_sheet(results), words.servers_sheet(results)],
        trouble=words.trouble_sheets(results),
        fits=words.fits_sheet(results),
        validation_lines=[] if validation is None else words.validation_lines(validation),
        validation=[] if validation is None else words.validation_sheets(validation),
        order=words.ORDER,
        runs=words.runs_sheet(results),
        style=Markup((folder / "style.css").read_text()),  # noqa: S704  # our own files
        script=Markup((folder / "report.js").read_text()),  # noqa: S704
        plotly=plotly_source(),
        allowed_scripts=Markup(allowed_scripts()),  # noqa: S704
    )


def shown_figures(results: words.Results) -> tuple[list[Drawn], str]:
    """As many figures as anybody looks at, and what is to be said of those that are not there."""
    drawn = list(figures(results))
    if not drawn:
        return [], "There is no curve: it takes two numbers of tunnels or of CPUs with all else equal."
    more = len(drawn) - MOST_FIGURES
    return drawn[:MOST_FIGURES], f"{more} more figures are left out." if more > 0 else ""


def figures(results: words.Results) -> Iterator[Drawn]:
    """Goodput over tunnels, and over CPUs, wherever more than one number was recorded; all else equal but the lines."""
    number = 0
    for axis, across in (("tunnels", "cpus"), ("cpus", "tunnels")):
        groups: dict[tuple[Any, ...], list[Row]] = {}
        apart = [name for name in AXES if name not in (*COMPARED, axis)]
        for row in results.rows:
            if row.goodput_mbit_s is not None:
                groups.setdefault(tuple(getattr(row.configuration, name) for name in apart), []).append(row)
        for rows in groups.values():
            if len({getattr(row.configuration, axis) for row in rows}) > 1:
                number += 1
                at = int(getattr(rows[0].configuration, across))
                yield _drawn(results, f"scaling{number}", axis, at, rows)


def _drawn(results: words.Results, name: str, axis: str, at: int, rows: Sequence[Row]) -> Drawn:
    over: Axis = "cores" if axis == "cpus" else "tunnels"
    cap = _cap_mbit_s(rows) if axis == "tunnels" else None
    prediction = _prediction_of(results, rows)
    figure = scaling(
        prediction,
        [measured for row in rows if (measured := _measured(row))],
        axis=over,
        at=at,
        cap_gbit_s=None if cap is None else cap / 1000,
    )
    highest = [row.goodput_mbit_s.value / 1000 for row in rows if row.goodput_mbit_s is not None]
    highest += [point.gbit_s for point in (prediction.points if prediction is not None else ())]
    # Intervals of few repeats can be many times as long as the figure is high.
    figure.update_axes("y", range=[0, _HEADROOM * max(*highest, (cap or 0) / 1000)])
    rest = rows[0].configuration.label(
        tuple(a for a in results.sweep.axes if a not in (*COMPARED, axis)) or ("workload",)
    )
    parts = [
        "Diamonds: measured, the mean over repeats with its 95 % interval, cut where it leaves the figure.",
        "Dotted: the Universal Scalability Law, where there are enough points for it.",
    ]
    if prediction is not None and results.validation is not None:
        parts.append(
            f"Lines with a band: the model's prediction, multiplied by {results.validation.scale:.2f} so that it meets"
            f" what was measured of {results.validation.base.label}."
        )
    if cap is not None:
        parts.append("Dashed: what the CPUs could carry at the least CPU time a bit that was measured here.")
    return Drawn(name, f"Goodput over {'CPUs' if axis == 'cpus' else 'tunnels'}: {rest}", " ".join(parts), figure)


def _measured(row: Row) -> Measured | None:
    estimate = row.goodput_mbit_s
    if estimate is None:
        return None
    ends = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
    gbit_s, low, high = (value / 1000 for value in (estimate.value, *ends))
    c = row.configuration
    return Measured(architecture_of(c), c.cpus, c.tunnels, gbit_s, low, high)


def _prediction_of(results: words.Results, rows: Sequence[Row]) -> Prediction | None:
    """The prediction that was made of these rows; None if none was."""
    validation = results.validation
    if validation is None or {row.number for row in rows} <= {row.number for row, _ in validation.not_compared}:
        return None
    return validation.scaled.get(Setting.of(rows[0].configuration))


def _cap_mbit_s(rows: Sequence[Row]) -> float | None:
    """Goodput over the share of the CPUs it took, where that is best: all CPUs busy at the least demand seen."""
    found = [
        row.goodput_mbit_s.value / row.busy_share.value
        for row in rows
        if row.goodput_mbit_s is not None and row.busy_share is not None and row.busy_share.value > 0
    ]
    return max(found, default=None)
