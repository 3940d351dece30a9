"""Operational laws: what every server needs for a packet, where it caps throughput, and how far that is.

Utilisation law (Denning and Buzen, The Operational Analysis of Queueing Network Models, 1978): U = X D.
A server that can use c CPUs at once is the limit at X = c / D.  Asymptotic bound (the same, section 7; Lazowska et
al., Quantitative System Performance, 1984, ch. 5): X is at most the least of these over all servers a packet visits,
and over all CPUs together, c = their number and D = all CPU time there is for a packet.  Amdahl (1967): what must be
done one packet at a time for a peer bounds what more cores can give that peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from wgprof.analysis.batches import BUDGET, PollCost
from wgprof.analysis.cores import BUSY_COLUMNS, Core
from wgprof.analysis.estimate import Estimate, ratio, share
from wgprof.analysis.names import Names
from wgprof.analysis.servers import Server
from wgprof.analysis.spans import Spans
from wgprof.analysis.tables import DIRECTIONS, STAGES, FloatArray, only

SOFTIRQ, CPUS = "rx.softirq", "cpus"
#: A peer's outer flow belongs to a CPU when so much of it is received there.
FLOW_SHARE = 0.9


@dataclass(frozen=True)
class Law:
    """The operational laws of one server over the spans of a window."""

    kind: str  # of servers.Server, or rx.softirq (one CPU), or cpus (all of them)
    direction: str
    label: str
    object: int | None
    cpu: int | None
    capacity: int  # CPUs it can use at once
    packets: int
    busy_ce: Estimate
    demand_ns: Estimate  # CPU time a packet, its own
    cap_pps: Estimate | None  # throughput at which it is busy all the time
    occupied_ce: Estimate  # busy_ce, and the time that something else ran on top of it
    full_cap_pps: Estimate | None = None  # of a NAPI: the cap if its polls were full, where its polls say so

    @property
    def utilisation(self) -> Estimate:
        """busy_ce / capacity."""
        return self.busy_ce.scaled(1 / self.capacity)

    @property
    def occupancy(self) -> Estimate:
        """occupied_ce / capacity: at 1 it is at its cap, which utilisation may never be.

        A server that does one packet at a time serves none while a softirq runs on top of it.
        """
        return self.occupied_ce.scaled(1 / self.capacity)

    @property
    def headroom(self) -> float | None:
        """How many times today's throughput it could carry: cap / X = 1 / U."""
        used = self.occupancy.value
        return 1 / used if used > 0 else None


@dataclass(frozen=True)
class Scaling:
    """Of one peer's direction on one machine: how far more cores can take it."""

    direction: str
    object: int
    serial_ns: float  # CPU time a packet, at its dearest one-at-a-time server
    parallel_ns: float  # and in what any CPU can do
    cap_pps: float  # with any number of cores: 1 / serial
    useful_cores: float  # (serial + parallel) / serial: more cores than this give nothing, as stages overlap


@dataclass(frozen=True)
class Laws:
    """All servers' laws, and how peers scale."""

    rows: tuple[Law, ...] = ()
    scaling: tuple[Scaling, ...] = ()
    received_on: Mapping[int, int] = field(default_factory=dict)  # peer whose outer flow arrives on one CPU: that CPU

    def of(self, kind: str, direction: str | None = None) -> list[Law]:
        """The rows of a kind."""
        return [law for law in self.rows if law.kind == kind and direction in (None, law.direction)]

    def on_the_way(self, direction: str, number: int | None = None) -> list[Law]:
        """What a peer's packets visit in a direction (`number` None: those of any peer), all CPUs included."""
        return [law for law in self.rows if law.direction == direction and law.cap_pps and self._visited(law, number)]

    def _visited(self, law: Law, number: int | None) -> bool:
        if number is None:
            return True
        elsewhere = law.kind == SOFTIRQ and self.received_on.get(number) != law.cpu
        return law.object in (None, number) and not elsewhere

    def next_limit(self, direction: str, without: Sequence[str], number: int | None = None) -> Law | None:
        """The busiest server of a way without the kinds in `without`: the asymptotic bound after a change."""
        rest = [law for law in self.on_the_way(direction, number) if law.kind not in without]
        return max(rest, key=lambda law: law.occupancy.value, default=None)


