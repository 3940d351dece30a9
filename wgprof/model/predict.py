"""Predictions: a grid of simulations, with bands, and what the bands come from.

A point's value is the mean over seeds.  Its band adds two things in quadrature: the 95 % interval of that mean (no
wider than the seeds' own spread), and, for each parameter with a range, how much a short simulation changes when that
parameter goes to either end of its range.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from wgprof.errors import UsageError
from wgprof.model.costs import ONLY_LOOP, ONLY_RX, ONLY_TX
from wgprof.model.engine.layout import SERVED
from wgprof.model.machine import Machine
from wgprof.model.scenario import Scenario
from wgprof.model.simulate import Limit, Result, simulate

#: What of a run is not measured, because tunnels' NAPIs may still be converging.
WARMUP_SHARE = 0.4
_CONFIDENCE = 0.95
#: Of no importance when nothing is handed over.
_NOT_INLINE = (
    "handoff", "consume", "wake", "switch", "work", "hold", "transfer", "cross", "poll_empty", "softirq", "unlock",
)  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """A module, and whether its NAPI is threaded."""

    module: str
    threaded: bool = False

    @property
    def label(self) -> str:
        """Its name on a screen."""
        return self.module + (" + threaded" if self.threaded else "")


ALL = (Architecture("vanilla"), Architecture("vanilla", True), Architecture("steered"), Architecture("inline"))


@dataclass(frozen=True)
class Ask:
    """What is to be predicted."""

    machine: Machine
    cores: tuple[int, ...]
    tunnels: tuple[int, ...]
    architectures: tuple[Architecture, ...] = ALL
    direction: str = "rx"
    packet_bytes: int = 0  # 0: the machine's
    seeds: int = 5
    seconds: float = 1.0  # simulated, a run, with its warm-up
    effect_seconds: float = 0.1  # of each run that finds out what a parameter does
    bands: bool = True

    def scenario(self, machine: Machine, where: tuple[Architecture, int, int]) -> Scenario:
        """The scenario of a point of the grid."""
        architecture, cores, tunnels = where
        size = self.packet_bytes or machine.costs.packet_bytes
        return machine.scenario(cores, tunnels, architecture.module, architecture.threaded, self.direction, size)

    @property
    def points(self) -> list[tuple[Architecture, int, int]]:
        """All points: architecture, cores, tunnels."""
        return [(a, c, t) for t in self.tunnels for c in self.cores for a in self.architectures]


@dataclass(frozen=True)
class Effect:
    """What a parameter's range does to throughput: relative changes at its low and its high end."""

    parameter: str
    assumed: bool
    at_low: float
    at_high: float

    @property
    def size(self) -> float:
        """The larger of the two, without sign."""
        return max(abs(self.at_low), abs(self.at_high))


@dataclass(frozen=True)
class Point:
    """A prediction for one architecture, number of cores and number of tunnels."""

    architecture: Architecture
    cores: int
    tunnels: int
    seeds: int
    gbit_s: float
    low_gbit_s: float
    high_gbit_s: float
    pps: float
    busy_ce: float
    latency_mean_us: float
    latency_p50_us: float
    latency_p99_us: float
    limit: Limit
    delivering_cpus: float
    wasted_polls: float | None  # share of the peers' polls that delivered nothing
    busy_by_server: Mapping[str, float]  # CE, all peers and CPUs together
    effects: tuple[Effect, ...]  # the largest first
    complete: bool  # all seeds and effects are in it

    @property
    def dominant(self) -> Effect | None:
        """The parameter whose range matters most, if any matters."""
        return self.effects[0] if self.effects and self.effects[0].size >= 0.005 else None

    @property
    def cpu_share(self) -> float:
        """Mean utilisation of the CPUs."""
        return self.busy_ce / self.cores


@dataclass(frozen=True)
class Prediction:
    """What came of an Ask; without some of its points if it was interrupted."""

    ask: Ask
    points: tuple[Point, ...]
    interrupted: bool


@dataclass(frozen=True, eq=False)
class _Job:
    where: tuple[Architecture, int, int]
    machine: Machine
    seed: int
    seconds: float
    parameter: str = ""  # empty: nominal
    high: bool = False


def relevant(ask: Ask, architecture: Architecture) -> list[str]:
    """The parameters with a range that can matter to an architecture."""
    costs = {"rx": ONLY_TX, "tx": ONLY_RX, "loop": ()}[ask.direction]
    if ask.direction == "rx" and ask.machine.far_end == "same":
        costs = ()  # the sender's costs limit each tunnel
    if ask.direction != "loop":
        costs = (*costs, *ONLY_LOOP)
    names = []
    for name, quantity in ask.machine.parameters().items():
        short = name.removeprefix("costs.").removeprefix("bytes.")
        if quantity.low == quantity.high or short in costs:
            continue
        if architecture.module == "inline" and short in _NOT_INLINE:
            continue
        of_size = name == "costs.crypto_fixed" or name.startswith("bytes.")
        if of_size and ask.packet_bytes in (0, ask.machine.costs.packet_bytes):
            continue
        if name == "machine.numa_factor" and ask.machine.nodes == 1:
            continue
        names.append(name)
    return names


