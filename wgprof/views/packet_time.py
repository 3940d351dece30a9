"""Where a packet's time goes: mean service and wait of each step, end to end."""

from __future__ import annotations

import plotly.graph_objects as go

from wgprof.analysis import units
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, STAGES, WAITS
from wgprof.views import theme

#: From this on the axis is in milliseconds.
_LONG_NS = 10e6


def packet_time(analysis: Analysis) -> go.Figure:
    """One bar for each direction, its parts in the order of the path; waits are hatched."""
    services = {s.stage: s.service_mean_ns or 0.0 for s in analysis.stages if s.object is None}
    waits = {w.wait: w.mean_ns or 0.0 for w in analysis.waits if w.object is None}
    steps = services | waits
    longest = max((sum(steps.get(n, 0.0) for n in (*STAGES[d], *WAITS[d])) for d in DIRECTIONS), default=0.0)
    if not longest:
        return theme.nothing(120, "No times were measured.")
    unit, unit_ns = ("ms", 1e6) if longest > _LONG_NS else ("µs", 1e3)
    figure = theme.base(
        210,
        barmode="stack",
        margin={"l": 80, "r": 20, "t": 10, "b": 45},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        xaxis_title=f"mean time of a packet, {unit}",
        bargap=0.3,
        uniformtext={"mode": "hide", "minsize": 11},
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    for direction in DIRECTIONS:
        for number, stage in enumerate(STAGES[direction]):
            if number:
                wait = WAITS[direction][number - 1]
                _part(figure, direction, wait, (waits.get(wait, 0.0), unit_ns), theme.COLOURS[stage], waits=True)
            _part(figure, direction, stage, (services.get(stage, 0.0), unit_ns), theme.COLOURS[stage], waits=False)
    return figure


def _part(
    figure: go.Figure, direction: str, name: str, mean_and_unit_ns: tuple[float, float], colour: str, *, waits: bool
) -> None:
    mean_ns, unit_ns = mean_and_unit_ns
    if not mean_ns:
        return
    marker: dict[str, object] = {"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}}
    if waits:
        hatch = {"shape": "/", "size": 7, "solidity": 0.2, "fillmode": "replace"}
        marker["pattern"] = {**hatch, "fgcolor": theme.tint(colour, 0.65), "bgcolor": theme.tint(colour, 0.4)}
    figure.add_trace(
        go.Bar(
            y=[DIRECTION_NAMES[direction]],
            x=[round(mean_ns / unit_ns, 4)],
            orientation="h",
            name=name,
            marker=marker,
            text=[f"{name} {units.duration(mean_ns)}"],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": theme.ink_over(colour, waits), "size": 12},
            hovertemplate=f"{name}<br>{units.duration(mean_ns)} on average<extra></extra>",
        )
    )
