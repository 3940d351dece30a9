"""Wake-ups: what runs of WireGuard's work found, how many it takes for a packet, and where they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from wgprof.analysis import units
from wgprof.analysis.names import Names
from wgprof.analysis.order import Heads, Moves, Polls
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.analysis.wakeups import Wakeups
from wgprof.views import theme
from wgprof.views.figure import Figure, bar, scatter
from wgprof.views.picture import Picture, View, needs_traffic

_Row = TypeVar("_Row", Polls, Heads, Moves)
_ROW_PX, _EDGE_PX, _MOST_ROWS = 26, 120, 9
_SERVERS = {
    "encrypt.work": "encrypt.work: worker that encrypts",
    "tx.work": "tx.work: sends a peer's packets in order",
    "decrypt.work": "decrypt.work: worker that decrypts",
    "rx.napi": "rx.napi: delivers a peer's packets in order",
}
#: What a run found: its colour, its hatching, its words.
_FOUND = {
    "productive": ("#009e73", "", "took packets"),
    "head_not_ready": ("#d55e00", "x", "first packet was not ready"),
    "empty_queue": ("#7f7f7f", "/", "nothing was there"),
}


def polls(rows: Sequence[Polls], names: Names) -> Figure:
    """What runs of the two servers that keep order found, as shares; the peers with most runs."""
    shown = _most([row for row in rows if row.executions], lambda row: row.executions)
    labels = [_label(row.server, row.object, names) for row in shown]
    figure = _base(len(shown), "share of the runs", {"ticksuffix": " %", "range": [0, 100.5]}, barmode="stack")
    for kind, (colour, shape, words) in _FOUND.items():
        counts = [int(getattr(row, kind)) for row in shown]
        shares = [100 * n / row.executions for n, row in zip(counts, shown, strict=True)]
        figure.add(
            bar(
                y=labels,
                x=np.round(shares, 3),
                orientation="h",
                name=words,
                marker=_marker(colour, shape),
                text=[f"{share:.0f} %" if share >= 4 and not shape else "" for share in shares],
                textposition="inside",
                insidetextanchor="middle",
                textfont={"color": "#ffffff"},
                customdata=[f"{n:,} of {row.executions:,} runs" for n, row in zip(counts, shown, strict=True)],
                hovertemplate=f"%{{y}}<br>{words}: %{{x:.1f}} %, %{{customdata}}<extra></extra>",
            )
        )
    return figure


def per_packet(rows: Sequence[Wakeups]) -> Figure:
    """Runs and requests for one, for each packet: 1 is one run for every packet, 0.1 is ten packets a run."""
    labels = [_SERVERS.get(row.server, row.server) for row in rows]
    columns = {
        "runs": [row.executions_per_packet for row in rows],
        "asked to run": [row.scheduled_per_packet for row in rows],
        "threads woken": [row.woken_per_packet for row in rows],
    }
    figure = _base(2 * len(rows), "for each packet", {"rangemode": "tozero"}, barmode="group")
    for (words, values), colour in zip(columns.items(), ("#0072b2", "#56b4e9", "#e69f00"), strict=True):
        if not any(value is not None for value in values):
            continue
        figure.add(
            bar(
                y=labels,
                x=[None if value is None else round(value, 5) for value in values],
                orientation="h",
                name=words,
                marker={"color": colour},
                text=["" if value is None else units.digits(value) for value in values],
                textposition="outside",
                cliponaxis=False,
                hovertemplate=f"%{{y}}<br>{words}: %{{x:.3g}} for each packet<extra></extra>",
            )
        )
    most = max((value for values in columns.values() for value in values if value is not None), default=1.0)
    figure.update_axes("x", range=[0, most * 1.12 or 1])
    return figure


def heads(rows: Sequence[Heads], names: Names) -> Figure:
    """How long the servers that keep order stood before a packet that was not ready: p50, mean and p99."""
    shown = _most([row for row in rows if row.episodes and row.p99_ns], lambda row: row.episodes)
    labels = [_label(row.server, row.object, names) for row in shown]
    figure = _base(len(shown), "time before a first packet that was not ready", {})
    ends = [value for row in shown for value in ((row.p50_ns or 0) / 1e9, (row.p99_ns or 0) / 1e9, None)]
    at = [value for label in labels for value in (label, label, None)]
    line = {"color": theme.MUTED, "width": 2}
    figure.add(scatter(x=ends, y=at, mode="lines", line=line, hoverinfo="skip", showlegend=False))
    for words, symbol, values in (
        ("median", "circle", [row.p50_ns for row in shown]),
        ("mean", "diamond", [row.mean_ns for row in shown]),
        ("p99", "line-ns-open", [row.p99_ns for row in shown]),
    ):
        figure.add(
            scatter(
                x=[None if value is None else value / 1e9 for value in values],
                y=labels,
                mode="markers",
                name=words,
                marker={"symbol": symbol, "size": 11, "color": theme.ALERT, "line": {"width": 2, "color": theme.ALERT}},
                customdata=[f"{row.episodes:,} times, {units.duration(value)}" for row, value in
                            zip(shown, values, strict=True)],
                hovertemplate=f"%{{y}}<br>{words} of %{{customdata}}<extra></extra>",
            )
        )  # fmt: skip
    times = [time / 1e9 for row in shown for time in (row.p50_ns, row.mean_ns, row.p99_ns) if time]
    figure.update_axes("x", **theme.time_axis(min(times), max(times)))
    return figure


def places(rows: Sequence[Moves], names: Names) -> Figure:
    """On which CPUs the servers that keep order ran; each move costs cold caches."""
    shown = _most([row for row in rows if row.executions and row.object is not None], lambda row: row.executions)
    labels = [_label(row.server, row.object, names) for row in shown]
    cpus = sorted({cpu for row in shown for cpu, _ in row.cpus})
    figure = _base(len(shown), "share of the runs", {"ticksuffix": " %", "range": [0, 118]}, barmode="stack")
    for number, cpu in enumerate(cpus):
        shares = [100 * dict(row.cpus).get(cpu, 0.0) for row in shown]
        figure.add(
            bar(
                y=labels,
                x=np.round(shares, 2),
                orientation="h",
                name=f"CPU {cpu}",
                marker={"color": theme.SERIES[number % len(theme.SERIES)], "line": {"width": 1, "color": "#ffffff"}},
                text=[f"CPU {cpu}" if share >= 8 else "" for share in shares],
                textposition="inside",
                insidetextanchor="middle",
                hovertemplate=f"%{{y}}<br>CPU {cpu}: %{{x:.1f}} % of the runs<extra></extra>",
                showlegend=len(cpus) <= 16,
            )
        )
    beside = {"x": 101, "showarrow": False, "xanchor": "left", "font": {"size": 12}}
    moves = [f"{units.digits(row.moves_per_s)} moves/s" for row in shown]
    figure.update(annotations=[{**beside, "y": y, "text": t} for y, t in zip(labels, moves, strict=True)])
    figure.update_axes("x", tickvals=[0, 25, 50, 75, 100])
    return figure


def _most(rows: Sequence[_Row], size: Callable[[_Row], int]) -> list[_Row]:
    """Of each server all peers together and the largest of the others, in their given order."""
    kept: list[_Row] = []
    for server in dict.fromkeys(row.server for row in rows):
        mine = [row for row in rows if row.server == server]
        ranked = sorted(mine, key=lambda row: (row.object is not None, -size(row)))[:_MOST_ROWS]
        kept += [row for row in mine if any(row is one for one in ranked)]
    return kept


def _label(server: str, number: int | None, names: Names) -> str:
    return f"{server}, all peers" if number is None else f"{server} of {theme.safe(names.label(number), 30)}"


def _marker(colour: str, shape: str) -> dict[str, object]:
    if not shape:
        return {"color": colour}
    pattern = {"shape": shape, "size": 7, "solidity": 0.3, "fillmode": "replace"}
    return {"color": colour, "pattern": {**pattern, "fgcolor": colour, "bgcolor": theme.faint(colour, 0.25)}}


def _base(rows: int, title: str, axis: dict[str, object], **layout: object) -> Figure:
    figure = theme.base(
        _ROW_PX * max(rows, 1) + _EDGE_PX,
        margin={"l": 285, "r": 40, "t": 44, "b": 50},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container", "traceorder": "normal"},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
        bargap=0.25,
        **layout,
    )
    figure.update_axes("x", title={"text": title}, **axis)
    return figure


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    mechanics, names, found = analysis.mechanics, analysis.names, []
    if any(row.executions for row in mechanics.polls):
        found.append(
            Picture(
                "polls",
                polls(mechanics.polls, names),
                "What a run of the work that keeps packets in order found. Runs that took nothing cost a CPU time and"
                " caches: either nothing was there, or the first packet was not encrypted or decrypted yet.",
            )
        )
    if mechanics.wakeups:
        found.append(
            Picture(
                "per_packet",
                per_packet(mechanics.wakeups),
                "How often work is asked to run, and runs, for each packet. Near 1: every packet pays for a run of its"
                " own. Far below 1: many packets share one. Threads woken are measured with `wgprof record --detail`.",
            )
        )
    if any(row.episodes and row.p99_ns for row in mechanics.heads):
        found.append(
            Picture(
                "heads",
                heads(mechanics.heads, names),
                "How long the work that keeps order stood before a first packet that was not encrypted or decrypted"
                " yet, while others behind it may have been ready.",
            )
        )
    if any(row.executions and row.object is not None for row in mechanics.moves):
        found.append(
            Picture(
                "places",
                places(mechanics.moves, names),
                "On which CPU the work that keeps order ran, by peer. Two peers on one CPU share it; work that moves"
                " often finds cold caches.",
            )
        )
    return found


def _missing(recording: Tables, analysis: Analysis) -> str:
    missing = needs_traffic(recording, analysis)
    if missing or analysis.mechanics.wakeups or any(row.executions for row in analysis.mechanics.polls):
        return missing
    return (
        "No run of WireGuard's work was counted in this part of the recording. Select more, or `wgprof record` again."
    )


VIEW = View(
    "wakeups",
    "Wake-ups",
    "How often WireGuard's work is woken, whether that was of use, and on which CPU it then runs.",
    ("polls", "executions", "heads", "moves", "wakeups"),
    _draw,
    _missing,
)
