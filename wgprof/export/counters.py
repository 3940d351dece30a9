"""Values over time for a trace: queue depths, what CPUs were busy with, goodput by peer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wgprof.analysis.cores import Bins, core_series
from wgprof.analysis.depth import depth_series
from wgprof.analysis.names import Names
from wgprof.analysis.selection import Part
from wgprof.analysis.summary import DIRECTION_NAMES
from wgprof.analysis.tables import DIRECTIONS, STAGES, FloatArray, ints, only
from wgprof.export.events import Event, Tracks

#: What is busy and was not measured by the probes.
NOT_WIREGUARD = "not WireGuard"


def bins_of(part: Part, most_values: int) -> Bins:
    """Intervals, put together where all counters would have more than about `most_values` values."""
    cpus = int(part.table("cpus")["cpu"].nunique())
    peers = len(part.table("objects"))
    queues = len(part.table("depths").groupby(["queue", "object"], observed=True).size())
    return Bins.of(part.table("intervals"), max(most_values // max(9 * cpus + queues + 2 * peers, 1), 1), part.began_ns)


def counter_events(part: Part, bins: Bins, names: Names, tracks: Tracks) -> Iterator[Event]:
    """All counters, each at the start of a bin for the whole of it, and 0 at the end."""
    if not bins.start_s.size:
        return
    starts_ns = bins.first_ns - part.began_ns
    end_ns = int(starts_ns[-1]) + round(float(bins.width_s[-1]) * 1e9)
    yield from _goodput(part, bins, names, tracks, end_ns)
    yield from _cpus(part, bins, tracks, end_ns)
    yield from _queues(part, bins, names, tracks, end_ns)


def _goodput(part: Part, bins: Bins, names: Names, tracks: Tracks, end_ns: int) -> Iterator[Event]:
    stages = part.table("stages")
    last = stages[stages["stage"].isin([STAGES[direction][2] for direction in DIRECTIONS])]
    process = tracks.process("Goodput, Mbit/s")
    for peer in sorted(set(ints(last, "object").tolist())):
        mine = only(last, object=peer)
        values = {}
        for direction in DIRECTIONS:
            rows = only(mine, stage=STAGES[direction][2])
            at = bins.find(ints(rows, "t_ns"))
            octets = np.bincount(at[at >= 0], weights=ints(rows, "bytes")[at >= 0], minlength=bins.start_s.size)
            values[DIRECTION_NAMES[direction]] = octets * 8 / 1e6 / np.maximum(bins.width_s, 1e-9)
        yield from _counter(process, names.label(peer), bins, values, part.began_ns, end_ns)


def _cpus(part: Part, bins: Bins, tracks: Tracks, end_ns: int) -> Iterator[Event]:
    cpus, stages, executions, intervals = (part.table(name) for name in ("cpus", "stages", "executions", "intervals"))
    series = core_series(cpus, stages, executions, intervals, bins.start_s.size, part.began_ns)
    process = tracks.process("CPU time, %")
    for place, cpu in enumerate(series.cpus):
        values = {name: shares[place] * 100 for name, shares in series.measured.items()}
        # The kernel accounts in ticks: in a short bin it may have counted less than was measured.
        values[NOT_WIREGUARD] = np.maximum(series.busy[place] * 100 - sum(values.values()), 0.0)
        yield from _counter(process, f"CPU {cpu}", bins, values, part.began_ns, end_ns)


def _queues(part: Part, bins: Bins, names: Names, tracks: Tracks, end_ns: int) -> Iterator[Event]:
    depths, arrivals, intervals = (part.table(name) for name in ("depths", "arrivals", "intervals"))
    process = tracks.process("Queue depths")
    for row in depth_series(depths, arrivals, intervals, bins.start_s.size, part.began_ns):
        name = f"{row.queue} of {names.label(row.object)}"
        yield from _counter(process, name, bins, {"mean": row.mean}, part.began_ns, end_ns)


def _counter(
    process: int, name: str, bins: Bins, values: dict[str, FloatArray], began_ns: int, end_ns: int
) -> Iterator[Event]:
    """Where a value is not known it stays what it was."""
    for place, first_ns in enumerate(bins.first_ns.tolist()):
        known = {key: round(float(series[place]), 3) for key, series in values.items() if np.isfinite(series[place])}
        if known:
            yield Event.counter(process, name, first_ns - began_ns, known)
    yield Event.counter(process, name, end_ns, dict.fromkeys(values, 0.0))
