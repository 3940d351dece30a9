"""Where a packet's time goes: mean service and wait of each step, end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wgprof.analysis import units
from wgprof.analysis.latency import steps_of
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, STAGES
from wgprof.views import theme
from wgprof.views.figure import Figure, bar

#: From this on the axis is in milliseconds.
_LONG_NS = 10e6


def packet_time(analysis: Analysis) -> Figure:
    """One bar for each direction, its parts in the order of the path; waits are hatched."""
    return packet_times({"": analysis})


def packet_times(analyses: Mapping[str, Analysis]) -> Figure:
    """The same of several recordings by name, one below the other on one axis."""
    steps = {name: _means(analysis) for name, analysis in analyses.items()}
    longest = max(
        (sum(means.get(n, 0.0) for n in steps_of(d)) for means in steps.values() for d in DIRECTIONS), default=0
    )
    if not longest:
        return theme.nothing(120, "No times were measured.")
    unit_ns = ("ms", 1e6) if longest > _LONG_NS else ("µs", 1e3)
    rows = [(d, name, f"{DIRECTION_NAMES[d]}, {theme.safe(name, 24)}" if name else DIRECTION_NAMES[d])
            for d in DIRECTIONS for name in analyses]  # fmt: skip
    figure = theme.base(
        36 * len(rows) + 138,
        barmode="stack",
        margin={"l": theme.labels_px(label for _, _, label in rows), "r": 20, "t": 10, "b": 45},
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        xaxis={"title": {"text": f"mean time of a packet, {unit_ns[0]}"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False},
        bargap=0.3,
        uniformtext={"mode": "hide", "minsize": 11},
    )
    for direction in DIRECTIONS:
        for number, step in enumerate(steps_of(direction)):
            colour = theme.COLOURS[STAGES[direction][(number + 1) // 2]]
            means = [(label, steps[name].get(step, 0.0)) for d, name, label in rows if d == direction]
            _part(figure, step, means, unit_ns[1], colour, waits=number % 2 == 1)
    return figure


def _means(analysis: Analysis) -> dict[str, float]:
    services = {s.stage: s.service_mean_ns or 0.0 for s in analysis.stages if s.object is None}
    return services | {w.wait: w.mean_ns or 0.0 for w in analysis.waits if w.object is None}


def _part(
    figure: Figure, name: str, means: Sequence[tuple[str, float]], unit_ns: float, colour: str, *, waits: bool
) -> None:
    """One step: of each row its name and its mean in nanoseconds."""
    shown = [(label, mean) for label, mean in means if mean]
    if not shown:
        return
    marker: dict[str, object] = {"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}}
    if waits:
        hatch = {"shape": "/", "size": 7, "solidity": 0.2, "fillmode": "replace"}
        marker["pattern"] = {**hatch, "fgcolor": theme.tint(colour, 0.65), "bgcolor": theme.tint(colour, 0.4)}
    figure.add(
        bar(
            y=[label for label, _ in shown],
            x=[round(mean / unit_ns, 4) for _, mean in shown],
            orientation="h",
            name=name,
            marker=marker,
            text=[f"{name} {units.duration(mean)}" for _, mean in shown],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": theme.ink_over(colour, waits), "size": 12},
            customdata=[units.duration(mean) for _, mean in shown],
            hovertemplate=f"%{{y}}<br>{name}: %{{customdata}} on average<extra></extra>",
        )
    )
