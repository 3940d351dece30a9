"""Where a packet's time goes: mean service and wait of each step, end to end."""

from __future__ import annotations

import plotly.graph_objects as go

from wgprof.analysis import units
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, STAGES, WAITS
from wgprof.views import theme

#: Colours on which dark text is read better.
_LIGHT = frozenset(theme.COLOURS[stage] for stage in ("tx.stage", "rx.receive", "rx.decrypt"))


def packet_time(analysis: Analysis) -> go.Figure:
    """One bar for each direction, its parts in the order of the path; waits are hatched."""
    figure = theme.base(
        210,
        barmode="stack",
        margin={"l": 80, "r": 20, "t": 10, "b": 45},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        xaxis_title="mean time of a packet, µs",
        bargap=0.3,
        uniformtext={"mode": "hide", "minsize": 11},
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    services = {s.stage: s.service_mean_ns for s in analysis.stages if s.object is None}
    waits = {w.wait: w.mean_ns for w in analysis.waits if w.object is None}
    drawn = 0.0
    for direction in DIRECTIONS:
        for number, stage in enumerate(STAGES[direction]):
            if number:
                wait = WAITS[direction][number - 1]
                drawn += _part(figure, direction, wait, waits.get(wait), theme.COLOURS[stage], waits=True)
            drawn += _part(figure, direction, stage, services.get(stage), theme.COLOURS[stage], waits=False)
    return figure if drawn else theme.nothing(120, "No times were measured.")


def _part(figure: go.Figure, direction: str, name: str, mean_ns: float | None, colour: str, *, waits: bool) -> float:
    if not mean_ns:
        return 0.0
    marker: dict[str, object] = {"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}}
    if waits:
        hatch = {"shape": "/", "size": 7, "solidity": 0.2, "fillmode": "replace"}
        marker["pattern"] = {**hatch, "fgcolor": theme.tint(colour, 0.5), "bgcolor": theme.tint(colour, 0.25)}
    figure.add_trace(
        go.Bar(
            y=[DIRECTION_NAMES[direction]],
            x=[round(mean_ns / 1e3, 3)],
            orientation="h",
            name=name,
            marker=marker,
            text=[f"{name} {units.duration(mean_ns)}"],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": "#10151b" if waits or colour in _LIGHT else "#ffffff", "size": 12},
            hovertemplate=f"{name}<br>{units.duration(mean_ns)} on average<extra></extra>",
        )
    )
    return mean_ns
