"""The pipeline: both directions, stages and waits in order, what is parallel and what is one at a time.

A stage that runs on any CPU has a lane for each CPU that ran it; one that serves a peer's packets
one at a time has a lane for each peer.  A lane's colour and figure are its utilisation, the
ribbon between two stages is as thick as the packets per second it carries.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wgprof.analysis import units
from wgprof.analysis.queues import Queue
from wgprof.analysis.selection import Selection
from wgprof.analysis.servers import Server
from wgprof.analysis.stages import Stage
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, PEER_QUEUES, RINGS, STAGES, WAITS, Tables
from wgprof.analysis.waits import Wait
from wgprof.views import theme
from wgprof.views.figure import Figure, Trace, scatter
from wgprof.views.packet_time import packet_time
from wgprof.views.picture import Picture, View, needs_traffic

_SERIAL = {"tx.send": "tx.work", "rx.deliver": "rx.napi"}
_SERVERS = {**_SERIAL, "tx.encrypt": "encrypt.work", "rx.decrypt": "decrypt.work"}
_MOST_LANES = 8
_ROW_PX, _LANE_PX = 250, 20
# Geometry in units of a stage's slot (x) and of a direction's row (y, upwards).
_STAGE_WIDTH, _GAP_WIDTH = 1.0, 0.95
_LANES_BOTTOM, _LANES_TOP = 0.32, 0.74
_RIBBON = 0.16  # thickest
_WAIST, _SLIGHT_WAIST, _HIGH = 0.2, 0.09, 0.12  # of a lane's height, at either side; of a lane that is not high
#: From this occupancy on a server is called the limit.
_AT_CAP = 0.8


@dataclass(frozen=True)
class _Lane:
    label: str
    utilisation: float
    serial: bool = False  # one packet at a time


@dataclass(frozen=True)
class _Sketch:
    """What a figure is made of: Plotly is much faster when it gets everything at once."""

    traces: list[Trace] = field(default_factory=list)
    texts: list[dict[str, object]] = field(default_factory=list)
    outlines: list[dict[str, object]] = field(default_factory=list)


def pipeline(analysis: Analysis) -> Figure:
    """Both directions of the path."""
    active = [d for d in DIRECTIONS if any(s.packets for s in analysis.stages if s.direction == d)]
    if not active:
        return theme.nothing(160, "No packet passed a stage.")
    width = 3 * _STAGE_WIDTH + 2 * _GAP_WIDTH
    most = max(len(_lanes(analysis, stage)) for direction in active for stage in STAGES[direction])
    row_px = max(_ROW_PX, round(most * _LANE_PX / (_LANES_TOP - _LANES_BOTTOM)))
    sketch = _Sketch()
    fastest = max(s.rate_pps for s in analysis.stages if s.object is None)
    for row, direction in enumerate(active):
        _direction(sketch, analysis, direction, bottom=len(active) - 1 - row, fastest=fastest)
    _colour_bar(sketch, width)
    figure = theme.base(
        row_px * len(active) + 20,
        margin={"l": 10, "r": 90, "t": 5, "b": 5},
        xaxis={"visible": False, "range": [0, width], "fixedrange": True},
        yaxis={"visible": False, "range": [0, len(active)], "fixedrange": True},
        showlegend=False,
        hovermode="closest",
        annotations=sketch.texts,
        shapes=sketch.outlines,
    )
    figure.add(*sketch.traces)
    return figure


def _direction(sketch: _Sketch, analysis: Analysis, direction: str, *, bottom: int, fastest: float) -> None:
    stages = {s.stage: s for s in analysis.stages if s.object is None}
    waits = {w.wait: w for w in analysis.waits if w.object is None}
    last = stages[STAGES[direction][2]]
    title = (
        f"<b>{DIRECTION_NAMES[direction].capitalize()}</b>  {units.bits(last.rate_mbit_s)}, {units.rate(last.rate_pps)}"
    )
    _text(sketch, 0.0, bottom + 0.97, title, size=15, anchor="left")
    for number, name in enumerate(STAGES[direction]):
        left = number * (_STAGE_WIDTH + _GAP_WIDTH)
        _stage(sketch, analysis, stages[name], left=left, bottom=bottom)
        if number:
            queue = (RINGS, PEER_QUEUES)[number - 1][direction]
            queues = [q for q in analysis.queues if q.queue == queue]
            wait = waits.get(WAITS[direction][number - 1])
            share = stages[name].rate_pps / fastest if fastest else 0.0
            _gap(sketch, wait, queues, right=left, bottom=bottom, share=share)


def _stage(sketch: _Sketch, analysis: Analysis, stage: Stage, *, left: float, bottom: int) -> None:
    lanes = _lanes(analysis, stage.stage)
    servers = _servers(analysis, stage.stage)
    serial = bool(servers)
    middle = left + _STAGE_WIDTH / 2
    _text(sketch, middle, bottom + 0.80, f"<b>{stage.stage}</b>", size=14)
    height = (_LANES_TOP - _LANES_BOTTOM) / max(len(lanes), 1)
    for number, lane in enumerate(lanes):
        top = bottom + _LANES_TOP - number * height
        _lane(sketch, stage, lane, box=(left, top - height, left + _STAGE_WIDTH, top))
    capped = _busiest_here(analysis, stage)
    at_cap = capped is not None and capped.occupancy >= _AT_CAP
    outline = {"color": theme.MUTED, "width": 1}
    if capped is not None:
        outline = {"color": theme.ALERT, "width": 4} if at_cap else {"color": theme.ALERT, "width": 2, "dash": "dash"}
    left_right = {"x0": left, "x1": left + _STAGE_WIDTH}
    bottom_top = {"y0": bottom + _LANES_BOTTOM, "y1": bottom + _LANES_TOP}
    sketch.outlines.append({"type": "rect", **left_right, **bottom_top, "line": outline, "layer": "above"})
    many = len(servers) if serial else len(stage.cpus)
    if serial:
        shape = "one packet at a time" + (f", {many} peers" if many > 1 else "")
    else:
        shape = f"in parallel on {many} CPUs" if many > 1 else "on one CPU"
    service = f"service {units.duration(stage.service_mean_ns)}, p99 {units.duration(stage.service_p99_ns)}"
    lines = [service, f"<i>{shape}</i>"]
    if capped is not None:
        which = (" that peer" if serial and many > 1 else "") + " at" + (" ≥" if capped.cap_is_least else "")
        lines.append(f"<b>{'THE LIMIT' if at_cap else 'busiest'}, {units.share(capped.occupancy)} occupied:</b>")
        lines.append(f"<b>caps{which} {units.bits(capped.cap_mbit_s)}</b>")
    _text(sketch, middle, bottom + 0.29, "<br>".join(lines), valign="top")


def _servers(analysis: Analysis, stage: str) -> list[Server]:
    """The serial servers of a stage, one for each peer; none where the stage is not serial, or the module inline."""
    return [s for s in analysis.servers if s.kind == _SERIAL.get(stage)]


def _busiest_here(analysis: Analysis, stage: Stage) -> Server | None:
    """The busiest server of the stage's direction, if this is its stage."""
    flows = analysis.headline.throughput if analysis.headline else ()
    (server,) = (f.server for f in flows if f.direction == stage.direction)
    return server if server is not None and server.kind == _SERVERS.get(stage.stage) else None


