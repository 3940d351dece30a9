"""What each CPU did, coloured by stage, and where the work that keeps order ran."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wgprof.analysis.cores import OTHER_SOFTIRQ, CoreSeries
from wgprof.analysis.names import Names
from wgprof.analysis.residence import Residence
from wgprof.analysis.tables import FloatArray
from wgprof.views import theme
from wgprof.views.figure import Figure, heatmap, scatter
from wgprof.views.stack import Panel, stacked

MOST_CPUS, MOST_SERVERS = 8, 16
_PANEL_PX, _GAP_PX, _ROW_PX = 84, 12, 22
_IRQ, _OTHER = "hard interrupts", "not WireGuard"
_COLOURS = {**theme.COLOURS, OTHER_SOFTIRQ: "#7f7f7f", _IRQ: "#4d4d4d", _OTHER: "#c3cad1"}


def split(series: CoreSeries) -> Figure:
    """Stacked areas, a panel for each CPU (the busiest few): what is blank was idle."""
    order = np.argsort(-(series.busy * series.width_s).sum(axis=1), kind="stable")[:MOST_CPUS]
    shown = sorted(int(place) for place in order)
    parts = {place: _parts(series, place) for place in shown}
    drawn = [name for name in parts[shown[0]] if max(float(mine[name].max()) for mine in parts.values()) >= 0.002]
    x = np.round(series.start_s, 3)
    panels = []
    for place in shown:
        cpu = series.cpus[place]
        traces = [
            scatter(
                x=x,
                y=np.round(parts[place][name] * 100, 1).astype(np.float32),
                mode="lines",
                line={"width": 0, "shape": "hv"},
                fillcolor=_COLOURS[name],
                stackgroup=f"cpu{place}",
                name=name,
                legendgroup=name,
                showlegend=place == shown[0],
                hovertemplate=f"CPU {cpu}, %{{x:.1f}} s<br>{name}: %{{y:.0f}} %<extra></extra>",
            )
            for name in drawn
        ]
        title = {"text": f"CPU {cpu}, %", "standoff": 4}
        panels.append(Panel("", traces, {"range": [0, 100], "tickvals": [0, 50, 100], "title": title}))
    legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container", "traceorder": "normal"}
    return stacked(panels, _PANEL_PX, _GAP_PX, 60, legend=legend)


def _parts(series: CoreSeries, place: int) -> dict[str, FloatArray]:
    """Shares of a CPU's time that add up to what it was busy; what was measured comes first."""
    parts = {name: values[place] for name, values in series.measured.items()}
    known = np.sum(list(parts.values()), axis=0)
    busy = series.busy[place]
    irq = np.minimum(series.irq[place], np.maximum(busy - known, 0)) if series.irq is not None else np.zeros(busy.size)
    # The kernel accounts in ticks: in a short bin it may have counted less than was measured.
    parts = {name: np.minimum(values, 1.0) for name, values in parts.items()}
    return {**parts, _IRQ: irq, _OTHER: np.maximum(busy - known - irq, 0.0)}


def places_over_time(rows: Sequence[Residence], start_s: FloatArray, names: Names) -> Figure:
    """A row for each server that keeps order; its colour is the CPU that it ran on."""
    cpus = sorted({int(cpu) for row in rows for cpu in np.unique(row.cpu) if cpu >= 0})
    place = {cpu: number for number, cpu in enumerate(cpus)}
    colours = [theme.SERIES[number % len(theme.SERIES)] for number in range(len(cpus))]
    edges = [number / len(cpus) for number in range(len(cpus) + 1)]
    scale = [(at, colour) for n, colour in enumerate(colours) for at in edges[n : n + 2]]
    z = np.array([[np.nan if cpu < 0 else place[int(cpu)] for cpu in row.cpu] for row in rows], dtype=np.float32)
    labels = [f"{row.server} of {theme.safe(names.label(row.object), 30)}" for row in rows]
    figure = theme.base(
        _ROW_PX * len(rows) + 120,
        margin={"l": 270, "r": 20, "t": 24, "b": 50},
        xaxis={"title": {"text": "seconds since the recording began"}, "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
    )
    every = max(1, -(-len(cpus) // 16))
    figure.add(
        heatmap(
            x=np.round(start_s, 3),
            y=labels,
            z=z,
            zmin=-0.5,
            zmax=len(cpus) - 0.5,
            colorscale=scale,
            ygap=2,
            colorbar={
                "tickvals": list(range(0, len(cpus), every)),
                "ticktext": [f"CPU {cpu}" for cpu in cpus[::every]],
                "thickness": 12,
                "outlinewidth": 0,
            },
            customdata=np.array([row.cpu for row in rows]).astype(np.int16),
            hovertemplate="%{y}, %{x:.1f} s<br>mostly on CPU %{customdata}<extra></extra>",
        )
    )
    return figure
