"""Utilisation, demand and cap of everything that can be busy.

Operational laws (Denning and Buzen 1978): utilisation U = X D, so a server that cannot be
multiplied caps throughput at X / U = 1 / D, where D is the CPU time a packet needs there.  A peer's
serial server serves nobody while a softirq runs on top of it, so that time is part of what caps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.batches import NEAR_BUDGET
from wgprof.analysis.cores import Core
from wgprof.analysis.names import Names
from wgprof.analysis.tables import DIRECTIONS, STAGES, by_object, only, total, within
from wgprof.analysis.window import Window

#: direction -> the server that serves one peer's packets one at a time, and the stage inside it.
_SERIAL = {"tx": ("tx.work", "tx.send"), "rx": ("rx.napi", "rx.deliver")}
#: direction -> the worker that runs on any CPU, and the stage inside it.
_PARALLEL = {"tx": ("encrypt.work", "tx.encrypt"), "rx": ("decrypt.work", "rx.decrypt")}
#: direction -> the whole way of a packet in the inline variant, and its name for people.
_INLINE = {"tx": ("tx.inline", "inline transmit"), "rx": ("rx.inline", "inline receive")}
#: A CPU with less than this share of a peer's work is not one that serves it.
_LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Server:
    """One server in the window."""

    kind: str  # tx.work, rx.napi, encrypt.work, decrypt.work, tx.inline, rx.inline, or cpu
    direction: str  # tx, rx, or both
    label: str
    object: int | None  # the peer of a serial server
    cpu: int | None  # of a worker or a CPU; None for a worker on all CPUs together
    serial: bool  # one at a time: more CPUs do not help
    capacity: int  # CPUs it can use at once
    packets: int
    executions: int
    empty: int  # executions that moved nothing
    busy_ce: float
    utilisation: float  # busy_ce / capacity
    demand_ns: float | None  # CPU time per packet
    cap_pps: float | None  # throughput at which it would be busy all the time
    cap_mbit_s: float | None
    occupied_ce: float = 0.0  # busy_ce; of a peer's serial server also what ran on top of it

    @property
    def occupancy(self) -> float:
        """occupied_ce / capacity: at 1 the server is at its cap."""
        return self.occupied_ce / self.capacity

    @property
    def cap_is_least(self) -> bool:
        """Whether the cap is a lower bound: a NAPI at its limit has full polls, in which a packet costs less."""
        productive = self.executions - self.empty
        return self.kind == _SERIAL["rx"][0] and 0 < self.packets < NEAR_BUDGET * productive

    @property
    def caps(self) -> str:
        """What it caps, for a sentence."""
        words = "caps its peer" if self.object is not None else "caps"
        return f"{words} at no less than" if self.cap_is_least else f"{words} at"


def server_rows(
    stages: pd.DataFrame,
    executions: pd.DataFrame,
    cores: Sequence[Core],
    names: Names,
    window: Window,
    *,
    inline: bool = False,
) -> list[Server]:
    """By direction: every peer's serial server, the workers together, the workers by CPU; then the CPUs.

    With the inline variant: every peer's way and all of them together; then the CPUs.  A device of it that was
    queued for a while counts as inline all the time.
    """
    stages, executions = within(stages, window), within(executions, window)
    rows: list[Server] = []
    if inline:
        rows = [row for d in DIRECTIONS for row in _inline(d, stages, executions, cores, names, window)]
    for direction in () if inline else DIRECTIONS:
        server, stage = _SERIAL[direction]
        runs, steps = only(executions, server=server), only(stages, stage=stage)
        runs_of, steps_of = by_object(runs), by_object(steps)
        for number in sorted({*runs_of, *steps_of}):
            of_peer = runs_of.get(number, runs.iloc[:0]), steps_of.get(number, steps.iloc[:0])
            label = f"{server} of {names.label(number)}"
            rows.append(
                _server(server, direction, label, *of_peer, window=window, number=number, serial=True, on_top=True)
            )
        server, stage = _PARALLEL[direction]
        runs, steps = only(executions, server=server), only(stages, stage=stage)
        capacity = max(len(cores), 1)
        rows.append(_server(server, direction, f"{server} on all CPUs", runs, steps, window=window, capacity=capacity))
        for core in cores:
            on_cpu = only(runs, cpu=core.cpu), only(steps, cpu=core.cpu)
            rows.append(_server(server, direction, f"{server} on CPU {core.cpu}", *on_cpu, window=window, cpu=core.cpu))
    rows.extend(_cpu(core) for core in cores)
    return [row for row in rows if row.busy_ce > 0 or row.packets]


def _inline(
    direction: str,
    stages: pd.DataFrame,
    executions: pd.DataFrame,
    cores: Sequence[Core],
    names: Names,
    window: Window,
) -> list[Server]:
    """A packet's whole way is one server: it takes as many CPUs as the peer's flows happen to be spread over."""
    kind, words = _INLINE[direction]
    last = STAGES[direction][2]
    steps = stages[stages["stage"].isin(STAGES[direction])]
    ran = [server for server, _ in (_SERIAL[direction], _PARALLEL[direction])]
    runs = executions[executions["server"].isin(ran)]
    runs_of = by_object(runs)
    rows = []
    for number, of_peer in by_object(steps).items():
        own = runs_of.get(number, runs.iloc[:0])
        cpus = _cpus_of(of_peer)
        label = f"{words} of {names.label(number)}" + (f" on CPU {cpus[0]}" if len(cpus) == 1 else "")
        one = len(cpus) == 1
        rows.append(
            _server(
                kind,
                direction,
                label,
                own,
                of_peer,
                window=window,
                number=number,
                serial=one,
                capacity=max(len(cpus), 1),
                last=last,
            )
        )
    capacity = max(len(cores), 1)
    everything = _server(
        kind, direction, f"{words} on all CPUs", runs, steps, window=window, capacity=capacity, last=last
    )
    return [*rows, everything]


def _cpus_of(steps: pd.DataFrame) -> list[int]:
    """The CPUs that did a peer's work."""
    spent = steps.groupby("cpu")["service_ns"].sum()
    return [int(str(cpu)) for cpu in spent.index[spent >= _LEAST_SHARE * spent.sum()]]


