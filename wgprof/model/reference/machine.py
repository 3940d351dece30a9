"""What a CPU of the reference does next, and how long it takes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import replace
from itertools import islice
from typing import Any

import simpy

from wgprof.model.costs import DISTRIBUTED, Costs
from wgprof.model.engine.draws import hashed
from wgprof.model.engine.sending import TOGETHER
from wgprof.model.limits import GSO_MAX_BYTES, SOFTIRQ_LIMIT_NS, slice_ns
from wgprof.model.placement import place
from wgprof.model.reference.objects import (
    BEGIN,
    CONSUME,
    CRYPT,
    INLINE,
    NIC,
    POLL,
    READ,
    RX,
    SEND,
    SOFTIRQ,
    SWITCH,
    THREAD,
    TX,
    WORK,
    XMIT,
    Cpu,
    Lock,
    Napi,
    Packet,
    Ring,
    Source,
    Step,
)
from wgprof.model.scenario import Scenario

#: What acknowledgements cost, by server.
ACKS = ("ack_encrypt", "ack_send", "ack_decrypt", "ack_deliver")


class Machine:
    """CPUs and what they do next; `effect` says what a finished step has done.

    `trace` is every finished step as (time in ns, CPU, kind, object, n).
    """

    def __init__(self, scenario: Scenario, costs: Costs, seed: int) -> None:
        self.scenario, self.costs, self.seed = scenario, costs, seed
        self.env = simpy.Environment()
        self.where = place(scenario, seed)
        self.trace: list[tuple[float, int, int, int, int]] = []
        self.delivered = [0] * scenario.tunnels
        c, t = scenario.cores, scenario.tunnels
        self.cpus = [Cpu(n, n * scenario.nodes // c) for n in range(c)]
        self.napis = [Napi(n, n % c) for n in range(t)] + [Napi(t + n, n) for n in range(c)]
        self.nics: list[deque[Packet]] = [deque() for _ in range(c)]
        self.rings = [Ring(turn) for turn in self.where.first_turn]
        self.queues: list[list[deque[Packet]]] = [[deque() for _ in range(t)] for _ in (RX, TX)]
        self.sources = [Source(scenario.first_window, cpu=n, reader_cpu=n) for n in self.where.sender]
        self.napi_threads = len(self.rings) + 2 * t  # the first of their numbers among work items
        self.pending: set[tuple[int, int]] = set()
        self.executing: set[tuple[int, int]] = set()
        self.kicks: list[tuple[int, int]] = []
        self.link_free = 0.0

    def effect(self, cpu: Cpu, level: int, step: Step) -> None:
        """What a finished step has done."""
        raise NotImplementedError

    def ns(self, name: str) -> float:
        """A constant cost."""
        return self.costs.ns(name, self.scenario.packet_bytes)

    def service(self, name: str, packet: Packet) -> float:
        """A packet's own service time at a stage, all segments together."""
        if self.costs.shape(name) == "constant":
            return self.ns(name) * packet.segments
        stage = DISTRIBUTED.index(name)
        assert self.costs.shape(name) == "exponential"
        draws = (hashed(self.seed, packet.tunnel, packet.number + n, stage) for n in range(packet.segments))
        return self.ns(name) * -sum(map(math.log, draws))

    def touched(self, name: str, cpu: Cpu, packet: Packet) -> float:
        """The same, where another CPU or node had the packet before."""
        factor = self.costs.numa.value if self.cpus[packet.cpu].node != cpu.node else 1.0
        hop = self.ns("cross") if packet.cpu != cpu.number else 0.0
        return self.service(name, packet) * factor + hop * packet.segments

    def supers(self, packets: int) -> int:
        """What GRO makes of them."""
        most = max(GSO_MAX_BYTES // self.scenario.packet_bytes, 1)
        return max(min(packets, self.scenario.flows), math.ceil(packets / most))

    # Steps.

    def start(self, cpu: Cpu, level: int, step: Step) -> None:
        """Begin a step, or go on with a suspended one."""
        cpu.level, cpu.steps[level] = level, step
        step.left += cpu.carry
        cpu.carry = 0.0
        cpu.running = self.env.process(self._step(cpu, level, step))

    def _step(self, cpu: Cpu, level: int, step: Step) -> Generator[simpy.Event, Any, None]:
        began = self.env.now
        try:
            yield self.env.timeout(step.left)
        except simpy.Interrupt:
            step.left -= self.env.now - began
            return
        del cpu.steps[level]
        cpu.level, cpu.running = -1, None
        if level < SOFTIRQ and (not cpu.ksoftirqd or self.env.now >= cpu.turn_ends):
            cpu.yielded = False
        if step.kind in (CONSUME, SEND, XMIT):
            cpu.raised = False
        self.trace.append((self.env.now, cpu.number, step.kind, step.object, step.n))
        self.effect(cpu, level, step)
        self.wake(cpu)
        self.dispatch(cpu)

    def wake(self, current: Cpu | None) -> None:
        """Wake or interrupt the CPUs that an effect has given something to do."""
        kicks, self.kicks = self.kicks, []
        for number, level in kicks:
            cpu = self.cpus[number]
            if cpu is current or cpu.level >= level:
                continue
            if level == SOFTIRQ and cpu.ksoftirqd and cpu.level >= 0:
                continue
            if level == SOFTIRQ:
                cpu.yielded = cpu.raised = False
            if cpu.running is not None:
                cpu.running.interrupt()
                cpu.level, cpu.running = -1, None
            self.dispatch(cpu)

    def dispatch(self, cpu: Cpu) -> None:
        """Softirqs, then NAPI threads, then work items."""
        if not cpu.raised and self._softirq(cpu):
            return
        cpu.softirq_since = None
        if THREAD in cpu.steps:
            self.start(cpu, THREAD, cpu.steps[THREAD])
        elif cpu.thread is not None:
            self._poll(cpu, THREAD, cpu.thread)
        elif cpu.threads:
            cpu.thread = cpu.threads.popleft()
            self.start(cpu, THREAD, Step(SWITCH, cpu.thread.number, 0, self.ns("switch")))
        elif WORK in cpu.steps:
            self.start(cpu, WORK, cpu.steps[WORK])
        else:
            self._work(cpu)

    def _softirq(self, cpu: Cpu) -> bool:
        if cpu.napi is None and not cpu.polls:
            cpu.ksoftirqd = False
            return False
        if cpu.softirq_since is None:
            cpu.softirq_since = self.env.now
        if cpu.napi is None:
            limit = slice_ns(self.scenario.cores) if cpu.ksoftirqd else SOFTIRQ_LIMIT_NS
            if self.env.now - cpu.softirq_since >= limit and cpu.below:
                cpu.yielded, cpu.ksoftirqd = True, self.scenario.fair_softirqs
                cpu.turn_ends = self.env.now + slice_ns(self.scenario.cores)
            if cpu.yielded and cpu.below:
                return False
            cpu.yielded = False
            cpu.napi = cpu.polls.popleft()
        queue = cpu.napi.number - self.scenario.tunnels
        if queue < 0:
            self._poll(cpu, SOFTIRQ, cpu.napi)
        elif self.scenario.module == "inline":
            self._inline(cpu, queue)
        else:
            packet = self.nics[queue][0]
            length = self.ns("stage") + self.ns("segment") * packet.segments
            if packet.direction == RX:
                length = self.service("receive", packet)
            self.start(cpu, SOFTIRQ, Step(NIC, queue, 1, length + self.ns("handoff")))
        return True

    def _work(self, cpu: Cpu) -> None:
        while True:
            if cpu.work is None:
                if cpu.works:
                    self._begin(cpu)
                return
            turn_over = cpu.resched or self.env.now - cpu.work_since > slice_ns(self.scenario.cores)
            if turn_over and cpu.works and not self._amidst(cpu):
                cpu.works.append((cpu.work, True))
                cpu.work = None
            elif cpu.work < len(self.rings):
                self._consume(cpu, cpu.work)
                return
            elif cpu.work >= self.napi_threads + self.scenario.tunnels:
                tunnel = cpu.work - self.napi_threads - self.scenario.tunnels
                source = self.sources[tunnel]
                if source.unread:
                    length = source.unread * sum(map(self.ns, ("read", *ACKS)))
                    self.start(cpu, WORK, Step(READ, tunnel, source.unread, length))
                    source.unread = 0
                    return
                cpu.work, source.reading = None, False
            elif cpu.work >= self.napi_threads:
                self._poll(cpu, WORK, self.napis[cpu.work - self.napi_threads])
                return
            elif cpu.work >= len(self.rings) + self.scenario.tunnels:
                tunnel = cpu.work - len(self.rings) - self.scenario.tunnels
                source = self.sources[tunnel]
                if source.socket:
                    packet = source.socket[0]
                    length = self.ns("stage") + (self.ns("write") + self.ns("segment")) * packet.segments
                    if self.scenario.module == "inline":
                        length += self.service("encrypt", packet) + self.service("send", packet)
                    else:
                        length += self.ns("handoff")
                    self.start(cpu, WORK, Step(XMIT, tunnel, 1, length))
                    return
                cpu.work, source.awake = None, False
            else:
                tunnel = cpu.work - len(self.rings)
                loop = self.scenario.direction == "loop"
                heads = self.ready(TX, tunnel, 1 if loop else TOGETHER)
                if heads:
                    # In a loop softirqs of the other end run after each segment.
                    ended = len(heads) if not loop or heads[0].segments == 1 else 0
                    leaving = [replace(packet, segments=1) for packet in heads] if loop else heads
                    length = sum(self.touched("send", cpu, packet) for packet in leaving)
                    length += self.ns("consume") * ended
                    self.start(cpu, WORK, Step(SEND, tunnel, len(heads), length))
                    return
                self.end_work(cpu)

    def _amidst(self, cpu: Cpu) -> bool:
        """Whether the CPU's thread holds a packet or is within a poll."""
        if cpu.work is None or not 0 <= cpu.work - self.napi_threads < self.scenario.tunnels:
            return cpu.held is not None
        return self.napis[cpu.work - self.napi_threads].done > 0

    def _begin(self, cpu: Cpu) -> None:
        work, lost_turn = cpu.works.popleft()
        length = self.ns("switch") if lost_turn or cpu.slept else self.ns("work")
        if not lost_turn:
            self.pending.discard((work, cpu.number))
            self.executing.add((work, cpu.number))
        cpu.slept, cpu.work = False, work
        cpu.resched = False
        if not cpu.again:
            cpu.work_since = self.env.now
        cpu.again = False
        self.start(cpu, WORK, Step(BEGIN, work, 0, length))

    def end_work(self, cpu: Cpu) -> None:
        """A work item ends; its worker begins it again, in the same turn, if it was queued meanwhile."""
        work, cpu.work = cpu.work, None
        assert work is not None
        self.executing.discard((work, cpu.number))
        cpu.again = (work, cpu.number) in self.pending
        if cpu.again:
            cpu.works.appendleft((work, False))

    def _consume(self, cpu: Cpu, number: int) -> None:
        """Take a packet under the ring's lock; pending softirqs run before it is worked on."""
        if cpu.held is not None:
            packet, cpu.held = cpu.held, None
            length = self._crypt(cpu, packet) + (self.ns("unlock") if packet.direction == RX else 0.0)
            self.start(cpu, WORK, Step(CRYPT, number, 1, length, packet))
            return
        ring = self.rings[number]
        length = self.lock(ring.consume, cpu) + self.ns("consume")
        if not ring.packets:
            self.start(cpu, WORK, Step(CONSUME, number, 0, length))
            return
        packet = ring.packets.popleft()
        if cpu.polls:
            self.start(cpu, WORK, Step(CONSUME, number, 1, length, packet))
        else:
            self.start(cpu, WORK, Step(CRYPT, number, 1, length + self._crypt(cpu, packet), packet))

    def _crypt(self, cpu: Cpu, packet: Packet) -> float:
        return self.touched("decrypt" if packet.direction == RX else "encrypt", cpu, packet)

    def _poll(self, cpu: Cpu, level: int, napi: Napi) -> None:
        if napi.flush:  # what GRO merged goes up the stack before the poll ends
            self.start(cpu, level, Step(POLL, napi.number, 0, self.ns("stack") * self.supers(napi.done)))
            return
        heads = self.ready(RX, napi.number, self.scenario.budget - napi.done)
        length = self.ns("poll_empty")
        if heads:
            length = self.ns("poll_setup") if napi.done == 0 else 0.0
            length += sum(self.touched("deliver", cpu, packet) for packet in heads)
        if level == SOFTIRQ and napi.done == 0:
            length += self.ns("softirq")
        self.start(cpu, level, Step(POLL, napi.number, len(heads), length))

    def _inline(self, cpu: Cpu, queue: int) -> None:
        first = self.nics[queue][0]
        if first.direction == TX:
            length = self.ns("stage") + self.ns("segment") * first.segments
            length += self.service("encrypt", first) + self.service("send", first)
            self.start(cpu, SOFTIRQ, Step(INLINE, queue, 1, length))
            return
        budget = self.scenario.budget - self.napis[self.scenario.tunnels + queue].done
        length, runs, n = self.ns("poll_setup"), [0], 0
        for n, packet in enumerate(islice(self.nics[queue], budget)):
            if packet.direction != RX:
                break
            if n and packet.tunnel != self.nics[queue][n - 1].tunnel:
                runs.append(0)
            runs[-1] += 1
            length += sum(self.service(name, packet) for name in ("receive", "decrypt", "deliver"))
        length += sum(self.ns("stack") * self.supers(run) for run in runs)
        self.start(cpu, SOFTIRQ, Step(INLINE, queue, sum(runs), length))

    def lock(self, lock: Lock, cpu: Cpu) -> float:
        """Time to get a lock and leave it again."""
        wait = max(lock.free - self.env.now, 0.0)
        length = wait + self.ns("hold") + (self.ns("transfer") if lock.owner != cpu.number else 0.0)
        lock.free, lock.owner = self.env.now + length, cpu.number
        return length

    def ready(self, direction: int, tunnel: int, most: int) -> list[Packet]:
        """The packets at the head of a peer's queue that can go."""
        heads = []
        for packet in islice(self.queues[direction][tunnel], most):
            if not packet.ready:
                break
            heads.append(packet)
        return heads
