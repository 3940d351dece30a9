"""A prediction on a terminal, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.errors import UsageError
from wgprof.model.fits import Fit, fit
from wgprof.model.predict import Architecture, Effect, Point, Prediction

VERSION = 1
_WIDTH = 170
_NOTHING = "–"


def print_prediction(
    prediction: Prediction,
    what_if: Prediction | None,
    factors: Sequence[tuple[str, float]],
    console: Console | None = None,
) -> None:
    """Print the points, the fits over cores, what the bands rest on, and the what-if."""
    console = console or Console(highlight=False)
    if not console.is_terminal and console.width < _WIDTH:
        console = Console(file=console.file, width=_WIDTH, highlight=False)
    ask = prediction.ask
    console.print(Text(_headline(prediction), style="bold"), soft_wrap=True)
    for note in ask.machine.notes:
        console.print(Text(f"Note: {clean(note, 300)}.", style="yellow"), soft_wrap=True)
    if prediction.interrupted:
        console.print(Text("Interrupted: some points or bands are missing.", style="bold red"))
    console.print(_points_table(prediction, what_if, factors))
    for line in fit_lines(prediction):
        console.print(Text(line), soft_wrap=True)
    assumed = [name for name, q in ask.machine.parameters().items() if q.assumed]
    if assumed:
        console.print(Text(f"Assumed, not measured: {', '.join(assumed)}.", style="dim"), soft_wrap=True)


def _headline(prediction: Prediction) -> str:
    ask = prediction.ask
    size = ask.packet_bytes or ask.machine.costs.packet_bytes
    way = {"rx": "receiving", "tx": "sending", "loop": "sending and receiving"}[ask.direction]
    runs = f"{ask.seeds} simulation{'s' if ask.seeds > 1 else ''} of {ask.seconds:g} s a point"
    return f"{clean(ask.machine.name, 100)}: {way} {size} bytes a packet; {runs}."


def _points_table(prediction: Prediction, what_if: Prediction | None, factors: Sequence[tuple[str, float]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("tunnels", "cores", "module"):
        table.add_column(column, justify="left" if column == "module" else "right")
    for column in ("goodput", "band", "CPU", "CE", "p50", "p99"):
        table.add_column(column, justify="right", no_wrap=True)
    other = {_key(p): p for p in what_if.points} if what_if is not None else {}
    if what_if is not None:
        table.add_column(" ".join(f"{name}×{factor:g}" for name, factor in factors), justify="right")
    table.add_column("limit")
    table.add_column("dominated by")
    for point in prediction.points:
        cells = [str(point.tunnels), str(point.cores), point.architecture.label, *_figures(point)]
        if what_if is not None:
            changed = other.get(_key(point))
            cells.append(f"×{changed.gbit_s / point.gbit_s:.2f}" if changed and point.gbit_s else _NOTHING)
        cells += [f"{point.limit.server} ({units.share(point.limit.utilisation)})", _effect(point.dominant)]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _key(point: Point) -> tuple[Architecture, int, int]:
    return point.architecture, point.cores, point.tunnels


def _figures(point: Point) -> list[str]:
    band = f"{units.digits(point.low_gbit_s)}..{units.digits(point.high_gbit_s)}"
    return [
        units.bits(point.gbit_s * 1000),
        band if point.complete else f"{band} (partial)",
        units.share(point.cpu_share),
        f"{point.busy_ce:.2f}",
        units.duration(point.latency_p50_us * 1e3),
        units.duration(point.latency_p99_us * 1e3),
    ]


def _effect(effect: Effect | None) -> str:
    if effect is None:
        return _NOTHING
    kind = "assumed" if effect.assumed else "measured"
    return f"{effect.parameter}, {kind} ({100 * effect.at_low:+.0f}..{100 * effect.at_high:+.0f} %)"


def fits_of(prediction: Prediction) -> list[tuple[Architecture, int, Fit]]:
    """Amdahl's and Gunther's laws over cores, where there are enough points."""
    found = []
    for architecture in prediction.ask.architectures:
        for tunnels in prediction.ask.tunnels:
            mine = [p for p in prediction.points if (p.architecture, p.tunnels) == (architecture, tunnels)]
            for law in ("amdahl", "usl"):
                try:
                    found.append((architecture, tunnels, fit(law, [p.cores for p in mine], [p.gbit_s for p in mine])))
                except UsageError:
                    continue  # too few numbers of cores
    return found


def fit_lines(prediction: Prediction) -> list[str]:
    """A sentence for each fit."""
    lines = []
    for architecture, tunnels, found in fits_of(prediction):
        values = ", ".join(f"{p.name} {p.value:.3g} ({p.low:.3g}..{p.high:.3g})" for p in found.parameters)
        peak = "" if math.isinf(found.peak) else f"; highest at {found.peak:.0f} cores"
        law = {"amdahl": "Amdahl", "usl": "USL"}[found.law]
        lines.append(
            f"{architecture.label}, {tunnels} tunnels over cores, {law}: {values}{peak};"
            f" off by {units.share(found.residual)}"
        )
    return lines


def as_document(
    prediction: Prediction, what_if: Prediction | None, factors: Sequence[tuple[str, float]]
) -> dict[str, Any]:
    """One JSON-able object; within a version keys are only added."""
    ask = prediction.ask
    return {
        "wgprof_predict": VERSION,
        "machine": ask.machine.name,
        "notes": list(ask.machine.notes),
        "direction": ask.direction,
        "packet_bytes": ask.packet_bytes or ask.machine.costs.packet_bytes,
        "seeds": ask.seeds,
        "seconds": ask.seconds,
        "interrupted": prediction.interrupted,
        "parameters": {
            name: {"value": q.value, "low": q.low, "high": q.high, "assumed": q.assumed, "why": q.why}
            for name, q in ask.machine.parameters().items()
        },
        "points": [_as_object(point) for point in prediction.points],
        "fits": [
            {
                "module": architecture.module,
                "threaded": architecture.threaded,
                "tunnels": tunnels,
                "law": found.law,
                "parameters": {p.name: {"value": p.value, "low": p.low, "high": p.high} for p in found.parameters},
                "residual": found.residual,
                "peak_cores": None if math.isinf(found.peak) else found.peak,
            }
            for architecture, tunnels, found in fits_of(prediction)
        ],
        "what_if": None
        if what_if is None
        else {"factors": dict(factors), "points": [_as_object(point) for point in what_if.points]},
    }


def _as_object(point: Point) -> dict[str, Any]:
    return {
        "module": point.architecture.module,
        "threaded": point.architecture.threaded,
        "cores": point.cores,
        "tunnels": point.tunnels,
        "seeds": point.seeds,
        "complete": point.complete,
        "gbit_s": point.gbit_s,
        "low_gbit_s": point.low_gbit_s,
        "high_gbit_s": point.high_gbit_s,
        "pps": point.pps,
        "busy_ce": point.busy_ce,
        "cpu_share": point.cpu_share,
        "latency_mean_us": point.latency_mean_us,
        "latency_p50_us": point.latency_p50_us,
        "latency_p99_us": point.latency_p99_us,
        "delivering_cpus": point.delivering_cpus,
        "limit": {"server": point.limit.server, "utilisation": point.limit.utilisation},
        "effects": [
            {"parameter": e.parameter, "assumed": e.assumed, "at_low": e.at_low, "at_high": e.at_high}
            for e in point.effects
        ],
    }
