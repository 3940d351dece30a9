"""Scaling: throughput against cores or tunnels, measured, fitted, capped and predicted by architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.errors import UsageError
from wgprof.views import theme
from wgprof.views.figure import Figure, line_across, scatter
from wgprof.views.picture import Picture, View

if TYPE_CHECKING:  # they import SciPy, which only a prediction needs: a report is drawn without
    from wgprof.model.predict import Architecture, Point, Prediction

Axis = Literal["cores", "tunnels"]
EMPTY = (
    "A sweep fills this page.<br>"
    "`wgprof sweep --tunnels 1,2,4 -o NAME.sweep` measures in the lab, then `wgprof dashboard NAME.sweep` draws it."
)
_HEIGHT_PX = 420
_CURVE = 60
_MOST_TICKS = 16
#: Room beside the figure for what the cap is called.
_CAP_PX = 104
#: From one architecture's points to the next's, of the axis.
_APART = 0.008


@dataclass(frozen=True)
class Measured:
    """A measured point of the curve: the mean over repeats, and its interval."""

    architecture: Architecture
    cores: int
    tunnels: int
    gbit_s: float
    low_gbit_s: float
    high_gbit_s: float


def scaling(
    prediction: Prediction | None,
    measured: Sequence[Measured] = (),
    *,
    axis: Axis = "cores",
    at: int | None = None,
    cap_gbit_s: float | None = None,
) -> Figure:
    """Goodput over cores (at a number of tunnels) or over tunnels (at a number of cores).

    `at` is the other number; without it the largest there is.  The fit is of the measured points if there are enough
    of them, else of the predicted ones.  `cap_gbit_s` is a known limit, such as the link's.
    """
    points = prediction.points if prediction is not None else ()
    other = "tunnels" if axis == "cores" else "cores"
    everything: list[Point | Measured] = [*points, *measured]
    if not everything:
        return theme.nothing(_HEIGHT_PX // 2, EMPTY)
    fixed = at if at is not None else max(int(getattr(p, other)) for p in everything)
    shown = [p for p in everything if getattr(p, other) == fixed]
    if not shown:
        return theme.nothing(_HEIGHT_PX // 2, f"There is no point with {fixed} {other}.")
    figure = theme.base(
        _HEIGHT_PX,
        xaxis={
            "title": {"text": f"{axis}, with {fixed} {other if fixed != 1 else other[:-1]}"},
            "rangemode": "tozero",
            "tick0": 0,
            "dtick": _step(max(_x(p, axis) for p in shown)),
            "tickformat": "d",
        },
        yaxis={"title": {"text": "goodput, Gbit/s"}, "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"l": 60, "r": _CAP_PX if cap_gbit_s else 20, "b": 50},
    )
    architectures = dict.fromkeys(p.architecture for p in shown)
    apart = _APART * max(_x(p, axis) for p in shown)
    for number, architecture in enumerate(architectures):
        colour = theme.SERIES[number % len(theme.SERIES)]
        predicted = [p for p in shown if not isinstance(p, Measured) and p.architecture == architecture]
        seen = [p for p in shown if isinstance(p, Measured) and p.architecture == architecture]
        _predicted(figure, sorted(predicted, key=lambda p: _x(p, axis)), axis, colour)
        aside = (number - (len(architectures) - 1) / 2) * apart
        _measured(figure, sorted(seen, key=lambda p: _x(p, axis)), axis, colour, aside)
        _fitted(figure, seen if len(seen) > 2 else predicted, axis, colour)
    shown_names = (str(t["name"]) for t in figure.data if t.get("showlegend") is not False)
    figure.update(margin={"t": 16 + theme.legend_px(shown_names)})
    if cap_gbit_s:
        beside = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 4, "align": "left", "showarrow": False}
        figure.update(
            shapes=[line_across(y=cap_gbit_s, color=theme.ALERT, dash="dash", width=1.5)],
            # Beside the figure, where no point is.
            annotations=[{**beside, "y": cap_gbit_s, "text": f"cap<br>{cap_gbit_s:.3g} Gbit/s"}],
        )
    return figure


def _step(highest: int) -> int:
    """From one tick to the next: a whole number, 1, 2 or 5 with zeros, of which a page's width has room for all."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if highest <= _MOST_TICKS * digit * power:
                return digit * power
        power *= 10


