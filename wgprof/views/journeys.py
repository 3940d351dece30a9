"""Journeys: single packets as lanes, the slowest first, and one of them across the CPUs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis import units
from wgprof.analysis.journeys import Journeys, Sampling
from wgprof.analysis.latency import Blocked, Latency, blocked_by, latency_of, steps_of
from wgprof.analysis.names import Names
from wgprof.analysis.selection import Selection, as_part
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, STAGES, IntArray, Tables
from wgprof.views import theme
from wgprof.views.figure import Figure, Trace, bar, scatter
from wgprof.views.latency import missing_journeys, stage_of
from wgprof.views.picture import Picture, View

_LANES, _LANE_PX = 16, 24
_CPU_PX, _LEAST_PX = 46, 200
#: More than this on one screen are a carpet.
_MOST_PIECES = 1500
_LAST_WAIT = 3
#: Less slow packets to compare the slowest with, by the share that is faster.
_BESIDE = {"p99": 0.99, "p90": 0.9, "median": 0.5}
_LEGEND = {"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container", "traceorder": "normal"}
_HELD = "held by an earlier packet"


@dataclass(frozen=True)
class _Piece:
    """A part of a lane, in nanoseconds from its begin."""

    kind: str  # a step, or _HELD
    start_ns: int
    length_ns: int
    text: str
    hover: str


def lanes(journeys: Journeys, latency: Latency, blocked: Blocked, names: Names, began_ns: int) -> Figure:
    """The slowest packets of one direction from the moment they entered, and three less slow ones beside them."""
    order = np.argsort(-latency.total_ns, kind="stable")
    slowest = order[:_LANES].tolist()
    chosen = dict(zip((f"#{number}" for number in range(1, len(slowest) + 1)), slowest, strict=True))
    if order.size > 10 * _LANES:
        chosen |= {label: int(order[int(order.size * (1 - share))]) for label, share in _BESIDE.items()}
    held = _held_ns(journeys, latency, blocked)
    if held.any():
        chosen["held"] = int(np.argmax(held))
    pieces = {
        label: _pieces(journeys, latency, blocked, at, int(held[at]), names, began_ns) for label, at in chosen.items()
    }
    longest = max(int(latency.total_ns[slowest[0]]), 1)
    unit, unit_ns = ("ms", 1e6) if longest > 1_000_000 else ("µs", 1e3)
    figure = theme.base(
        _LANE_PX * len(chosen) + 100,
        barmode="overlay",
        bargap=0.25,
        margin={"l": 62, "r": 20, "t": 44, "b": 45},
        legend=_LEGEND,
        xaxis={"title": {"text": f"{unit} since the packet entered"}, "range": [0, longest / unit_ns * 1.14]},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
        uniformtext={"mode": "hide", "minsize": 10},
    )
    for kind in (*steps_of(latency.direction), _HELD):
        mine = [(label, piece) for label, lane in pieces.items() for piece in lane if piece.kind == kind]
        if mine:
            figure.add(_bars(latency.direction, kind, mine, unit_ns))
    texts = []
    for label, at in chosen.items():
        cpus = " → ".join(str(cpu) for cpu in journeys.cpu[:, latency.rows[at]].tolist())
        end = {"x": float(latency.total_ns[at]) / unit_ns, "y": label, "xanchor": "left", "xshift": 4}
        texts.append({**end, "text": f"CPU {cpus}", "showarrow": False, "font": {"size": 11}})
    figure.update(annotations=texts)
    return figure


def _bars(direction: str, kind: str, pieces: list[tuple[str, _Piece]], unit_ns: float) -> Trace:
    steps = steps_of(direction)
    colour = theme.ALERT if kind == _HELD else theme.COLOURS[stage_of(direction, steps.index(kind))]
    waits = kind not in theme.COLOURS
    marker: dict[str, object] = {"color": theme.faint(colour, 0.28) if waits else colour, "line": {"width": 0}}
    if kind == _HELD:
        ground = {"fgcolor": theme.faint(colour, 0.7), "bgcolor": theme.faint(colour, 0.2)}
        marker["pattern"] = {"shape": "x", "size": 7, "solidity": 0.25, "fillmode": "replace", **ground}
    return bar(
        y=[label for label, _ in pieces],
        x=np.round([piece.length_ns / unit_ns for _, piece in pieces], 4),
        base=np.round([piece.start_ns / unit_ns for _, piece in pieces], 4),
        orientation="h",
        name=kind,
        marker=marker,
        text=[piece.text for _, piece in pieces],
        textposition="inside",
        insidetextanchor="middle",
        textfont={"color": theme.ink_over(colour, waits), "size": 11},
        hovertext=[piece.hover for _, piece in pieces],
        hoverinfo="text",
    )


def _pieces(
    journeys: Journeys, latency: Latency, blocked: Blocked, at: int, held_ns: int, names: Names, began_ns: int
) -> list[_Piece]:
    row, steps = int(latency.rows[at]), steps_of(latency.direction)
    peer = theme.safe(names.label(int(journeys.object[row])))
    moment = (int(latency.began_ns[at]) - began_ns) / 1e9
    head = (
        f"packet {int(journeys.nonce[row])} of {peer}, entered at {moment:.3f} s,"
        f" {units.duration(float(latency.total_ns[at]))} in all"
    )
    found, start = [], 0
    for number, step in enumerate(steps):
        length = int(latency.steps_ns[number, at])
        took = f"{head}<br><b>{step}</b> {units.duration(float(length))}"
        if number % 2 == 0:
            cpu = f"CPU {int(journeys.cpu[number // 2, row])}"
            found.append(_Piece(step, start, length, cpu, f"{took} on {cpu}"))
        else:
            held = held_ns if number == _LAST_WAIT else 0
            if held:
                found.append(
                    _Piece(_HELD, start, held, "", f"{took}<br>{_holder(journeys, latency, blocked, at, held)}")
                )
            found.append(_Piece(step, start + held, length - held, "", took))
        start += length
    return [piece for piece in found if piece.length_ns > 0]


def _held_ns(journeys: Journeys, latency: Latency, blocked: Blocked) -> IntArray:
    """How long each packet was ready and one before it was not."""
    ready, waited = journeys.end_ns[1, latency.rows], latency.steps_ns[_LAST_WAIT]
    return np.where(blocked.holder >= 0, np.clip(blocked.until_ns - ready, 0, waited), 0)


def _holder(journeys: Journeys, latency: Latency, blocked: Blocked, at: int, held: int) -> str:
    holder = int(blocked.holder[at])
    stage = stage_of(latency.direction, 2)
    length = int(journeys.end_ns[1, holder] - journeys.start_ns[1, holder])
    return (
        f"for {units.duration(float(held))} it waited for packet {int(journeys.nonce[holder])} before it, whose {stage}"
        f" on CPU {int(journeys.cpu[1, holder])} took {units.duration(float(length))}"
    )


def across_cpus(journeys: Journeys, latency: Latency, began_ns: int) -> Figure:
    """The slowest packet on its way across CPUs, and what all sampled packets had them do meanwhile."""
    at = int(np.argmax(latency.total_ns))
    row, first = int(latency.rows[at]), int(latency.began_ns[at])
    last = first + int(latency.total_ns[at])
    margin = max((last - first) // 20, 1000)
    low, high = first - margin, last + margin
    mine = np.flatnonzero((journeys.end_ns > low) & (journeys.start_ns < high) & journeys.seen)
    point, packet = np.divmod(mine, len(journeys))
    cpus = np.unique(np.append(journeys.cpu[point, packet], journeys.cpu[:, row]))
    figure = theme.base(
        max(_CPU_PX * cpus.size + 100, _LEAST_PX),
        margin={"l": 60, "r": 20, "t": 44, "b": 45},
        legend=_LEGEND,
        barmode="overlay",
        bargap=0.35,
        xaxis={
            "title": {"text": f"ms since {(first - began_ns) / 1e9:.4f} s of the recording"},
            "range": [(low - first) / 1e6, (high - first) / 1e6],
        },
        yaxis={"type": "category", "categoryarray": [f"CPU {c}" for c in cpus], "autorange": "reversed"},
    )
    longest = np.argsort(journeys.start_ns[point, packet] - journeys.end_ns[point, packet], kind="stable")[
        :_MOST_PIECES
    ]
    point, packet = point[longest], packet[longest]
    for number, stage in enumerate((*STAGES["tx"], *STAGES["rx"])):
        way, step = divmod(number, 3)
        of_stage = (journeys.direction[packet] == way) & (point == step)
        if of_stage.any():
            _work(figure, journeys, stage, step, packet[of_stage], first)
    _path(figure, journeys, row, first)
    return figure


def _work(figure: Figure, journeys: Journeys, stage: str, step: int, packets: IntArray, first: int) -> None:
    start, end = journeys.start_ns[step, packets], journeys.end_ns[step, packets]
    figure.add(
        bar(
            y=[f"CPU {cpu}" for cpu in journeys.cpu[step, packets]],
            x=np.round((end - start) / 1e6, 5),
            base=np.round((start - first) / 1e6, 5),
            orientation="h",
            name=stage,
            marker={"color": theme.COLOURS[stage], "opacity": 0.75, "line": {"width": 0}},
            customdata=[[str(n), units.duration(float(t))] for n, t in
                        zip(journeys.nonce[packets].tolist(), (end - start).tolist(), strict=True)],
            hovertemplate=f"packet %{{customdata[0]}}: {stage} %{{customdata[1]}} on %{{y}}<extra></extra>",
        )
    )  # fmt: skip


def _path(figure: Figure, journeys: Journeys, row: int, first: int) -> None:
    at = [
        (int(when) - first) / 1e6
        for step in range(3)
        for when in (journeys.start_ns[step, row], journeys.end_ns[step, row])
    ]
    cpus = [f"CPU {int(journeys.cpu[step, row])}" for step in range(3) for _ in range(2)]
    figure.add(
        scatter(
            x=np.round(at, 5),
            y=cpus,
            mode="lines+markers",
            name="the slowest packet",
            line={"color": theme.MUTED, "width": 2, "dash": "dot"},
            marker={"size": 9, "color": theme.MUTED, "symbol": "diamond", "line": {"width": 1, "color": "#ffffff"}},
            hovertemplate="the slowest packet at %{x:.3f} ms on %{y}<extra></extra>",
        )
    )


def _described(latency: Latency, labels: set[str]) -> str:
    """How to read the lanes that are there."""
    parts = [
        f"The slowest of {len(latency):,} sampled packets, {DIRECTION_NAMES[latency.direction]}: one lane each, from"
        " the moment it entered. Solid: a stage at work. Pale: waiting for the stage of the same colour. Behind each"
        " lane: the CPUs of its three stages."
    ]
    if "median" in labels:
        parts.append("Below, for comparison, packets that were less slow.")
    if "held" in labels:
        parts.append(
            "Last the one that was held longest. Crossed, as in that lane: the packet was ready and had to wait for an"
            " earlier one that was not, since packets keep their order; point at it to see for which."
        )
    return " ".join(parts)


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    part = as_part(recording)
    journeys, sampling = part.journeys, Sampling.of(part)
    found = []
    for direction in DIRECTIONS:
        latency = latency_of(journeys, sampling, direction)
        if not len(latency):
            continue
        words = DIRECTION_NAMES[direction]
        figure = lanes(journeys, latency, blocked_by(journeys, latency), analysis.names, part.began_ns)
        found.append(
            Picture(
                f"journeys_{direction}",
                figure,
                _described(latency, {str(label) for trace in figure.data for label in trace["y"]}),
            )
        )
        found.append(
            Picture(
                f"journeys_{direction}_cpus",
                across_cpus(journeys, latency, part.began_ns),
                f"The slowest packet, {words}, from CPU to CPU (dotted), and what the sampled packets had the CPUs do"
                " meanwhile. Where nothing is drawn the CPU did something else, or worked for packets that were not"
                " sampled.",
            )
        )
    return found


VIEW = View(
    "journeys",
    "Journeys",
    "Single packets on their way: what each did and waited for, on which CPU, the slowest first.",
    ("journeys", "intervals", "objects"),
    _draw,
    missing_journeys,
)
