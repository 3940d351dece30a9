"""What the rules look at: everything they need of a recording, built once (gathering.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from wgprof.analysis.estimate import Estimate
from wgprof.analysis.laws import CPUS, Law, Laws
from wgprof.analysis.order import Polls
from wgprof.analysis.queues import Queue
from wgprof.analysis.spans import Spans
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import STAGES, FloatArray
from wgprof.analysis.wakeups import Wakeups
from wgprof.rules.polling import Head, Napi, Stall

#: Below this share of one CPU WireGuard is idle: whatever it does cannot be a bottleneck.
IDLE_CE = 0.01
#: Fewer spans of a second than this are too little to judge by: a finding on them is marked.
COLD_SPANS = 5


@dataclass(frozen=True)
class Cpu:
    """One CPU: shares of its time by the kernel's account, and CE by what the probes measured on it."""

    number: int
    busy: Estimate
    softirq: Estimate
    crypto_ce: float
    wireguard_ce: float  # crypto included
    other_softirq_ce: float  # softirqs outside WireGuard's stages: NICs, the rest of the network stack, timers

    @property
    def outside_ce(self) -> float:
        """Busy, but not in any of WireGuard's stages and workers."""
        return max(self.busy.value - self.wireguard_ce, 0.0)

    @property
    def threads_ce(self) -> float:
        """Busy with threads that are not WireGuard's: applications, system calls."""
        return max(self.outside_ce - self.other_softirq_ce, 0.0)


@dataclass(frozen=True)
class Work:
    """A kind of worker or poll, over all objects and CPUs."""

    kind: str
    executions: int
    empty: int
    packets: int
    own_ce: float  # its own time, without the stages inside
    delay_mean_ns: float | None  # queued to running
    delay_of: FloatArray  # the same by span; nan where none was timed


@dataclass(frozen=True)
class Device:
    """Counters of one WireGuard interface in the window beside what the probes counted."""

    object: int
    label: str
    mtu: int  # 0: not known
    sent_packets: int  # by tx.send
    mean_bytes: float  # of packets that tx.stage took
    tx_dropped: int
    rx_dropped: int
    staged_full: bool  # packets waited in a full staged queue, which drops by itself


@dataclass(frozen=True)
class Facts:
    """The evidence of one recording.  Everything but `analysis` is of the spans of its window."""

    analysis: Analysis
    spans: Spans
    laws: Laws
    cpus: tuple[Cpu, ...]
    entered: Mapping[int, float]  # CPU -> of what a peer sends, the part that tx.stage takes there; the largest
    received: Mapping[int, int]  # CPU -> packets of rx.receive
    decrypted: Mapping[int, FloatArray]  # CPU -> packets of rx.decrypt by span
    decrypt_ns: Mapping[int, Estimate]  # CPU -> service time a packet
    delivered: Mapping[int, int]  # CPU -> packets of rx.deliver
    naps: tuple[Napi, ...]
    stalls: tuple[Stall, ...]
    heads: tuple[Head, ...] | None  # None: not measured
    works: Mapping[str, Work]
    send_by_cpu: Mapping[int, Mapping[int, float]]  # CPU -> peer -> CE that its transmit work occupied
    send_delay: Mapping[int, float]  # peer -> CE its transmit work waited for its CPU, queued and not running
    devices: tuple[Device, ...]
    refused: Mapping[str, tuple[int, int]]  # queue -> packets refused, packets that came
    nodes: Mapping[int, int]  # CPU -> NUMA node
    wireguard_ce: float  # in all of WireGuard's stages and workers
    parts: Mapping[str, Estimate]  # crypto, rest (of WireGuard), outside: shares of all busy CPU time
    spinning: Estimate | None  # CE for the locks of rings; None where that was not measured
    lacking: tuple[str, ...] = field(default=())

    @property
    def idle(self) -> bool:
        """Whether too little flowed for anything in WireGuard to be a bottleneck."""
        return self.wireguard_ce < IDLE_CE

    @property
    def cold(self) -> bool:
        """Whether there are too few spans to judge by."""
        return int(np.count_nonzero(self.spans.seconds)) < COLD_SPANS

    @property
    def crypto_ce(self) -> float:
        return sum(cpu.crypto_ce for cpu in self.cpus)

    @property
    def busy_ce(self) -> float:
        """All CPUs, by the kernel's account."""
        return sum(cpu.busy.value for cpu in self.cpus)

    @property
    def busy_share(self) -> float:
        """Mean over the CPUs."""
        return self.busy_ce / len(self.cpus) if self.cpus else 0.0

    @property
    def least_busy(self) -> Estimate | None:
        """The busy share of the CPU that has most time left."""
        return min((cpu.busy for cpu in self.cpus), key=lambda busy: busy.value, default=None)

    def cpu(self, number: int) -> Cpu | None:
        """A CPU by its number."""
        return next((cpu for cpu in self.cpus if cpu.number == number), None)

    def queue(self, name: str, number: int) -> Queue | None:
        """A queue of an object."""
        return next((q for q in self.analysis.queues if q.queue == name and q.object == number), None)

    @property
    def polls(self) -> Polls | None:
        """What the polls of all NAPIs found; None where that was not measured."""
        rows = self.analysis.mechanics.polls
        return next((row for row in rows if row.server == "rx.napi" and row.object is None), None)

    def woken(self, server: str) -> Wakeups | None:
        """The threads that had to be woken for a kind of server; None where that was not measured."""
        rows = self.analysis.mechanics.wakeups
        return next((row for row in rows if row.server == server and row.woken is not None), None)

    def machine(self, direction: str) -> Law | None:
        """All CPUs together for the packets of a direction."""
        return next(iter(self.laws.of(CPUS, direction)), None)

    def useful_cores(self, law: Law) -> float | None:
        """More cores than this give the law's peer nothing: Amdahl's law with stages that overlap."""
        rows = self.laws.scaling
        return next((r.useful_cores for r in rows if (r.direction, r.object) == (law.direction, law.object)), None)

    def packets(self, stage: str, number: int) -> int:
        """Packets of a peer that passed a stage."""
        rows = self.analysis.stages
        return next((s.packets for s in rows if s.stage == stage and s.object == number), 0)

    def rate_pps(self, direction: str, number: int | None = None) -> float:
        """Packets a second through the last stage, of one peer or of all."""
        last = STAGES[direction][2]
        rows = [s for s in self.analysis.stages if s.stage == last and s.object == number]
        return rows[0].rate_pps if rows else 0.0

    def missing(self, needs: tuple[str, ...]) -> list[str]:
        """What of `needs` the recording does not have."""
        return [need for need in needs if need in self.lacking or need.partition(":")[0] in self.lacking]
