"""What a finished step of the reference has done: hand-offs, wake-ups, deliveries; and the sources of traffic."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from itertools import groupby
from typing import Any

import simpy

from wgprof.model.costs import Costs
from wgprof.model.engine.draws import hashed
from wgprof.model.engine.layout import FLOW, GAP
from wgprof.model.engine.sources import DECREASE
from wgprof.model.limits import WIRE_BYTES
from wgprof.model.placement import gap_ns
from wgprof.model.reference.machine import Machine
from wgprof.model.reference.objects import (
    CONSUME,
    CRYPT,
    INLINE,
    NIC,
    POLL,
    RX,
    SEND,
    SOFTIRQ,
    THREAD,
    TX,
    WORK,
    XMIT,
    Cpu,
    Napi,
    Packet,
    Step,
)
from wgprof.model.scenario import Scenario


class Reference(Machine):
    """A simulation from its first event on."""

    def __init__(self, scenario: Scenario, costs: Costs, seed: int) -> None:
        super().__init__(scenario, costs, seed)
        self.acks: list[deque[tuple[float, int]]] = [deque() for _ in range(scenario.tunnels)]
        self.alarms: list[simpy.Event | None] = [None] * scenario.tunnels
        for tunnel, start in enumerate(self.where.start_ns):
            self.env.process(self._source(tunnel, start))

    def run(self, seconds: float) -> None:
        """Simulate."""
        self.env.run(until=seconds * 1e9)

    def effect(self, cpu: Cpu, level: int, step: Step) -> None:
        """What a finished step has done."""
        if step.kind == CRYPT:
            assert step.packet is not None
            self._crypted(cpu, step.packet)
        elif step.kind == CONSUME:
            cpu.held = step.packet
            if step.packet is None:
                self.end_work(cpu)
        elif step.kind == NIC:
            self._hand_off(cpu, self.nics[step.object].popleft())
            self._nic_goes_on(cpu, step.object, 1)
        elif step.kind == INLINE:
            received = []
            for _ in range(step.n):
                packet = self.nics[step.object].popleft()
                if packet.direction == RX:
                    self._deliver(packet.tunnel, 1)
                    received.append(packet.tunnel)
                else:
                    self._send(cpu, packet)
            for tunnel, run in groupby(received):
                self._to_read(tunnel, self.supers(len(list(run))))
            self._nic_goes_on(cpu, step.object, step.n)
        elif step.kind == POLL:
            self._polled(cpu, level, self.napis[step.object], step.n)
        elif step.kind == SEND:
            head = self.queues[TX][step.object][0]
            if self.scenario.direction == "loop" and head.segments > 1:
                self._arrive(cpu.number, Packet(head.tunnel, RX, head.number, 1, head.born))
                head.number, head.segments = head.number + 1, head.segments - 1
                return
            for _ in range(step.n):
                self._send(cpu, self.queues[TX][step.object].popleft())
        elif step.kind == XMIT:
            packet = self.sources[step.object].socket.popleft()
            if self.scenario.module == "inline":
                self._send(cpu, packet)
            else:
                self._hand_off(cpu, packet)

    def _crypted(self, cpu: Cpu, packet: Packet) -> None:
        packet.ready, packet.cpu = True, cpu.number
        if packet.direction == RX:
            self._schedule(cpu, self.napis[packet.tunnel])
        else:
            self._queue_work(cpu, len(self.rings) + packet.tunnel, self.where.transmit[packet.tunnel])

    def _hand_off(self, cpu: Cpu, packet: Packet) -> None:
        """To the peer's queue and the device's ring, and a work item on the next CPU in turn."""
        direction, limit = packet.direction, self.scenario.queue_limit
        queue = self.queues[direction][packet.tunnel]
        number = 2 * self.where.device[packet.tunnel] + direction
        ring = self.rings[number]
        if len(queue) >= limit or len(ring.packets) >= limit:
            self._lost(packet)
            return
        queue.append(packet)
        ring.packets.append(packet)
        cpu.carry += self.lock(ring.produce, cpu)
        packet.cpu = cpu.number
        cpus = self.where.crypt[direction]
        turn, ring.turn = ring.turn, (ring.turn + 1) % len(cpus)
        choices = [cpus[(turn + n) % len(cpus)] for n in range(len(cpus))]
        idle = [c for c in choices if self.cpus[c].load == 0] if self.scenario.unbound else []
        self._queue_work(cpu, number, idle[0] if idle else choices[0])

    def _queue_work(self, cpu: Cpu, work: int, target: int) -> None:
        """Each CPU has one item a ring; a peer has one transmit item, always on the same CPU."""
        if (work, target) in self.pending:
            return
        self.pending.add((work, target))
        if (work, target) in self.executing:
            return
        worker = self.cpus[target]
        if worker.work is None and not worker.works:
            worker.slept = True
            cpu.carry += self.ns("wake")
        worker.works.append((work, False))
        self.kicks.append((target, WORK))

    def _schedule(self, cpu: Cpu, napi: Napi) -> None:
        if napi.scheduled:
            napi.missed = True
            return
        napi.scheduled, napi.done = True, 0
        if self.scenario.threaded:
            n = len(self.cpus)
            target = min((self.cpus[(napi.cpu + offset) % n] for offset in range(n)), key=lambda c: c.load)
            cpu.carry += self.ns("wake")
            if self.scenario.run_to_parity:
                self._wake_thread(target, self.napi_threads + napi.number)
            else:
                target.threads.append(napi)
                self.kicks.append((target.number, THREAD))
            return
        steered = self.where.deliver[napi.number]
        target = cpu if steered < 0 else self.cpus[steered]
        cpu.raised |= target is cpu and not cpu.polls
        target.polls.append(napi)
        if target is not cpu:
            cpu.carry += self.ns("wake") if target.level != SOFTIRQ else 0.0
            self.kicks.append((target.number, SOFTIRQ))

    def _polled(self, cpu: Cpu, level: int, napi: Napi, n: int) -> None:
        """Deliver, and go on while heads are ready; then to the end of the list, or done."""
        for _ in range(n):
            self.queues[RX][napi.number].popleft()
            self._deliver(napi.number, 1)
        napi.done += n
        full = napi.done >= self.scenario.budget
        if n:
            napi.flush = full or not self.ready(RX, napi.number, 1)
            return
        if napi.flush:
            self._to_read(napi.number, self.supers(napi.done))
        napi.flush = False
        napi.done, napi.cpu = 0, cpu.number
        again = full or napi.missed
        if not full:
            napi.missed = False
        napi.scheduled = again
        if level == SOFTIRQ:
            cpu.napi = None
            if again:
                cpu.polls.append(napi)
        elif not again and level == WORK:
            cpu.work = None
        elif not again:
            cpu.thread = None
        elif level == THREAD and cpu.threads:
            cpu.thread = None
            cpu.threads.append(napi)

    def _nic_goes_on(self, cpu: Cpu, queue: int, n: int) -> None:
        napi = self.napis[self.scenario.tunnels + queue]
        napi.done += n
        if not self.nics[queue]:
            napi.scheduled, cpu.napi = False, None
        elif napi.done >= self.scenario.budget:
            napi.done, cpu.napi = 0, None
            cpu.polls.append(napi)

    def _send(self, cpu: Cpu, packet: Packet) -> None:
        """On to the wire, or in a loop to this CPU's own NIC queue."""
        if self.scenario.direction != "loop":
            self._deliver(packet.tunnel, packet.segments)
            return
        for n in range(packet.segments):
            self._arrive(cpu.number, Packet(packet.tunnel, RX, packet.number + n, 1, packet.born))

    def _deliver(self, tunnel: int, n: int) -> None:
        self.delivered[tunnel] += n
        self._acknowledge(tunnel, n)

    # Traffic.

    def _arrive(self, queue: int, packet: Packet) -> None:
        if len(self.nics[queue]) >= self.scenario.nic_limit:
            self._lost(packet)
            return
        packet.cpu = queue
        self.nics[queue].append(packet)
        napi = self.napis[self.scenario.tunnels + queue]
        if not napi.scheduled:
            napi.scheduled, napi.done = True, 0
            self.cpus[queue].polls.append(napi)
            self.kicks.append((queue, SOFTIRQ))

    def _lost(self, packet: Packet) -> None:
        source, scenario = self.sources[packet.tunnel], self.scenario
        if scenario.rate_pps is None and self.env.now >= source.recover:
            source.window = max(source.window * DECREASE, 2.0 * scenario.gso)
            source.recover = self.env.now + scenario.rtt_us * 1e3 + (self.env.now - packet.born)
        self._acknowledge(packet.tunnel, packet.segments)

    def _acknowledge(self, tunnel: int, n: int) -> None:
        if self.scenario.rate_pps is not None:
            return
        time, acks = self.env.now + self.scenario.rtt_us * 1e3, self.acks[tunnel]
        if acks and acks[-1][0] == time:  # of one moment, one
            n += acks.pop()[1]
        acks.append((time, n))
        alarm = self.alarms[tunnel]
        if alarm is not None and not alarm.triggered:
            alarm.succeed()

    def _source(self, tunnel: int, start: float) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(start)
        if self.scenario.rate_pps is not None:
            yield from self._open(tunnel)
        source, acks = self.sources[tunnel], self.acks[tunnel]
        gso = self.scenario.gso
        while True:
            while acks and acks[0][0] <= self.env.now:
                n = acks.popleft()[1]
                source.flight -= n
                source.window = min(source.window + n / source.window, self.scenario.window)
            if 0.0 < source.booked <= self.env.now:
                source.booked = 0.0
                self._burst(tunnel)
            while not source.booked and source.free <= self.env.now and source.flight + gso <= source.window:
                source.flight += gso
                turn, self.link_free = self._link()
                if turn > self.env.now:
                    source.booked = turn
                else:
                    self._burst(tunnel)
            self.wake(None)
            following = acks[0][0] if acks else math.inf
            if source.booked:
                following = min(following, source.booked)
            elif source.flight + gso <= source.window:
                following = min(following, source.free)
            if following == math.inf:
                alarm = self.alarms[tunnel] = self.env.event()
                yield alarm
            else:
                yield self.env.timeout(following - self.env.now)

    def _open(self, tunnel: int) -> Generator[simpy.Event, Any, None]:
        while True:
            self._burst(tunnel)
            self.wake(None)
            u = hashed(self.seed, tunnel, self.sources[tunnel].burst, GAP)
            yield self.env.timeout(-gap_ns(self.scenario) * math.log(u))

    def _burst(self, tunnel: int) -> None:
        source, scenario = self.sources[tunnel], self.scenario
        if scenario.direction == "rx":
            for n in range(scenario.gso):
                self._arrive(self.where.nic[tunnel], Packet(tunnel, RX, source.number + n, 1, self.env.now))
        elif scenario.sender_thread:
            self._to_send(tunnel, Packet(tunnel, TX, source.number, scenario.gso, self.env.now))
        else:
            flow = hashed(self.seed, tunnel, source.burst % scenario.flows, FLOW)
            queue = int(flow * scenario.cores)
            self._arrive(queue, Packet(tunnel, TX, source.number, scenario.gso, self.env.now))
        source.number += scenario.gso
        source.burst += 1
        source.free = max(source.free, self.env.now) + scenario.gso * scenario.sender_ns

    def _to_send(self, tunnel: int, packet: Packet) -> None:
        """For the application's thread, which the scheduler wakes if it sleeps."""
        source = self.sources[tunnel]
        if len(source.socket) >= self.scenario.nic_limit:
            self._lost(packet)
            return
        source.socket.append(packet)
        if source.awake:
            return
        n = len(self.cpus)
        cpu = min((self.cpus[(source.cpu + offset) % n] for offset in range(n)), key=lambda c: c.load)
        source.awake, source.cpu = True, cpu.number
        self._wake_thread(cpu, len(self.rings) + self.scenario.tunnels + tunnel)

    def _to_read(self, tunnel: int, supers: int) -> None:
        """For the thread of the tunnel's other end, in a loop."""
        source, n = self.sources[tunnel], len(self.cpus)
        if self.scenario.direction != "loop" or not self.ns("read"):
            return
        source.unread += supers
        if not source.reading:
            cpu = min((self.cpus[(source.reader_cpu + offset) % n] for offset in range(n)), key=lambda c: c.load)
            source.reading, source.reader_cpu = True, cpu.number
            self._wake_thread(cpu, self.napi_threads + self.scenario.tunnels + tunnel)

    def _wake_thread(self, cpu: Cpu, item: int) -> None:
        """A thread that takes turns with workers: before those that have run, or from 6.6 on behind them."""
        cpu.slept |= cpu.work is None and not cpu.works
        if self.scenario.run_to_parity:
            cpu.works.append((item, False))
        else:
            cpu.resched = True
            cpu.works.appendleft((item, False))
        self.kicks.append((cpu.number, WORK))

    def _link(self) -> tuple[float, float]:
        """When the link takes the next burst, and when it is free after it."""
        scenario, turn = self.scenario, max(self.link_free, self.env.now)
        bits = scenario.gso * (scenario.packet_bytes + WIRE_BYTES) * 8
        return turn, turn + (bits / scenario.link_gbit_s if scenario.link_gbit_s else 0.0)