def laws_of(
    stages: pd.DataFrame,
    executions: pd.DataFrame,
    cpus: pd.DataFrame,
    servers: Sequence[Server],
    cores: Sequence[Core],
    names: Names,
    spans: Spans,
    polls: Mapping[int, PollCost],
) -> Laws:
    """The laws of the servers of an analysis, in its order, then receive softirqs, then the CPUs by direction."""
    maker = _Maker(stages, executions, spans, polls)
    rows = [law for server in servers if server.cpu is None for law in maker.server(server)]
    rows += maker.softirqs(cpus)
    rows += maker.all_cpus(cpus, len(cores))
    received_on = maker.received_on()
    return Laws(tuple(rows), tuple(_scaling(rows, received_on, names)), received_on)


class _Maker:
    def __init__(
        self, stages: pd.DataFrame, executions: pd.DataFrame, spans: Spans, polls: Mapping[int, PollCost]
    ) -> None:
        self._polls = polls
        self._stages = {str(name): rows for name, rows in stages.groupby("stage", observed=True)}
        self._executions = {str(name): rows for name, rows in executions.groupby("server", observed=True)}
        self._spans = spans
        self._nothing = stages.iloc[:0], executions.iloc[:0]
        self._cache: dict[tuple[str, str, str], dict[int, FloatArray]] = {}

    def server(self, server: Server) -> Iterable[Law]:
        """One server of the analysis; none of those that ran nothing while bytes moved."""
        first, crypt, last = STAGES[server.direction]
        serial, parallel = _PARTS[server.direction]
        parts = {
            serial: ((last,), (serial,), last),
            parallel: ((crypt,), (parallel,), crypt),
        }.get(server.kind, ((first, crypt, last), (serial, parallel), last))
        of_stages, of_servers, counted = parts
        busy = sum(
            (self._sum("stage", stage, "service_ns", server.object) for stage in of_stages),
            start=np.zeros(len(self._spans)),
        ) + sum(self._sum("server", name, "busy_ns", server.object) for name in of_servers)
        packets = self._sum("stage", counted, "packets", server.object)
        nested = self._sum("stage", counted, "nested_ns", server.object) if server.kind == serial else None
        law = self._law(
            *(server.kind, server.direction, server.label, server.object, server.capacity),
            busy=busy,
            packets=packets,
            nested=nested,
        )
        if law is not None and server.cap_is_least:
            law = replace(law, full_cap_pps=self._full_cap(server))
        return [law] if law else []

    def _full_cap(self, server: Server) -> Estimate | None:
        """Of a NAPI, what it would deliver if every poll took its budget."""
        cost = self._polls.get(-1 if server.object is None else server.object)
        if cost is None:
            return None
        own, empty, runs, in_vain = (
            float(self._sum("server", server.kind, column, server.object).sum())
            for column in ("busy_ns", "empty_ns", "executions", "empty")
        )
        set_up_ns = (own - empty) / max(runs - in_vain, 1)
        on_top_ns = float(self._sum("stage", STAGES["rx"][2], "nested_ns", server.object).sum()) / server.packets
        return cost.packet_ns(BUDGET, set_up_ns / BUDGET + on_top_ns).inverse(1e9)

    def softirqs(self, cpus: pd.DataFrame) -> list[Law]:
        """Each CPU's receive softirq: everything from the driver to the hand-off, of the flows that arrive there."""
        receive = self._stages.get(STAGES["rx"][0], self._nothing[0])
        outside = self._spans.by(cpus, "cpu", "probe_net_rx_ns")
        service, packets = (self._spans.by(receive, "cpu", column) for column in ("service_ns", "packets"))
        rows = []
        for cpu, passed in packets.items():
            busy = service[cpu] + outside.get(cpu, 0.0)
            law = self._law(SOFTIRQ, "rx", f"receive softirq of CPU {cpu}", None, 1, busy=busy, packets=passed, cpu=cpu)
            if law:
                rows.append(law)
        return rows

    def all_cpus(self, cpus: pd.DataFrame, number: int) -> list[Law]:
        """All CPUs together, for the packets of each direction: whatever they do besides counts as well."""
        busy = self._spans.total(cpus, *BUSY_COLUMNS)
        rows = []
        for direction in DIRECTIONS if number else ():
            packets = self._sum("stage", STAGES[direction][2], "packets", None)
            law = self._law(CPUS, direction, f"all {number} CPUs", None, number, busy=busy, packets=packets)
            if law:
                rows.append(law)
        return rows

    def received_on(self) -> dict[int, int]:
        """Of each peer whose outer flow arrives on one CPU, that CPU."""
        receive = self._stages.get(STAGES["rx"][0], self._nothing[0])
        found = {}
        for peer, rows in receive.groupby("object", observed=True):
            by_cpu = rows.groupby("cpu")["packets"].sum()
            if by_cpu.sum() and by_cpu.max() >= FLOW_SHARE * by_cpu.sum():
                found[int(str(peer))] = int(str(by_cpu.idxmax()))
        return found

    def _sum(self, column: str, name: str, value: str, number: int | None) -> FloatArray:
        """One value a span: of a stage or server, over all objects or of one."""
        key = column, name, value
        if key not in self._cache:
            frames, nothing = (
                (self._stages, self._nothing[0]) if column == "stage" else (self._executions, self._nothing[1])
            )
            self._cache[key] = self._spans.by(frames.get(name, nothing), "object", value)
        found = self._cache[key]
        if number is not None:
            return found.get(number, np.zeros(len(self._spans)))
        return np.sum(list(found.values()), axis=0) if found else np.zeros(len(self._spans))

    def _law(
        self,
        kind: str,
        direction: str,
        label: str,
        number: int | None,
        capacity: int,
        *,
        busy: FloatArray,
        packets: FloatArray,
        nested: FloatArray | None = None,
        cpu: int | None = None,
    ) -> Law | None:
        time_ns = self._spans.seconds * 1e9
        used, demand = share(busy, time_ns, capacity), ratio(busy, packets)
        occupied = used if nested is None else share(busy + nested, time_ns, capacity)
        if used is None or demand is None or occupied is None:
            return None
        per_packet = demand if nested is None else ratio(busy + nested, packets)
        cap = per_packet.inverse(capacity * 1e9) if per_packet is not None else None
        return Law(kind, direction, label, number, cpu, capacity, int(packets.sum()), used, demand, cap, occupied)