def _lanes(analysis: Analysis, stage: str) -> list[_Lane]:
    """The lanes of a stage, the busiest first where there are too many to show."""
    servers = _servers(analysis, stage)
    if servers:
        lanes = [_Lane(analysis.names.label(s.object or 0), s.utilisation, serial=True) for s in servers]
    else:
        (row,) = (s for s in analysis.stages if s.stage == stage and s.object is None)
        lanes = [_Lane(f"CPU {c.cpu}", c.measured[stage]) for c in analysis.cores if c.cpu in row.cpus]
    if len(lanes) <= _MOST_LANES:
        return lanes
    lanes.sort(key=lambda lane: -lane.utilisation)
    rest = lanes[_MOST_LANES - 1 :]
    mean = sum(lane.utilisation for lane in rest) / len(rest)
    return [*lanes[: _MOST_LANES - 1], _Lane(f"{len(rest)} more, on average", mean, rest[0].serial)]


def _lane(sketch: _Sketch, stage: Stage, lane: _Lane, *, box: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = box
    share = _WAIST if y1 - y0 > _HIGH else _SLIGHT_WAIST
    waist = share * (y1 - y0) if lane.serial else 0.0
    middle = (x0 + x1) / 2
    sketch.traces.append(
        scatter(
            x=[x0, middle, x1, x1, middle, x0, x0],
            y=[y0, y0 + waist, y0, y1, y1 - waist, y1, y0],
            mode="lines",
            fill="toself",
            fillcolor=theme.heat(lane.utilisation),
            line={"width": 1, "color": "rgba(255,255,255,0.55)"},
            hoveron="fills",
            hoverinfo="text",
            text=f"{stage.stage} — {theme.safe(lane.label)}<br>busy {units.share(lane.utilisation)}"
            f" ({units.cores(lane.utilisation)})",
        )
    )
    label = f"{theme.safe(lane.label, 22)}  <b>{units.share(lane.utilisation)}</b>"
    _text(sketch, middle, (y0 + y1) / 2, label, size=11, colour=theme.ink_on(lane.utilisation), valign="middle")


def _gap(sketch: _Sketch, wait: Wait | None, queues: list[Queue], *, right: float, bottom: int, share: float) -> None:
    left, centre = right - _GAP_WIDTH, bottom + (_LANES_BOTTOM + _LANES_TOP) / 2
    half = max(share * _RIBBON, 0.012) / 2
    low, high = centre - half, centre + half
    tip = right - 0.09
    sketch.traces.append(
        scatter(
            x=[left, tip, tip, right, tip, tip, left, left],
            y=[low, low, low - 0.03, centre, high + 0.03, high, high, low],
            mode="lines",
            fill="toself",
            fillcolor=theme.WAIT,
            line={"width": 0},
            hoveron="fills",
            hoverinfo="text",
            text="<br>".join(_wait_lines(wait, queues, "")),
        )
    )
    middle = (left + right) / 2
    above, *below = _wait_lines(wait, queues, "wait ")
    _text(sketch, middle, centre + _RIBBON / 2 + 0.05, above, valign="bottom")
    _text(sketch, middle, centre - _RIBBON / 2 - 0.04, "<br>".join(below), valign="top")


def _wait_lines(wait: Wait | None, queues: list[Queue], prefix: str) -> list[str]:
    lines = ["wait not measured"]
    if wait is not None and wait.mean_ns is not None:
        lines = [
            f"{prefix or wait.wait + ' '}<b>{units.duration(wait.mean_ns)}</b>",
            f"p99 {units.duration(wait.p99_ns)}",
        ]
    held = [q for q in queues if q.depth_mean is not None]
    if held:
        fullest = max(held, key=lambda q: q.depth_mean or 0.0)
        many = "fullest " if len(held) > 1 else ""
        lines.append(f"{many}{fullest.queue}<br>{units.digits(fullest.depth_mean or 0.0, 2)} of {fullest.limit:,}")
    refused = sum(q.refused_packets for q in queues)
    if refused:
        lines.append(f"<b>{refused:,} packets refused</b>")
    return lines


def _colour_bar(sketch: _Sketch, width: float) -> None:
    marker = {
        "color": [0],
        "cmin": 0,
        "cmax": 100,
        "size": 0.1,
        "colorscale": theme.SCALE,
        "showscale": True,
        "colorbar": {"title": {"text": "busy"}, "ticksuffix": " %", "thickness": 12, "outlinewidth": 0, "len": 0.8},
    }
    sketch.traces.append(scatter(x=[width], y=[0], mode="markers", marker=marker, hoverinfo="skip"))


def _text(
    sketch: _Sketch,
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    anchor: str = "center",
    valign: str = "middle",
    colour: str | None = None,
) -> None:
    font: dict[str, object] = {"size": size}
    if colour:
        font["color"] = colour
    at = {"x": x, "y": y, "xanchor": anchor, "yanchor": valign, "align": anchor}
    sketch.texts.append({**at, "text": text, "showarrow": False, "font": font})


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    return [
        Picture(
            "pipeline",
            pipeline(analysis),
            "The way of a packet, left to right. A stage with straight lanes, one for each CPU, runs in parallel; a"
            " lane with a waist, one for each peer, lets that peer's packets through one at a time. Colour and figure"
            " in a lane: how busy it is. A ribbon is as thick as the packets it carries. Outlined: the server of the"
            " direction that is occupied most, dashed while it has room to spare, thick where it is the limit.",
        ),
        Picture(
            "packet_time",
            packet_time(analysis),
            "Where an average packet's time goes. Solid: being worked on. Hatched: waiting for the step of the same"
            " colour.",
        ),
    ]


VIEW = View(
    "pipeline",
    "Pipeline",
    "The steps that every packet goes through, how busy each is, and which of them holds the others up.",
    ("stages", "executions", "cpus", "depths", "arrivals", "journeys"),
    _draw,
    needs_traffic,
)
