"""Compare: two recordings side by side, and every figure of them as a difference with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wgprof.analysis import units
from wgprof.analysis.cores import OTHER_SOFTIRQ, TRACKS
from wgprof.analysis.difference import CHANGED, OPEN, SAME, Difference
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, Tables
from wgprof.rules.comparison import Comparison
from wgprof.views import theme
from wgprof.views.figure import Figure, bar, line_across, scatter
from wgprof.views.packet_time import packet_times
from wgprof.views.picture import Picture, View
from wgprof.views.stack import Panel, in_rows

_ROW_PX, _EDGE_PX, _MOST_ROWS = 23, 120, 45
#: Beyond this a change is drawn at the edge.
_FARTHEST = 2.0
_FIRST, _SECOND = "#7f7f7f", "#0072b2"
_MARKS: Mapping[str, tuple[str, str, str]] = {
    CHANGED: ("#d55e00", "diamond", "changed"),
    SAME: ("#009e73", "circle-open", "no difference could be shown"),
}
_GROUPS = ("throughput", "cpu", "stage", "server", "wait", "queue")
EMPTY = "Comparing needs a second recording: `wgprof report A --against B`, or `wgprof dashboard A B`."


def changes(rows: Sequence[Difference]) -> Figure:
    """Every figure's relative change with its 95 % interval, by group; those that cannot be decided are left out."""
    shown = _ranked(rows)
    labels = [_label(row) for row in shown]
    figure = theme.base(
        _ROW_PX * len(shown) + _EDGE_PX,
        margin={"l": 290, "r": 215, "t": 44, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"},
        xaxis={"title": {"text": "change from the first to the second, of the first"}, "ticksuffix": " %"},
        yaxis={"type": "category", "categoryarray": labels, "autorange": "reversed"},
    )
    low, high = -0.05, 0.05
    for verdict, (colour, symbol, words) in _MARKS.items():
        mine = [(label, row) for label, row in zip(labels, shown, strict=True) if row.verdict == verdict]
        if not mine:
            continue
        ends = np.array([[row.share_of_base(end) or 0.0 for end in (row.low, row.change, row.high)] for _, row in mine])
        ends = np.clip(ends, -_FARTHEST, _FARTHEST)
        low, high = min(low, float(ends.min())), max(high, float(ends.max()))
        figure.add(
            scatter(
                x=np.round(ends[:, 1] * 100, 2),
                y=[label for label, _ in mine],
                mode="markers",
                name=words,
                marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2, "color": colour}},
                error_x={
                    "symmetric": False,
                    "array": np.round((ends[:, 2] - ends[:, 1]) * 100, 2),
                    "arrayminus": np.round((ends[:, 1] - ends[:, 0]) * 100, 2),
                    "color": colour,
                    "thickness": 1.5,
                },
                hovertext=[f"{label}: {words}<br>{_values(row)}<br>p {row.p:.4f}, {row.pairs} pairs of seconds"
                           for label, row in mine],
                hoverinfo="text",
            )
        )  # fmt: skip
    figure.update(shapes=[line_across(x=0, color=theme.MUTED, width=1)])
    beside = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 6, "showarrow": False, "font": {"size": 11}}
    figure.update(
        annotations=[{**beside, "y": label, "text": _values(row)} for label, row in zip(labels, shown, strict=True)]
    )
    pad = 5 * (high - low)
    figure.update_axes("x", range=[low * 100 - pad, high * 100 + pad])
    figure.update_axes("y", range=[len(shown) - 0.5, -0.5], autorange=False)
    return figure


def _ranked(rows: Sequence[Difference]) -> list[Difference]:
    """Those that were judged, in groups, what changed first and most."""
    judged = [row for row in rows if row.verdict != OPEN and row.relative is not None]
    judged.sort(key=lambda row: (_GROUPS.index(row.group), row.verdict != CHANGED))
    if len(judged) > _MOST_ROWS:
        largest = sorted(
            judged, key=lambda row: (row.group != "throughput", row.verdict != CHANGED, -abs(row.relative or 0))
        )
        kept = {id(row) for row in largest[:_MOST_ROWS]}
        judged = [row for row in judged if id(row) in kept]
    return judged


def _label(row: Difference) -> str:
    more = {"throughput": f", {row.unit}", "stage": ": CPU time a packet", "wait": ": mean"}
    return row.name + more.get(row.group, "")


def _values(row: Difference) -> str:
    before, after = (units.quantity(None if e is None else e.value, row.unit) for e in (row.first, row.second))
    return f"{before} → {after}"