#: direction -> the one-at-a-time server of a peer, and the worker that runs anywhere.
_PARTS = {"tx": ("tx.work", "encrypt.work"), "rx": ("rx.napi", "decrypt.work")}


def _scaling(rows: Sequence[Law], received_on: dict[int, int], names: Names) -> list[Scaling]:
    """Of every peer that has a serial server; the receive softirq counts where its flow arrives on one CPU.

    What runs on top of these servers is left out: on a machine with more cores it may run elsewhere.
    """
    found = []
    pools = {law.direction: law for law in rows if law.kind in ("encrypt.work", "decrypt.work")}
    softirqs = {law.cpu: law for law in rows if law.kind == SOFTIRQ}
    for law in rows:
        if law.object is None or law.object not in names.things or law.kind not in ("tx.work", "rx.napi"):
            continue
        pool = pools.get(law.direction)
        arrival = softirqs.get(received_on.get(law.object, -1)) if law.direction == "rx" else None
        serial = [law.demand_ns.value, *([arrival.demand_ns.value] if arrival else [])]
        parallel_ns = (pool.demand_ns.value if pool else 0.0) + sum(serial) - max(serial)
        dearest = max(serial)
        if dearest > 0:
            useful = (dearest + parallel_ns) / dearest
            found.append(Scaling(law.direction, law.object, dearest, parallel_ns, 1e9 / dearest, useful))
    return found


def cpu_shares(cpus: pd.DataFrame, spans: Spans, *columns: str) -> dict[int, Estimate]:
    """Of each CPU the share of its time in some of the kernel's kinds, by the kernel's own account."""
    spent = spans.by(cpus, "cpu", *columns)
    account = spans.by(cpus, "cpu", *BUSY_COLUMNS, "idle_ns")
    shares = {cpu: share(spent[cpu], account[cpu]) for cpu in spent}
    return {cpu: known for cpu, known in shares.items() if known is not None}


def packets_by_cpu(stages: pd.DataFrame, stage: str, spans: Spans) -> dict[int, FloatArray]:
    """Packets of a stage by CPU, one value a span."""
    return spans.by(only(stages, stage=stage), "cpu", "packets")
