"""What each CPU did, coloured by stage, and where the work that keeps order ran."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from wgprof.analysis.cores import OTHER_SOFTIRQ, CoreSeries
from wgprof.analysis.names import Names
from wgprof.analysis.residence import Residence
from wgprof.analysis.tables import FloatArray
from wgprof.views import theme

MOST_CPUS, MOST_SERVERS = 8, 16
_PANEL_PX, _GAP_PX, _ROW_PX = 84, 12, 22
_IRQ, _OTHER = "hard interrupts", "not WireGuard"
_COLOURS = {**theme.COLOURS, OTHER_SOFTIRQ: "#7f7f7f", _IRQ: "#4d4d4d", _OTHER: "#c3cad1"}


def split(series: CoreSeries) -> go.Figure:
    """Stacked areas, a panel for each CPU (the busiest few): what is blank was idle."""
    order = np.argsort(-(series.busy * series.width_s).sum(axis=1), kind="stable")[:MOST_CPUS]
    shown = sorted(int(place) for place in order)
    inner_px = len(shown) * _PANEL_PX + (len(shown) - 1) * _GAP_PX
    figure = make_subplots(
        rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=_GAP_PX / inner_px if len(shown) > 1 else 0
    )
    for row, place in enumerate(shown, start=1):
        for name, values in _parts(series, place).items():
            if max(float(each[name].max()) for each in (_parts(series, other) for other in shown)) < 0.002:
                continue
            figure.add_trace(
                go.Scatter(
                    x=np.round(series.start_s, 3),
                    y=np.round(values * 100, 1).astype(np.float32),
                    mode="lines",
                    line={"width": 0, "shape": "hv"},
                    fillcolor=_COLOURS[name],
                    stackgroup=f"cpu{place}",
                    name=name,
                    legendgroup=name,
                    showlegend=row == 1,
                    hovertemplate=f"CPU {series.cpus[place]}, %{{x:.1f}} s<br>{name}: %{{y:.0f}} %<extra></extra>",
                ),
                row=row,
                col=1,
            )
        figure.update_yaxes(title_text=f"CPU {series.cpus[place]}, %", row=row, col=1)
    theme.dress(
        figure,
        inner_px + 110,
        margin={"l": 70, "r": 20, "t": 60, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container", "traceorder": "normal"},
    )
    figure.update_yaxes(range=[0, 100], tickvals=[0, 50, 100], title_standoff=4)
    figure.update_xaxes(title_text="seconds since the recording began", row=len(shown), col=1)
    return figure


def _parts(series: CoreSeries, place: int) -> dict[str, FloatArray]:
    """Shares of a CPU's time that add up to what it was busy; what was measured comes first."""
    parts = {name: values[place] for name, values in series.measured.items()}
    known = np.sum(list(parts.values()), axis=0)
    busy = series.busy[place]
    irq = np.minimum(series.irq[place], np.maximum(busy - known, 0)) if series.irq is not None else np.zeros(busy.size)
    # The kernel accounts in ticks: in a short bin it may have counted less than was measured.
    parts = {name: np.minimum(values, 1.0) for name, values in parts.items()}
    return {**parts, _IRQ: irq, _OTHER: np.maximum(busy - known - irq, 0.0)}


def places_over_time(rows: Sequence[Residence], start_s: FloatArray, names: Names) -> go.Figure:
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
    figure.add_trace(
        go.Heatmap(
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
