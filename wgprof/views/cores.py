"""The cores: CPU by time, a heat map for the kernel's account and one for each stage.

A serial stage is one hot stripe among cool ones; work that moves from CPU to CPU is seen moving.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wgprof.analysis.cores import Bins, CoreSeries, core_series
from wgprof.analysis.residence import residence_of
from wgprof.analysis.selection import Selection, as_part
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.views import theme
from wgprof.views.cpu_split import MOST_CPUS, MOST_SERVERS, places_over_time, split
from wgprof.views.figure import Figure, Trace, heatmap
from wgprof.views.picture import Picture, View, needs_traffic
from wgprof.views.stack import Panel, stacked

#: Bins along the time axis and cells in all maps together: what a screen can show and a report can carry.
BINS = 240
_MOST_CELLS = 150_000
_CPU_PX, _LEAST_PANEL_PX, _MOST_PANEL_PX, _LABEL_EVERY_PX = 18, 34, 140, 16
_TITLES = {
    "tx.encrypt": "tx.encrypt, with its worker",
    "tx.send": "tx.send, with tx.work",
    "rx.decrypt": "rx.decrypt, with its worker",
    "rx.deliver": "rx.deliver, with the NAPI poll",
    "other softirq": "softirqs outside WireGuard",
}


def bins_for(cpus: int) -> int:
    """How many bins of time to ask of `core_series` for this many CPUs."""
    return max(30, min(BINS, _MOST_CELLS // (8 * max(cpus, 1))))


def cores(series: CoreSeries) -> Figure:
    """Panels one above the other on one time axis and one colour scale; stages that never ran are left out."""
    if not series.cpus or not series.start_s.size:
        return theme.nothing(120, "No CPU times were recorded.")
    panels = [("busy, by the kernel's account", series.busy)]
    if series.softirq is not None:
        panels.append(("of that in softirqs", series.softirq))
    panels += [
        (_TITLES.get(track, track), values) for track, values in series.measured.items() if values.max(initial=0) > 0
    ]
    panel_px = min(max(_CPU_PX * len(series.cpus), _LEAST_PANEL_PX), _MOST_PANEL_PX)
    cpu_px = panel_px / len(series.cpus)
    shown = [str(cpu) for cpu in series.cpus[:: max(1, math.ceil(_LABEL_EVERY_PX / cpu_px))]]
    axis = {"type": "category", "tickvals": shown, "ticktext": [f"CPU {cpu}" for cpu in shown], "showgrid": False,
            "autorange": "reversed"}  # fmt: skip
    maps = [(title, _map(series, title, values, gap=1 if cpu_px >= 6 else 0)) for title, values in panels]
    bar = {"title": {"text": "of the CPU"}, "ticksuffix": " %", "thickness": 12, "outlinewidth": 0}
    bar |= {"len": 260, "lenmode": "pixels", "y": 1, "yanchor": "top"}
    return stacked(
        [Panel(title, [trace], axis) for title, trace in maps],
        panel_px,
        30,
        28,
        coloraxis={"colorscale": theme.SCALE, "cmin": 0, "cmax": 100, "colorbar": bar},
    )


def _map(series: CoreSeries, title: str, values: npt.NDArray[np.float64], *, gap: int) -> Trace:
    percent = np.clip(np.rint(values * 100), 0, 255).astype(np.uint8)
    return heatmap(
        x=np.round(series.start_s + series.width_s / 2, 3),
        y=[str(cpu) for cpu in series.cpus],
        z=percent,
        coloraxis="coloraxis",
        ygap=gap,
        hovertemplate=f"{title}<br>CPU %{{y}}, %{{x:.1f}} s<br>%{{z}} %<extra></extra>",
    )


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    cpus, stages, executions = (recording.table(name) for name in ("cpus", "stages", "executions"))
    bins, began_ns = bins_for(int(cpus["cpu"].nunique())), as_part(recording).began_ns
    intervals = recording.table("intervals")
    series = core_series(cpus, stages, executions, intervals, bins, began_ns)
    found = [
        Picture(
            "cores",
            cores(series),
            "Each CPU over time, coloured by how busy it was: first by the kernel's own account, then with each stage"
            " alone. A stage that cannot run in parallel is one bright stripe among dark ones; work that migrates"
            " changes rows.",
        )
    ]
    if series.cpus and series.start_s.size:
        few = f" The {MOST_CPUS} busiest of {len(series.cpus)} CPUs." if len(series.cpus) > MOST_CPUS else ""
        found.append(
            Picture(
                "cores_split",
                split(series),
                "What each CPU did, coloured by stage; blank is idle. One colour that fills one CPU while others are"
                f" blank is work that cannot spread.{few}",
            )
        )
    residence = residence_of(executions, Bins.of(intervals, bins, began_ns), MOST_SERVERS)
    if residence:
        found.append(
            Picture(
                "cores_places",
                places_over_time(residence, series.start_s, analysis.names),
                "On which CPU the work ran that keeps a peer's packets in order: a row for each, coloured by CPU. A"
                " change of colour is a move, after which caches are cold; peers of one colour share that CPU.",
            )
        )
    return found


VIEW = View(
    "cores",
    "Cores",
    "What each CPU did and when: work that can spread is seen on all of them, work that cannot on one at a time.",
    ("cpus", "stages", "executions", "intervals"),
    _draw,
    needs_traffic,
)
