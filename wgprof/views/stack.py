"""Panels one above the other on one axis of time, made at once: Plotly's own subplots are checked change by change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from wgprof.views import theme

_TIME = "seconds since the recording began"


@dataclass(frozen=True)
class Panel:
    """Traces with their heading and what their upright axis differs in."""

    title: str
    traces: Sequence[go.Scatter | go.Heatmap]
    axis: Mapping[str, object] = field(default_factory=dict)


def stacked(panels: Sequence[Panel], panel_px: int, gap_px: int, top_px: int, **layout: object) -> go.Figure:
    """`panel_px` high panels with `gap_px` between; `top_px` is left above for headings and a legend."""
    inner_px = len(panels) * panel_px + (len(panels) - 1) * gap_px
    bottom_px = 50
    axes: dict[str, Mapping[str, object]] = {}
    headings = []
    for number, panel in enumerate(panels, start=1):
        tag, top = "" if number == 1 else str(number), 1 - (number - 1) * (panel_px + gap_px) / inner_px
        bottom = max(top - panel_px / inner_px, 0.0)
        last = number == len(panels)
        axes[f"yaxis{tag}"] = {"domain": [bottom, top], "anchor": f"x{tag}", **panel.axis}
        matched = {} if last else {"matches": f"x{len(panels)}", "showticklabels": False}
        axes[f"xaxis{tag}"] = {"anchor": f"y{tag}", "title": {"text": _TIME if last else ""}, **matched}
        heading = {"x": 0, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        if panel.title:
            headings.append({**heading, "text": panel.title, "showarrow": False, "font": {"size": 12}})
        for trace in panel.traces:
            trace.xaxis, trace.yaxis = f"x{tag}", f"y{tag}"
    whole = theme.style(inner_px + top_px + bottom_px, axes)
    margin = {"l": 70, "r": 20, "t": top_px, "b": bottom_px}
    traces = [trace for panel in panels for trace in panel.traces]
    return go.Figure(traces, layout={**whole, "margin": margin, "annotations": headings, **layout})
