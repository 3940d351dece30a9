"""Quality: how well a recording agrees with itself, check by check, and Little's law queue by queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wgprof.analysis import checks as quality
from wgprof.analysis import units
from wgprof.analysis.checks import Check
from wgprof.analysis.names import Names
from wgprof.analysis.queues import Queue
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.views import theme
from wgprof.views.figure import Figure, line_across, scatter
from wgprof.views.picture import Picture, View

_ROW_PX, _EDGE_PX = 27, 90
_PER_ROW = 60
#: Verdict -> colour, symbol and word: never by colour alone.
_MARKS: Mapping[str, tuple[str, str, str]] = {
    quality.OK: ("#009e73", "circle", "holds"),
    quality.UNKNOWN: ("#e69f00", "circle-open", "could not be decided"),
    quality.FAIL: ("#d55e00", "x", "FAILED"),
}
_MOST_QUEUES = 40
_FARTHEST = 1.0


def panel(checks: Sequence[Check]) -> Figure:
    """A row for each kind of check, a mark for each thing that was checked, failures first."""
    kinds = list(dict.fromkeys(check.name for check in quality.worst_first(checks)))
    rows = {kind: quality.worst_first([check for check in checks if check.name == kind]) for kind in kinds}
    longest = min(max(len(row) for row in rows.values()), _PER_ROW)
    figure = theme.base(
        _ROW_PX * len(kinds) + _EDGE_PX,
        margin={"l": 150, "r": 20, "t": 44, "b": 20},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"},
        xaxis={"visible": False, "range": [0.3, max(longest, 12) * 2.2]},
        yaxis={"type": "category", "categoryarray": kinds, "autorange": "reversed", "showgrid": False},
    )
    for verdict, (colour, symbol, words) in _MARKS.items():
        marks = [(number, check) for row in rows.values() for number, check in enumerate(row[:_PER_ROW], start=1)
                 if check.verdict == verdict]  # fmt: skip
        if not marks:
            continue
        figure.add(
            scatter(
                x=[number for number, _ in marks],
                y=[check.name for _, check in marks],
                mode="markers",
                name=words,
                marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2, "color": colour}},
                hovertext=[_hover(check, words) for _, check in marks],
                hoverinfo="text",
            )
        )
    beside = {"showarrow": False, "xanchor": "left", "font": {"size": 12}}
    figure.update(
        annotations=[
            {**beside, "x": min(len(row), _PER_ROW) + 1, "y": kind, "text": _summary(row)} for kind, row in rows.items()
        ]
    )
    return figure


def _hover(check: Check, words: str) -> str:
    detail = theme.safe(check.detail, 160)
    return f"{check.name}: {words}<br>{theme.safe(check.subject, 80)}<br>{detail}<br><i>{check.meaning}</i>"


def _summary(row: Sequence[Check]) -> str:
    """What failed by name; else how many hold."""
    failed = [check for check in row if check.verdict == quality.FAIL]
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"<b>FAILED: {theme.safe(failed[0].subject, 40)}{more}</b>: {theme.safe(failed[0].detail, 70)}"
    holds = sum(check.verdict == quality.OK for check in row)
    open_ = len(row) - holds
    return (
        f"{holds} hold" + (f", {open_} could not be decided" if open_ else "")
        if holds
        else f"{open_} could not be decided"
    )


def little(queues: Sequence[Queue], names: Names) -> Figure:
    """For each queue by how much the depth seen and the depth that follows from the waits differ, with intervals."""
    shown = [q for q in queues if q.law is not None and q.law.residual is not None][:_MOST_QUEUES]
    labels = [f"{q.queue} of {theme.safe(names.label(q.object), 30)}" for q in shown]
    figure = theme.base(
        _ROW_PX * len(shown) + _EDGE_PX,
        margin={"l": 270, "r": 20, "t": 44, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"},
        xaxis={"title": {"text": "depth seen by the clock against arrival rate × mean wait"}, "ticksuffix": " %"},
        yaxis={"type": "category", "categoryarray": labels, "autorange": "reversed"},
    )
    reach = 0.1
    for verdict, (colour, symbol, words) in _MARKS.items():
        mine = [(label, q.law) for label, q in zip(labels, shown, strict=True)
                if q.law is not None and q.law.verdict == verdict]  # fmt: skip
        if not mine:
            continue
        residuals = [100 * min(max(law.residual or 0.0, -_FARTHEST), _FARTHEST) for _, law in mine]
        halves = [100 * min(law.residual_interval or 0.0, _FARTHEST) for _, law in mine]
        reach = max(reach, *(abs(r) + h for r, h in zip(residuals, halves, strict=True)))
        figure.add(
            scatter(
                x=[round(r, 2) for r in residuals],
                y=[label for label, _ in mine],
                mode="markers",
                name=words,
                marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2, "color": colour}},
                error_x={"array": [round(h, 2) for h in halves], "color": colour, "thickness": 1.5},
                hovertext=[f"{label}<br>{units.share(law.residual)} ± {units.share(law.residual_interval)}: {words}"
                           for label, law in mine],
                hoverinfo="text",
            )
        )  # fmt: skip
    figure.update(shapes=[line_across(x=0, color=theme.MUTED, width=1)])
    figure.update_axes("x", range=[-reach * 1.05, reach * 1.05])
    return figure


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    found = [
        Picture(
            "quality",
            panel(analysis.checks),
            "A recording measures the same things in independent ways. Each mark is one comparison, each row one kind"
            " of it; a cross is one that failed, and makes the figures doubtful that rest on it. Point at a mark to see"
            " what was compared.",
        )
    ]
    if any(q.law is not None and q.law.residual is not None for q in analysis.queues):
        found.append(
            Picture(
                "little",
                little(analysis.queues, analysis.names),
                "Little's law says that the mean depth of a queue is the rate of arrivals times their mean wait. Depths"
                " come from a clock, waits from sampled packets: where both agree, the interval covers zero, and"
                " neither can be far wrong.",
            )
        )
    return found


def _missing(recording: Tables, analysis: Analysis) -> str:
    if analysis.checks:
        return ""
    return "Nothing was checked: the recording is empty. `wgprof record` makes another."


VIEW = View(
    "quality",
    "Quality",
    "Whether the recording can be believed: what it measured in two ways, and how well both agree.",
    ("intervals", "stages", "interfaces", "depths", "arrivals", "journeys", "cpus", "probes", "losses"),
    _draw,
    _missing,
    whole=True,
)