def side_by_side(sides: Mapping[str, Analysis]) -> Figure:
    """Throughput of each direction, and where the CPU time goes, of both."""
    labels = [theme.safe(name, 24) for name in sides]
    through, spending = [], []
    for label, analysis, colour in zip(labels, sides.values(), (_FIRST, _SECOND), strict=True):
        flows = analysis.headline.throughput if analysis.headline else ()
        rates = {flow.direction: flow.rate_mbit_s for flow in flows}
        through.append(
            bar(
                y=[f"{DIRECTION_NAMES[d]}, {label}" for d in DIRECTIONS],
                x=[round(rates.get(d, 0.0), 3) for d in DIRECTIONS],
                orientation="h",
                name=label,
                marker={"color": colour},
                text=[units.bits(rates.get(d)) for d in DIRECTIONS],
                textposition="auto",
                textangle=0,
                showlegend=False,
                hovertemplate="%{y}: %{text}<extra></extra>",
            )
        )
    for track in (*TRACKS, OTHER_SOFTIRQ, _REST):
        spent = [_ce(analysis, track) for analysis in sides.values()]
        if max(spent) <= 0.0005:
            continue
        spending.append(
            bar(
                y=labels,
                x=np.round(spent, 4),
                orientation="h",
                name=track,
                marker={"color": theme.COLOURS.get(track, theme.WAIT if track == _REST else theme.MUTED)},
                text=[f"{ce:.2f}" if ce > 0.04 * sum(spent) else "" for ce in spent],
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                hovertemplate=f"%{{y}}<br>{track}: %{{x:.3f}} CE<extra></extra>",
            )
        )
    order = [f"{DIRECTION_NAMES[d]}, {label}" for d in DIRECTIONS for label in labels]
    upright = {"autorange": "reversed", "type": "category", "showgrid": False}
    panels = [
        Panel("<b>Throughput</b>, Mbit/s", through, {**upright, "categoryarray": order}),
        Panel("<b>CPU time</b>, CE (CPUs kept busy)", spending, upright),
    ]
    return in_rows(
        [panels],
        250,
        gap=0.2,
        widths=(0.32, 0.68),
        shared=False,
        heading={"font": {"size": 13}},
        margin={"l": theme.labels_px(order), "r": 20, "t": 78, "b": 40},
        barmode="stack",
        uniformtext={"mode": "hide", "minsize": 10},
        bargap=0.3,
        legend={"orientation": "h", "x": 0.44, "y": 1, "yanchor": "top", "yref": "container", "traceorder": "normal"},
    )


_REST = "everything else"


def _ce(analysis: Analysis, track: str) -> float:
    if track == _REST:
        measured = sum(sum(core.measured.values()) for core in analysis.cores)
        return max(sum(core.busy for core in analysis.cores) - measured, 0.0)
    return sum(core.measured.get(track, 0.0) for core in analysis.cores)


def pictures_of(comparison: Comparison, names: tuple[str, str]) -> list[Picture]:
    """What a comparison shows; nothing if in neither recording anything flowed."""
    sides = dict(zip(_distinct(names), (comparison.first.analysis, comparison.second.analysis), strict=True))
    if all(analysis.window is None for analysis in sides.values()):
        return []
    found = [
        Picture(
            "compare_sides",
            side_by_side(sides),
            "Both recordings side by side: what got through, and what the CPUs spent their time on. A faster tunnel"
            " that needs no more CPU time is a better one; one that needs more has only been given more.",
        )
    ]
    if _ranked(comparison.differences):
        found.append(
            Picture(
                "compare_changes",
                changes(comparison.differences),
                "Every figure of both recordings: by how much the second differs from the first, with a 95 % interval."
                " Diamonds are changes that chance does not explain; circles are figures of which no difference could"
                f" be shown. Changes beyond ±{_FARTHEST:.0%} are drawn at the edge. On the right: before → after.",
            )
        )
    found.append(
        Picture(
            "compare_time",
            packet_times(sides),
            "Where an average packet's time goes in each of them. Solid: being worked on. Hatched: waiting for the step"
            " of the same colour.",
        )
    )
    return found


def _distinct(names: tuple[str, str]) -> tuple[str, str]:
    return names if names[0] != names[1] else (f"{names[0]} (first)", f"{names[1]} (second)")


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    return []


VIEW = View(
    "compare",
    "Compare",
    "Two recordings side by side: what changed from one to the other, and what did not.",
    (),
    _draw,
    lambda recording, analysis: EMPTY,
    whole=True,
)