def _x(point: Point | Measured, axis: Axis) -> int:
    return point.cores if axis == "cores" else point.tunnels


def _predicted(figure: Figure, points: Sequence[Point], axis: Axis, colour: str) -> None:
    """A line with its band."""
    if not points:
        return
    x = [_x(p, axis) for p in points]
    label = points[0].architecture.label
    band = [p.high_gbit_s for p in points] + [p.low_gbit_s for p in reversed(points)]
    figure.add(
        scatter(
            x=x + x[::-1],
            y=np.round(band, 4),
            mode="lines",
            fill="toself",
            fillcolor=theme.faint(colour, 0.15),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=label,
        )
    )
    figure.add(
        scatter(
            x=x,
            y=np.round([p.gbit_s for p in points], 4),
            mode="lines+markers",
            name=f"{label}, predicted",
            legendgroup=label,
            line={"color": colour, "width": 2},
            marker={"size": 6},
            customdata=[
                [f"{p.low_gbit_s:.3g}..{p.high_gbit_s:.3g}", f"{p.busy_ce:.2f}", p.limit.server] for p in points
            ],
            hovertemplate="%{x}: %{y:.3g} Gbit/s (%{customdata[0]})<br>%{customdata[1]} CE, limit %{customdata[2]}",
        )
    )


def _measured(figure: Figure, points: Sequence[Measured], axis: Axis, colour: str, aside: float) -> None:
    """Points with their intervals, drawn over the prediction; `aside` of others with the same number."""
    if not points:
        return
    label = points[0].architecture.label
    figure.add(
        scatter(
            x=[_x(p, axis) + aside for p in points],
            y=[p.gbit_s for p in points],
            customdata=[[_x(p, axis), f"{p.low_gbit_s:.3g}..{p.high_gbit_s:.3g}"] for p in points],
            mode="markers",
            name=f"{label}, measured",
            legendgroup=label,
            marker={"color": colour, "size": 10, "symbol": "diamond", "line": {"color": theme.INK, "width": 1}},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [p.high_gbit_s - p.gbit_s for p in points],
                "arrayminus": [p.gbit_s - p.low_gbit_s for p in points],
                "color": colour,
            },
            hovertemplate="%{customdata[0]}: %{y:.3g} Gbit/s measured (%{customdata[1]})",
        )
    )


def _fitted(figure: Figure, points: Sequence[Point | Measured], axis: Axis, colour: str) -> None:
    """The USL through the points, if there are enough for it."""
    from wgprof.model.fits import fit

    x = [float(_x(p, axis)) for p in points]
    try:
        found = fit("usl", x, [p.gbit_s for p in points])
    except (UsageError, RuntimeError):
        return  # too few points, or none of the law's curves goes through them
    curve = np.linspace(min(x), max(x), _CURVE)
    label = points[0].architecture.label
    figure.add(
        scatter(
            x=np.round(curve, 3),
            y=np.round(found.at(curve), 4),
            mode="lines",
            name=f"{label}, USL",
            legendgroup=label,
            showlegend=False,
            line={"color": colour, "width": 1, "dash": "dot"},
            hovertemplate="%{x:.0f}: %{y:.3g} Gbit/s by the USL",
        )
    )


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    return []


VIEW = View(
    "scaling",
    "Scaling",
    "How throughput grows with cores and tunnels, as a sweep measured it: each architecture, and the law that fits.",
    (),
    _draw,
    lambda recording, analysis: EMPTY.replace("<br>", " "),
    whole=True,
)
