"""The JSON of a TICK, checked; and the tables made of it: intervals, cpus, interfaces and the outer path's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wgprof.recording.cells import Cells, parse_cells
from wgprof.recording.outer import OuterTables, OuterTick, parse_outer
from wgprof.recording.schema import BY_NAME, MAX_CPUS, MAX_OBJECTS
from wgprof.recording.sink import Names, Sink
from wgprof.recording.untrusted import (
    MAX_JSON,
    Damage,
    integer,
    integers,
    items,
    mapping,
    parse_object,
    text,
)

_JIFFIES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_CPU_COLUMNS = {  # column -> what it sums up
    "user_ns": ("user", "nice"),
    "system_ns": ("system",),
    "softirq_ns": ("softirq",),
    "irq_ns": ("irq",),
    "idle_ns": ("idle", "iowait"),
    "steal_ns": ("steal",),
}
_SOFTIRQS = {"net_rx": "NET_RX", "net_tx": "NET_TX"}
_PROBE_COLUMNS = {"probe_net_rx_ns": "net_rx_ns", "probe_net_tx_ns": "net_tx_ns", "probe_other_ns": "other_ns"}
_INTERFACE_COUNTERS = tuple(c.name for c in BY_NAME["interfaces"].columns[4:])


@dataclass(frozen=True)
class Object:
    """A row of the table `objects`."""

    object: int
    kind: str
    device: int
    name: str = ""
    ifindex: int = 0
    netns: int = 0
    netns_name: str = ""
    public_key: str = ""
    endpoint: str = ""
    internal_id: int = -1
    threaded: int = -1
    first_seen_ns: int = 0


@dataclass(frozen=True)
class Tick:
    """A TICK, checked.  Everything is cumulative."""

    t_ns: int
    late_ns: int
    sample_every: int
    agent_cpu_ns: int
    agent_rss_bytes: int
    cpus: dict[int, dict[str, int]]  # CPU -> jiffies by name
    softirqs: dict[str, list[int]]
    interfaces: dict[tuple[int, str], list[int]]
    objects: list[Object]
    losses: dict[str, int]
    outer: OuterTick
    cells: Cells


def parse_tick(payload: bytes) -> Tick:
    """A TICK payload.  Raises Damage."""
    length = int.from_bytes(payload[:4], "little")
    if len(payload) < 4 or length > min(len(payload) - 4, MAX_JSON):
        raise Damage("a tick ends inside its JSON")
    value = parse_object(payload[4 : 4 + length], "a tick")
    agent = mapping(value.get("agent", {}), "a tick's agent")
    losses = mapping(value.get("losses", {}), "a tick's losses")
    return Tick(
        t_ns=integer(value.get("t_ns"), "a tick's t_ns", low=1),
        late_ns=max(integer(value.get("late_ns", 0), "a tick's late_ns", low=-(1 << 62)), 0),
        sample_every=integer(value.get("sample_every", 0), "a tick's sample_every", high=(1 << 31) - 1),
        agent_cpu_ns=integer(agent.get("cpu_ns", 0), "the agent's cpu_ns"),
        agent_rss_bytes=integer(agent.get("rss_bytes", 0), "the agent's rss_bytes"),
        cpus=_cpus(mapping(value.get("cpu", {}), "a tick's cpu")),
        softirqs={
            text(name, "a softirq"): integers(counts, "a softirq's counts")
            for name, counts in mapping(value.get("softirqs", {}), "a tick's softirqs").items()
        },
        interfaces=dict(_interface(row) for row in items(value.get("interfaces", []), "a tick's interfaces")),
        objects=[_object(mapping(o, "an object")) for o in items(value.get("objects", []), "a tick's objects")],
        losses={text(name, "a loss"): integer(count, "a loss") for name, count in losses.items()},
        outer=parse_outer(value),
        cells=parse_cells(payload[4 + length :]),
    )


def _cpus(value: Mapping[str, Any]) -> dict[int, dict[str, int]]:
    cpus = {}
    for name, jiffies in value.items():
        if not name.isdecimal() or not name.isascii() or len(name) > 4 or int(name) >= MAX_CPUS:
            raise Damage("a tick has times of a CPU that cannot be")
        cpus[int(name)] = dict(zip(_JIFFIES, integers(jiffies, "a CPU's times", len(_JIFFIES)), strict=True))
    return cpus


def _interface(value: object) -> tuple[tuple[int, str], list[int]]:
    row = items(value, "an interface", 10)
    if len(row) != 10:
        raise Damage("a tick's interface has not ten values")
    key = (integer(row[0], "a network namespace"), text(row[1], "an interface's name"))
    return key, integers(row[2:], "an interface's counters")


def _object(value: Mapping[str, Any]) -> Object:
    """An object as the agent announced it; what the agent did not know is null or missing."""

    def number(name: str, unknown: int, high: int, low: int = 0) -> int:
        found = value.get(name)
        return unknown if found is None else integer(int(found) if found is True or found is False else found,
                                                     f"an object's {name}", low, high)  # fmt: skip

    def words(name: str) -> str:
        return text(value.get(name) or "", f"an object's {name}")

    slot = integer(value.get("slot"), "an object's slot", 1, MAX_OBJECTS - 1)
    kind = words("kind")
    if kind not in ("device", "peer"):
        raise Damage("an object that is neither a device nor a peer")
    return Object(
        object=slot,
        kind=kind,
        device=number("device_slot", slot if kind == "device" else 0, MAX_OBJECTS - 1),
        name=words("name"),
        ifindex=number("ifindex", 0, (1 << 31) - 1),
        netns=number("netns", 0, 1 << 62),
        netns_name=words("netns_name"),
        public_key=words("public_key"),
        endpoint=words("endpoint"),
        internal_id=number("internal_id", -1, (1 << 63) - 1, low=-1),
        threaded=number("threaded", -1, 1, low=-1),
        first_seen_ns=number("first_seen_ns", 0, (1 << 63) - 1),
    )


class TickTables:
    """Feeds the tables made of the ticks' JSON; `went_back` counts counters that did, by where."""

    def __init__(self, spill: Path | None, user_hz: int) -> None:
        self._interface_names = Names()
        self.sinks = {
            "intervals": Sink(BY_NAME["intervals"], {}, spill),
            "cpus": Sink(BY_NAME["cpus"], {}, spill),
            "interfaces": Sink(BY_NAME["interfaces"], {"name": self._interface_names}, spill),
        }
        self.went_back: dict[str, int] = {}
        self._outer = OuterTables(spill, self.went_back)
        self.sinks |= self._outer.sinks
        self._jiffy_ns = 1_000_000_000 // user_hz
        self._agent_cpu_ns = 0
        self._cpus: dict[int, dict[str, int]] = {}
        self._softirqs: dict[tuple[str, int], int] = {}
        self._interfaces: dict[tuple[int, str], list[int]] = {}

    def baseline(self, tick: Tick) -> None:
        self._agent_cpu_ns = tick.agent_cpu_ns
        self._cpus = tick.cpus
        self._softirqs = {(name, cpu): n for name, counts in tick.softirqs.items() for cpu, n in enumerate(counts)}
        self._interfaces = tick.interfaces
        self._outer.baseline(tick.outer, tick.t_ns)

    def interval(self, tick: Tick, t_ns: int, dt_ns: int, probed: Mapping[int, Mapping[str, int]]) -> None:
        """Add the rows of the interval that `tick` closes; `probed` is what the softirq cells gained, by CPU."""
        when = {"t_ns": t_ns, "dt_ns": dt_ns}
        self.sinks["intervals"].add(
            1,
            **when,
            sample_every=tick.sample_every,
            agent_cpu_ns=max(tick.agent_cpu_ns - self._agent_cpu_ns, 0),
            agent_rss_bytes=tick.agent_rss_bytes,
            tick_late_ns=tick.late_ns,
        )
        self._agent_cpu_ns = max(tick.agent_cpu_ns, self._agent_cpu_ns)
        for cpu, jiffies in tick.cpus.items():
            self._cpu(cpu, jiffies, tick, when, probed.get(cpu, {}))
        for key, counters in tick.interfaces.items():
            self._interface(key, counters, when)
        self._outer.interval(tick.outer, t_ns, dt_ns)

    def _cpu(
        self, cpu: int, jiffies: dict[str, int], tick: Tick, when: Mapping[str, int], probed: Mapping[str, int]
    ) -> None:
        softirqs = {column: self._softirq(tick, name, cpu) for column, name in _SOFTIRQS.items()}
        before = self._cpus.get(cpu)
        if before is None:  # it came online: its beginning
            self._cpus[cpu] = jiffies
            return
        # The kernel's idle and iowait may step back a little (it says so in proc(5)); waiting until they
        # are past their maximum keeps the sums right.
        self._cpus[cpu] = {name: max(jiffies[name], before[name]) for name in _JIFFIES}
        gained = {name: (self._cpus[cpu][name] - before[name]) * self._jiffy_ns for name in _JIFFIES}
        times = {column: sum(gained[name] for name in names) for column, names in _CPU_COLUMNS.items()}
        probes = {column: probed.get(name, 0) for column, name in _PROBE_COLUMNS.items()}
        self.sinks["cpus"].add(1, **when, cpu=cpu, **_small(times), **softirqs, **probes)

    def _softirq(self, tick: Tick, name: str, cpu: int) -> int:
        counts = tick.softirqs.get(name, [])
        if cpu >= len(counts):
            return 0
        before = self._softirqs.get((name, cpu), counts[cpu])
        self._softirqs[name, cpu] = counts[cpu]
        return max(counts[cpu] - before, 0)

    def _interface(self, key: tuple[int, str], counters: list[int], when: Mapping[str, int]) -> None:
        before = self._interfaces.get(key)
        self._interfaces[key] = counters
        if before is None:  # it is new: what it counted before is not ours
            return
        gained = [new - old for new, old in zip(counters, before, strict=True)]
        if min(gained) < 0:  # it was deleted and made again under its name
            self.went_back[f"interface {key[1]}"] = self.went_back.get(f"interface {key[1]}", 0) + 1
            return
        columns = dict(zip(_INTERFACE_COUNTERS, gained, strict=True))
        self.sinks["interfaces"].add(1, **when, netns=key[0], name=self._interface_names.number(key[1]), **columns)


def _small(times: Mapping[str, int]) -> dict[str, int]:
    """Times that fit a column, however hostile the counts."""
    return {name: min(value, int(np.iinfo(np.int64).max)) for name, value in times.items()}
