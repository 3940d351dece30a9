"""Latency: how long steps take, by percentile and over time, and where the time of typical and of slow packets goes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wgprof.analysis import units
from wgprof.analysis.journeys import Sampling
from wgprof.analysis.latency import Latency, latency_of, steps_of
from wgprof.analysis.selection import Selection, as_part
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, STAGES, FloatArray, Tables
from wgprof.views import theme
from wgprof.views.figure import Figure, Trace, bar, heatmap, scatter
from wgprof.views.picture import Picture, View, needs_traffic
from wgprof.views.stack import Panel, in_rows, stacked

#: Fewer packets than this beyond a percentile say nothing about it.
_LEAST_BEYOND = 5
_POINTS = 160
_TIME_BINS, _LENGTHS_PER_DECADE = 160, 12
_WHOLE = "end to end"
_TYPICAL, _SLOWEST = (0.45, 0.55), (0.99, 1.0)


def stage_of(direction: str, number: int) -> str:
    """The stage whose colour a step has: a wait that of the stage it is for."""
    return STAGES[direction][(number + 1) // 2]


def percentiles(latencies: Sequence[Latency]) -> Figure:
    """A panel for each direction, a line for each step; right of the middle each equal distance is ten times rarer."""
    rarest = max(_rarest(latency) for latency in latencies)
    nines = np.linspace(0.0, rarest, _POINTS)
    ticks = [(0.0, "0"), (math.log10(2), "50"), *((float(n), f"{100 - 10.0 ** (2 - n):.6g}") for n in range(1, 8))]
    shown = [tick for tick in ticks if tick[0] <= rarest + 1e-9]
    level = {
        "tickvals": [at for at, _ in shown],
        "ticktext": [text for _, text in shown],
        "title": {"text": "percentile: so many % of the packets are faster"},
        "range": [0, rarest],
    }
    lines = [_lines(latency, nines, first=latency is latencies[0]) for latency in latencies]
    values = [line["y"] for mine in lines for line in mine]
    upright = theme.time_axis(min(float(y.min()) for y in values), max(float(y.max()) for y in values))
    titles = [f"<b>{DIRECTION_NAMES[x.direction]}</b>, {len(x):,} sampled packets" for x in latencies]
    return in_rows(
        [[Panel(title, mine, upright, level) for title, mine in zip(titles, lines, strict=True)]],
        430,
        gap=0.04,
        heading={"font": {"size": 13}, "yshift": 2},
        margin={"l": 75, "r": 15, "t": 90, "b": 55},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top", "yref": "container"},
    )


def _lines(latency: Latency, nines: FloatArray, *, first: bool) -> list[Trace]:
    """A line for each step of one direction, and one for all together."""
    at = nines[nines <= _rarest(latency) + 1e-9]
    shares = 1 - 10.0**-at
    lines = []
    for number, step in enumerate(steps_of(latency.direction)):
        colour = theme.COLOURS[stage_of(latency.direction, number)]
        lines.append(_line(at, latency.quantiles(latency.steps_ns[number], shares), step, colour, number % 2 == 1))
    whole = _line(at, latency.quantiles(latency.total_ns, shares), _WHOLE, theme.MUTED, False)
    return [*lines, {**whole, "showlegend": first}]


def _rarest(latency: Latency) -> float:
    """How many nines the sample is good for."""
    return max(math.log10(max(len(latency), 1) / _LEAST_BEYOND), 0.5)


def _line(nines: FloatArray, values: FloatArray, name: str, colour: str, waits: bool) -> Trace:
    return scatter(
        x=np.round(nines, 4),
        y=_seconds(values),
        mode="lines",
        name=name,
        legendgroup=name,
        line={"color": colour, "width": 3 if name == _WHOLE else 1.8, "dash": "dot" if waits else "solid"},
        customdata=[f"{100 * (1 - 10**-at):.5g}" for at in nines.tolist()],
        hovertemplate=f"{name}: %{{customdata}} % of the packets take at most %{{y:.3s}}s<extra></extra>",
    )


def _seconds(values_ns: FloatArray) -> npt.NDArray[np.float32]:
    """For a logarithmic axis, and no more digits than are known."""
    return np.maximum(values_ns / 1e9, 1e-9).astype(np.float32)


def over_time(latencies: Sequence[Latency], began_ns: int) -> Figure:
    """A heat map for each direction: when packets began, how long they took, which share of those of that moment."""
    first = min(int(latency.began_ns[0]) for latency in latencies)
    last = max(int(latency.began_ns[-1]) for latency in latencies) + 1
    edges_ns = np.linspace(first, last, _TIME_BINS + 1)
    totals = [np.log10(np.maximum(latency.total_ns, 100)) for latency in latencies]
    low = math.floor(min(float(total.min()) for total in totals))
    high = math.ceil(max(float(total.max()) for total in totals) + 1e-9)
    lengths = np.linspace(low, high, (high - low) * _LENGTHS_PER_DECADE + 1)
    axis = theme.time_axis(10.0 ** (low - 9) * 1.001, 10.0 ** (high - 9) * 0.999)
    panels = []
    for latency, total in zip(latencies, totals, strict=True):
        counts, _, _ = np.histogram2d(latency.began_ns, total, bins=(edges_ns, lengths), weights=latency.weights)
        moment = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts * 100, moment, out=np.zeros_like(counts), where=moment > 0)
        heat = heatmap(
            x=np.round(((edges_ns[:-1] + edges_ns[1:]) / 2 - began_ns) / 1e9, 3),
            y=_seconds(10 ** ((lengths[:-1] + lengths[1:]) / 2)),
            z=np.where(share.T > 0, np.round(share.T, 1), np.nan).astype(np.float32),
            coloraxis="coloraxis",
            hovertemplate="%{x:.2f} s: %{z} % of the packets took about %{y:.2s}s<extra></extra>",
        )
        panels.append(Panel(f"<b>{DIRECTION_NAMES[latency.direction]}</b>, end to end", [heat], axis))
    bar = {"title": {"text": "of the<br>packets", "font": {"size": 12}}, "ticksuffix": " %", "thickness": 12}
    colours = {"colorscale": theme.DENSITY, "cmin": 0, "cmax": 30, "colorbar": {**bar, "outlinewidth": 0}}
    return stacked(panels, 170, 36, 34, coloraxis=colours)


def waterfall(latencies: Sequence[Latency]) -> Figure:
    """Typical packets beside the slowest 1 %, a row for each direction: each step begins where the one before ended."""
    groups = (("typical: around the median", _TYPICAL), ("the slowest 1 %", _SLOWEST))
    rows = []
    for latency in latencies:
        panels = []
        for words, within in groups:
            steps = latency.between(*within)
            title = f"<b>{DIRECTION_NAMES[latency.direction]}</b>, {words}: {units.duration(float(steps.sum()))}"
            panels.append(_steps(title, latency.direction, steps))
        rows.append(panels)
    return in_rows(
        rows,
        210 * len(latencies) + 40,
        gap=0.05,
        row_gap=0.24,
        heading={"font": {"size": 13}},
        margin={"l": 125, "r": 30, "t": 34, "b": 40},
        showlegend=False,
        bargap=0.25,
    )


def _steps(title: str, direction: str, steps: FloatArray) -> Panel:
    names, whole = steps_of(direction), float(steps.sum())
    unit, unit_ns = ("ms", 1e6) if whole > 1e6 else ("µs", 1e3)
    colours = [theme.COLOURS[stage_of(direction, number)] for number in range(len(names))]
    bars = bar(
        y=list(names),
        x=np.round(steps / unit_ns, 4),
        base=np.round((np.cumsum(steps) - steps) / unit_ns, 4),
        orientation="h",
        marker={
            "color": colours,
            "pattern": {
                "shape": ["/" if number % 2 else "" for number in range(len(names))],
                "size": 7,
                "solidity": 0.2,
                "fillmode": "replace",
                "fgcolor": [theme.faint(colour, 0.7) for colour in colours],
                "bgcolor": [theme.faint(c, 0.2) if n % 2 else c for n, c in enumerate(colours)],
            },
        },
        text=[f"{units.duration(float(s))}, {units.share(float(s) / whole)}" if whole else "" for s in steps],
        textposition="outside",
        textfont={"size": 12},
        cliponaxis=False,
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    # Room for the texts beside the bars.
    level = {"title": {"text": unit, "standoff": 4}, "range": [0, whole / unit_ns * 1.35]}
    return Panel(title, [bars], {"autorange": "reversed", "showgrid": False}, level)


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    part = as_part(recording)
    latencies = _latencies(part)
    return [
        Picture(
            "latency_where",
            waterfall(latencies),
            "Where a packet's time goes from end to end: on the left packets around the median, on the right the"
            " slowest 1 % (mean of each). Every step begins where the one before ended. Solid: being worked on."
            " Hatched: waiting for the step of the same colour. The step that is long on the right only is what makes"
            " slow packets slow.",
        ),
        Picture(
            "latency_percentiles",
            percentiles(latencies),
            "How long each step takes. At 99, 99 packets in a hundred are faster than the line is high."
            " Dotted lines are waits. A line that stays flat is a step that always takes the same time; one that bends"
            " upwards at the right is a step that is seldom, but then very, slow.",
        ),
        Picture(
            "latency_over_time",
            over_time(latencies, part.began_ns),
            "When packets entered, and how long they took from end to end: a strong band is what most packets took at"
            " that moment. Two bands are two kinds of packets; a band that climbs is a queue that fills.",
        ),
    ]


def _latencies(recording: Tables) -> list[Latency]:
    journeys, sampling = as_part(recording).journeys, Sampling.of(recording)
    return [found for d in DIRECTIONS if len(found := latency_of(journeys, sampling, d))]


def missing_journeys(recording: Tables, analysis: Analysis) -> str:
    """What is missing when no sampled packet was followed to its end."""
    missing = needs_traffic(recording, analysis)
    if missing or any(counts.complete for counts in analysis.journeys):
        return missing
    return (
        "No sampled packet was followed from end to end in this part of the recording. Select more of it, or record"
        " with a smaller `--sample`."
    )


VIEW = View(
    "latency",
    "Latency",
    "How long packets take inside WireGuard, and in which step the time is spent.",
    ("journeys", "intervals"),
    _draw,
    missing_journeys,
)
