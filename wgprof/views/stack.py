"""Panels: one above the other on one axis of time, or in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wgprof.views import theme
from wgprof.views.figure import Figure, Trace

_TIME = "seconds since the recording began"


@dataclass(frozen=True)
class Panel:
    """Traces with their heading and what their axes differ in, the upright and the level one."""

    title: str
    traces: Sequence[Trace]
    axis: Mapping[str, object] = field(default_factory=dict)
    level: Mapping[str, object] = field(default_factory=dict)


def stacked(panels: Sequence[Panel], panel_px: int, gap_px: int, top_px: int, **layout: object) -> Figure:
    """`panel_px` high panels with `gap_px` between; `top_px` is left above for headings and a legend."""
    inner_px = len(panels) * panel_px + (len(panels) - 1) * gap_px
    bottom_px = 50
    axes: dict[str, Mapping[str, object]] = {}
    headings = []
    traces: list[Trace] = []
    for number, panel in enumerate(panels, start=1):
        tag, top = _tag(number), 1 - (number - 1) * (panel_px + gap_px) / inner_px
        bottom = max(top - panel_px / inner_px, 0.0)
        last = number == len(panels)
        axes[f"yaxis{tag}"] = {"domain": [bottom, top], "anchor": f"x{tag}", **panel.axis}
        matched = {} if last else {"matches": f"x{len(panels)}", "showticklabels": False}
        axes[f"xaxis{tag}"] = {"anchor": f"y{tag}", "title": {"text": _TIME if last else ""}, **matched}
        heading = {"x": 0, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
        if panel.title:
            headings.append({**heading, "text": panel.title, "showarrow": False, "font": {"size": 12}})
        traces += ({**trace, "xaxis": f"x{tag}", "yaxis": f"y{tag}"} for trace in panel.traces)
    whole = theme.style(inner_px + top_px + bottom_px, axes)
    margin = {"l": 70, "r": 20, "t": top_px, "b": bottom_px}
    return Figure(traces, {**whole, "margin": margin, "annotations": headings, **layout})


def in_rows(
    rows: Sequence[Sequence[Panel]],
    height_px: int,
    *,
    gap: float,
    row_gap: float = 0.0,
    widths: Sequence[float] = (),
    shared: bool = True,
    heading: Mapping[str, object],
    **layout: object,
) -> Figure:
    """Rows of panels, as wide as `widths` say; gaps are shares of the figure.  `shared`: a row has one upright axis.

    `heading`: how the headings above them look.
    """
    columns = max(map(len, rows))
    shares = [width / sum(widths) for width in widths] or [1 / columns] * columns
    room, high = 1 - gap * (columns - 1), (1 - row_gap * (len(rows) - 1)) / len(rows)
    axes: dict[str, Mapping[str, object]] = {}
    headings, traces, number = [], list[Trace](), 0
    for row, panels in enumerate(rows):
        top, left = 1 - row * (high + row_gap), 0.0
        first = _tag(number + 1)
        for column, panel in enumerate(panels):
            number += 1
            tag, right = _tag(number), left + room * shares[column]
            axes[f"xaxis{tag}"] = {"domain": [left, min(right, 1.0)], "anchor": f"y{tag}", **panel.level}
            same = {"matches": f"y{first}", "showticklabels": False} if shared and column else {}
            axes[f"yaxis{tag}"] = {"domain": [max(top - high, 0.0), top], "anchor": f"x{tag}", **panel.axis, **same}
            at = {"x": (left + right) / 2, "y": top, "xref": "paper", "yref": "paper"}
            look = {"xanchor": "center", "yanchor": "bottom", "showarrow": False, **heading}
            headings.append({**at, **look, "text": panel.title})
            traces += ({**trace, "xaxis": f"x{tag}", "yaxis": f"y{tag}"} for trace in panel.traces)
            left = right + gap
    return Figure(traces, {**theme.style(height_px, axes), "annotations": headings, **layout})


def _tag(number: int) -> str:
    return "" if number == 1 else str(number)