def predict(ask: Ask, progress: Callable[[int, int], None] | None = None) -> Prediction:
    """Run the grid on all cores.  An interrupt (Ctrl-C) ends it with what there is.

    Raises UsageError before anything runs if a point makes no sense.
    """
    if ask.seeds < 1 or not 0.01 <= ask.seconds <= 1000:
        raise UsageError(f"{ask.seeds} seeds of {ask.seconds:g} s cannot be simulated", "Try 5 seeds of 1 s.")
    ask.machine.costs.require(ask.direction)
    for where in ask.points:
        ask.scenario(ask.machine, where)
    jobs = _jobs(ask)
    results: dict[_Job, Result] = {}
    stop = threading.Event()
    interrupted = False
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        futures: dict[Future[Result | None], _Job] = {pool.submit(_run, ask, job, stop): job for job in jobs}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                result = future.result()
                if result is not None:
                    results[futures[future]] = result
                if progress is not None:
                    progress(number, len(jobs))
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
            pool.shutdown(cancel_futures=True)
            for future, job in futures.items():
                if not future.cancelled() and (late := future.result()) is not None:
                    results[job] = late
    return Prediction(ask, tuple(_points(ask, jobs, results)), interrupted)


def _jobs(ask: Ask) -> list[_Job]:
    """The first seed everywhere first, so that an interrupt leaves a whole picture; then effects, then more seeds."""
    seeds = range(1, ask.seeds + 1)
    nominal = [[_Job(where, ask.machine, seed, ask.seconds) for where in ask.points] for seed in seeds]
    effects = []
    if ask.bands:
        short = min(ask.effect_seconds, ask.seconds)
        for where in ask.points:
            effects.append(_Job(where, ask.machine, 1, short, "nominal"))
            for name in relevant(ask, where[0]):
                quantity = ask.machine.parameters()[name]
                for value in {quantity.low, quantity.high} - {quantity.value}:
                    other = ask.machine.at(name, value)
                    effects.append(_Job(where, other, 1, short, name, value == quantity.high))
    return [*nominal[0], *effects, *[job for row in nominal[1:] for job in row]]


def _run(ask: Ask, job: _Job, stop: threading.Event) -> Result | None:
    if stop.is_set():
        return None
    warmup = job.seconds * WARMUP_SHARE
    scenario = ask.scenario(job.machine, job.where)
    return simulate(scenario, job.machine.costs, job.seed, job.seconds - warmup, warmup, stop=stop)


def _points(ask: Ask, jobs: Sequence[_Job], results: dict[_Job, Result]) -> list[Point]:
    points = []
    for where in ask.points:
        mine = [job for job in jobs if job.where == where]
        done = {job: results[job] for job in mine if job in results}
        runs = [result for job, result in done.items() if not job.parameter]
        if runs:
            points.append(_point(where, runs, _effects(ask, done), len(done) == len(mine)))
    return points


def _effects(ask: Ask, done: dict[_Job, Result]) -> tuple[Effect, ...]:
    nominal = [result.pps for job, result in done.items() if job.parameter == "nominal"]
    if not nominal or nominal[0] <= 0:
        return ()
    changes: dict[str, dict[bool, float]] = {}
    for job, result in done.items():
        if job.parameter and job.parameter != "nominal":
            changes.setdefault(job.parameter, {})[job.high] = result.pps / nominal[0] - 1
    parameters = ask.machine.parameters()
    effects = [
        Effect(name, parameters[name].assumed, ends.get(False, 0.0), ends.get(True, 0.0))
        for name, ends in changes.items()
    ]
    return tuple(sorted(effects, key=lambda effect: effect.size, reverse=True))


def _point(
    where: tuple[Architecture, int, int], runs: Sequence[Result], effects: tuple[Effect, ...], complete: bool
) -> Point:
    values = np.array([run.gbit_s for run in runs])
    mean = float(values.mean())
    half = 0.0
    if values.size > 1:
        t = stats.t.ppf((1 + _CONFIDENCE) / 2, values.size - 1)
        half = min(float(t * values.std(ddof=1) / math.sqrt(values.size)), float(np.ptp(values)))
    down = math.sqrt(sum(min(e.at_low, e.at_high, 0.0) ** 2 for e in effects)) * mean
    up = math.sqrt(sum(max(e.at_low, e.at_high, 0.0) ** 2 for e in effects)) * mean
    wasted = [run.wasted_polls for run in runs if run.wasted_polls is not None]
    served = [name for name in SERVED if any(name in run.busy_by_server for run in runs)]
    names = [run.limit.server for run in runs]
    server = max(sorted(set(names)), key=names.count)

    def average(attribute: str) -> float:
        return float(np.mean([getattr(run, attribute) for run in runs]))

    return Point(
        where[0],
        where[1],
        where[2],
        len(runs),
        mean,
        max(mean - math.hypot(half, down), 0.0),
        mean + math.hypot(half, up),
        average("pps"),
        average("busy_ce"),
        average("latency_mean_us"),
        average("latency_p50_us"),
        average("latency_p99_us"),
        Limit(server, float(np.mean([run.limit.utilisation for run in runs if run.limit.server == server]))),
        average("delivering_cpus"),
        float(np.mean(wasted)) if wasted else None,
        {name: float(np.mean([run.busy_by_server.get(name, 0.0) for run in runs])) for name in served},
        effects,
        complete,
    )


def changed(machine: Machine, factors: Sequence[tuple[str, float]]) -> Machine:
    """The machine with costs multiplied: a what-if."""
    costs = machine.costs
    for name, factor in factors:
        costs = costs.scaled(name, factor)
    return replace(machine, costs=costs)
