"""Queue depths over time, with their limits and what was refused."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from wgprof.analysis.depth import DepthSeries, depth_series
from wgprof.analysis.histogram import REPRESENTATIVE, HistogramSums
from wgprof.analysis.names import Names
from wgprof.analysis.selection import Selection, as_part
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import LIMITS, FloatArray, IntArray, Tables
from wgprof.views import theme
from wgprof.views.figure import Figure, Trace, line_across, scatter
from wgprof.views.picture import Picture, View, needs_traffic
from wgprof.views.stack import Panel, in_rows, stacked

BINS = 300
_PANEL_PX, _GAP_PX = 110, 44
_HOLDS = {"tx.staged": "packets", "encrypt-ring": "hand-offs", "tx-queue": "hand-offs"}
#: The limit is drawn when the queue came this near to it; else it would flatten the curve.
_NEAR = 0.25
_MOST_LINES = 8


def queues(series: list[DepthSeries], names: Names) -> Figure:
    """A panel for each kind of queue that ever held anything, a line for each peer or device (the fullest few)."""
    kinds = [queue for queue in LIMITS if any(s.queue == queue for s in series)]
    if not kinds:
        return theme.nothing(120, "No queue ever held a packet when the clock looked.")
    colour_of: dict[int, str] = {}
    limits: list[dict[str, object]] = []
    panels = []
    for row, queue in enumerate(kinds, start=1):
        mine = sorted((s for s in series if s.queue == queue), key=_fullness, reverse=True)[:_MOST_LINES]
        traces: list[Trace] = []
        for line in sorted(mine, key=lambda s: s.object):
            first = line.object not in colour_of
            colour = colour_of.setdefault(line.object, theme.SERIES[len(colour_of) % len(theme.SERIES)])
            traces += _line(line, theme.safe(names.label(line.object)), colour, legend=first)
        if max(_fullness(s) for s in mine) >= _NEAR * LIMITS[queue]:
            limits.append(_limit_line(row, y=LIMITS[queue]))
        axis = {"title": {"text": _HOLDS.get(queue, "packets"), "standoff": 6}, "rangemode": "tozero"}
        panels.append(Panel(_title(queue, [s for s in series if s.queue == queue]), traces, axis))
    top_px = theme.legend_px(names.label(number) for number in colour_of) + 26
    legend = {"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"}
    return stacked(panels, _PANEL_PX, _GAP_PX, top_px, shapes=limits, legend=legend)


def _fullness(series: DepthSeries) -> float:
    return float(np.nanmax(series.mean, initial=0.0))


def _title(queue: str, series: list[DepthSeries]) -> str:
    refused = sum(int(s.refused.sum()) for s in series)
    return f"<b>{queue}</b>, limit {LIMITS[queue]:,}" + (f", {refused:,} packets refused" if refused else "")


def _line(series: DepthSeries, label: str, colour: str, *, legend: bool) -> list[Trace]:
    """The depth, and where something was refused a cross."""
    common = {"name": label, "legendgroup": str(series.object)}
    traces = [
        scatter(
            x=np.round(series.start_s, 3),
            y=np.round(series.mean, 3).astype(np.float32),
            mode="lines",
            line={"color": colour, "width": 1.5, "shape": "hv"},
            hovertemplate="%{x:.1f} s<br>%{y:.2f} on average",
            showlegend=legend,
            **common,
        )
    ]
    refused = np.flatnonzero(series.refused)
    if refused.size:
        traces.append(
            scatter(
                x=np.round(series.start_s[refused], 3),
                y=np.nan_to_num(series.mean[refused]),
                mode="markers",
                marker={"symbol": "x", "size": 8, "color": theme.ALERT},
                customdata=series.refused[refused],
                hovertemplate="%{x:.1f} s<br>%{customdata} packets refused",
                showlegend=False,
                **common,
            )
        )
    return traces


def distribution(counts: Mapping[tuple[str, int], IntArray], names: Names) -> Figure:
    """For each queue (the fullest few of each kind) the share of the time it held at least so many; limits drawn."""
    kinds = [queue for queue in LIMITS if any(kind == queue and held[1:].any() for (kind, _), held in counts.items())]
    colour_of: dict[int, str] = {}
    panels: list[Panel] = []
    for queue in kinds:
        mine = [(number, held) for (kind, number), held in counts.items() if kind == queue and held[1:].any()]
        mine.sort(key=lambda row: -float(row[1] @ REPRESENTATIVE) / int(row[1].sum()))
        traces = []
        for number, held in sorted(mine[:_MOST_LINES], key=lambda row: row[0]):
            first = number not in colour_of
            colour = colour_of.setdefault(number, theme.SERIES[len(colour_of) % len(theme.SERIES)])
            depths, share = _at_least(held)
            traces.append(
                scatter(
                    x=depths,
                    y=np.round(share * 100, 4),
                    mode="lines",
                    line={"color": colour, "width": 1.8, "shape": "vh"},
                    name=theme.safe(names.label(number)),
                    legendgroup=str(number),
                    showlegend=first,
                    hovertemplate="at least %{x:,} in it: %{y:.3g} % of the time",
                )
            )
        upright = {"range": [0, 102], "title": {"text": "" if panels else "% of the time"}}
        title = f"<b>{queue}</b>, {_HOLDS.get(queue, 'packets')}"
        panels.append(Panel(title, traces, upright, _depth_axis(LIMITS[queue])))
    legend_px = theme.legend_px(names.label(number) for number in colour_of)
    return in_rows(
        [panels],
        240 + legend_px,
        gap=0.025,
        heading={"font": {"size": 12}},
        margin={"l": 70, "r": 20, "t": legend_px + 26, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"},
        shapes=[_limit_line(column, x=LIMITS[queue]) for column, queue in enumerate(kinds, start=1)],
    )


def _depth_axis(limit: int) -> dict[str, object]:
    ticks = [tick for tick in (1, 10, 100, 1024) if tick <= max(limit, 100)]
    return {"type": "log", "range": [0, math.log10(limit * 1.4)], "tickvals": ticks, "title": {"text": "at least"}}


def _limit_line(panel: int, *, x: int | None = None, y: int | None = None) -> dict[str, object]:
    """A dashed line through a panel, upright at `x` or level at `y`."""
    return line_across(x=x, y=y, panel=panel, color=theme.ALERT, dash="dash", width=1.5)


def _at_least(held: IntArray) -> tuple[IntArray, FloatArray]:
    """Depths from 1 on, and the share of the samples that saw at least that."""
    running = held[::-1].cumsum()[::-1] / held.sum()
    last = int(np.flatnonzero(held)[-1])
    depths = np.rint(REPRESENTATIVE[1 : last + 1]).astype(np.int64)
    share = running[1 : last + 1]
    return np.append(depths, depths[-1]), np.append(share, 0.0)


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    depths, arrivals, intervals = (recording.table(name) for name in ("depths", "arrivals", "intervals"))
    series = depth_series(depths, arrivals, intervals, BINS, as_part(recording).began_ns)
    return [
        Picture(
            "queues",
            queues(series, analysis.names),
            "Mean depth of each queue over time. A queue's limit is drawn where the queue came near it; crosses mark"
            " refused packets.",
        ),
        *_distributions(recording, analysis),
    ]


def _distributions(recording: Tables, analysis: Analysis) -> list[Picture]:
    if analysis.window is None:
        return []
    sums = HistogramSums(recording.table("histograms"), analysis.window, [f"{queue}.depth" for queue in LIMITS])
    counts = {(q.queue, q.object): sums.of(f"{q.queue}.depth", q.object) for q in analysis.queues}
    if not any(held[1:].any() for held in counts.values()):
        return []
    return [
        Picture(
            "queues_distribution",
            distribution(counts, analysis.names),
            "How full queues are: read a line at 10 for the share of the time in which at least ten were waiting."
            " Dashed: the limit, beyond which packets are refused. A line that falls at once is a mostly empty queue;"
            " one that reaches the limit is the queue in front of the bottleneck.",
        )
    ]


VIEW = View(
    "queues",
    "Queues",
    "Where packets pile up: a queue that is long, or full, stands in front of whatever is too slow.",
    ("depths", "arrivals", "histograms", "intervals"),
    _draw,
    needs_traffic,
)