def _server(
    kind: str,
    direction: str,
    label: str,
    runs: pd.DataFrame,
    steps: pd.DataFrame,
    *,
    window: Window,
    number: int | None = None,
    cpu: int | None = None,
    serial: bool = False,
    capacity: int = 1,
    last: str = "",
    on_top: bool = False,
) -> Server:
    """`last`: of several stages in `steps` the one whose packets count.  `on_top`: what ran on top of it counts."""
    busy_ns = total(runs, "busy_ns") + total(steps, "service_ns")
    occupied_ns = busy_ns + (total(steps, "nested_ns") if on_top else 0)
    passed = only(steps, stage=last) if last else steps
    packets = total(passed, "packets")
    demand_ns = busy_ns / packets if packets else None
    # A worker bound to one CPU caps nothing: its packets could go to another CPU.
    caps = demand_ns is not None and demand_ns > 0 and cpu is None
    cap_pps = capacity * 1e9 * packets / occupied_ns if caps else None
    mean_bytes = total(passed, "bytes") / packets if packets else 0.0
    busy_ce = busy_ns / 1e9 / window.duration_s
    return Server(
        kind,
        direction,
        label,
        number,
        cpu,
        serial,
        capacity,
        packets,
        total(runs, "executions"),
        total(runs, "empty"),
        busy_ce,
        busy_ce / capacity,
        demand_ns,
        cap_pps,
        None if cap_pps is None else cap_pps * mean_bytes * 8 / 1e6,
        occupied_ns / 1e9 / window.duration_s,
    )


def _cpu(core: Core) -> Server:
    return Server(
        "cpu",
        "both",
        f"CPU {core.cpu}",
        None,
        core.cpu,
        True,
        1,
        0,
        0,
        0,
        core.busy,
        core.busy,
        None,
        None,
        None,
        core.busy,
    )


def busiest(servers: Sequence[Server], direction: str) -> Server | None:
    """The server of a direction that is nearest to its cap."""
    able = [s for s in servers if s.direction == direction and s.cap_pps is not None]
    return max(able, key=lambda s: s.occupancy, default=None)
