"""The main loop: the next CPU or source acts, until the end of simulated time."""

from __future__ import annotations

import numpy as np

from wgprof.model.engine.clock import NEVER, set_time
from wgprof.model.engine.compiled import compiled, entry, inlined
from wgprof.model.engine.cpus import dispatch, wake
from wgprof.model.engine.crypt import finish_consume, finish_crypt
from wgprof.model.engine.draws import uniform
from wgprof.model.engine.fifos import length, pop, push
from wgprof.model.engine.inline import finish_inline
from wgprof.model.engine.layout import (
    C_EVENTS,
    CONSUME,
    CRYPT,
    FLOW,
    GAP,
    IDLE,
    INLINE,
    NIC,
    POLL,
    RX,
    SEND,
    SOFTIRQ,
    TX,
    XMIT,
    Ints,
    Sim,
)
from wgprof.model.engine.napi import finish_poll
from wgprof.model.engine.nic import allocate, arrive, hand_off
from wgprof.model.engine.sending import finish_send, finish_xmit, to_send
from wgprof.model.engine.sources import collect_acks, next_ack


@entry
def run(s: Sim, kicks: Ints, until: float) -> float:
    """Simulate up to a time (or the scenario's end); returns the time of the next event.

    May be called again with a later time.
    """
    p = s.p[0]
    until = min(until, p.end)
    while True:
        now = s.tree[1].time
        if now > until:
            return float(now)
        if p.warm == 0 and now >= p.warmup:
            forget(s)
        leaf = s.tree[1].leaf
        s.counts[C_EVENTS] += 1
        if leaf < p.cpus:
            finish(s, kicks, leaf, now)
        else:
            emit(s, kicks, leaf - p.cpus, now)


@compiled
def forget(s: Sim) -> None:
    """The warm-up is over: what was counted so far does not count."""
    s.p[0].warm = 1
    for at in range(s.busy.size):
        s.busy[at] = 0
    for at in range(s.served.size):
        s.served[at] = 0
    for at in range(s.counts.size):
        s.counts[at] = 0
    s.p[0].latency_sum = 0.0
    s.p[0].stall_sum = 0.0
    s.p[0].stalls = 0
    for number in range(s.cpus.shape[0]):
        s.cpus[number].delivered = 0
    for number in range(s.napis.shape[0]):
        s.napis[number].delivered = 0
        s.napis[number].busy = 0.0


@inlined
def finish(s: Sim, kicks: Ints, c: int, now: float) -> None:
    """A CPU's step is over: its effect, whom it wakes, and what the CPU does next."""
    cpu = s.cpus[c]
    level = cpu.level
    step = s.steps[3 * c + level]
    kind, what, n, packet = step.kind, step.object, step.n, step.packet
    step.kind = 0
    cpu.level = IDLE
    if level < SOFTIRQ and (cpu.ksoftirqd == 0 or now >= cpu.turn_ends):
        cpu.yielded = 0
    if kind in (CONSUME, SEND, XMIT):
        cpu.raised = 0
    if s.p[0].traced < s.trace.shape[0]:
        note(s, c, kind, what, n, now)
    if kind == CRYPT:
        finish_crypt(s, kicks, c, packet, now)
    elif kind == NIC:
        hand_off(s, kicks, c, pop(s, s.p[0].nics + what), now)
        go_on(s, c, what, 1)
    elif kind == POLL:
        finish_poll(s, kicks, c, level, what, n, now)
    elif kind == CONSUME:
        finish_consume(s, c, packet)
    elif kind == XMIT:
        finish_xmit(s, kicks, c, pop(s, s.p[0].sockets + what), now)
    elif kind == SEND:
        finish_send(s, kicks, c, what, n, now)
    elif kind == INLINE:
        finish_inline(s, kicks, c, what, n, now)
        go_on(s, c, what, n)
    if kicks[0]:
        wake(s, kicks, c, now)
    dispatch(s, c, now)


@inlined
def go_on(s: Sim, c: int, queue: int, n: int) -> None:
    """The NIC's NAPI goes on, to the end of the list when its budget is used up, or completes."""
    number = s.p[0].tunnels + queue
    napi = s.napis[number]
    napi.done += n
    if length(s, s.p[0].nics + queue) == 0:
        napi.scheduled = 0
        s.cpus[c].napi = -1
    elif napi.done >= s.p[0].budget:
        napi.done = 0
        s.cpus[c].napi = -1
        push(s, c, number)


@inlined
def note(s: Sim, c: int, kind: int, what: int, n: int, now: float) -> None:
    """Note a finished step."""
    row = s.p[0].traced
    done = s.trace[row]
    done.time = now
    done.cpu = c
    done.kind = kind
    done.object = what
    done.n = n
    s.p[0].traced = row + 1


@inlined
def emit(s: Sim, kicks: Ints, tunnel: int, now: float) -> None:
    """A source sends what it may: the next burst (open), or as many as the window allows (closed)."""
    p = s.p[0]
    source = s.sources[tunnel]
    if p.closed:
        collect_acks(s, tunnel, now)
        if 0.0 < source.booked <= now:
            source.booked = 0.0
            send_burst(s, kicks, tunnel, now)
        while source.booked == 0.0 and source.free <= now and source.flight + p.gso <= source.window:
            source.flight += p.gso
            # The link takes bursts in the order in which they were ready.
            turn = max(p.link_free, now)
            p.link_free = turn + p.gso * p.packet_bits * p.link_ns_bit
            if turn > now:
                source.booked = turn
            else:
                send_burst(s, kicks, tunnel, now)
        following = NEVER
        if length(s, p.acks + tunnel) > 0:
            following = next_ack(s, tunnel)
        if source.booked > 0.0:
            following = min(following, source.booked)
        elif source.flight + p.gso <= source.window:
            following = min(following, source.free)
    else:
        send_burst(s, kicks, tunnel, now)
        following = now - p.gap * np.log(uniform(p.seed, tunnel, source.burst, GAP))
    wake(s, kicks, -1, now)
    set_time(s, p.cpus + tunnel, following)


@compiled
def send_burst(s: Sim, kicks: Ints, tunnel: int, now: float) -> None:
    """One burst: packets on the wire to us, or a list of segments from our own stack."""
    p = s.p[0]
    source = s.sources[tunnel]
    if p.direction == RX:
        for _ in range(p.gso):
            arrive(s, kicks, s.peers[tunnel].nic, allocate(s, tunnel, RX, source.number, 1, now), now)
            source.number += 1
    elif p.sender_thread:
        to_send(s, kicks, tunnel, allocate(s, tunnel, TX, source.number, p.gso, now), now)
        source.number += p.gso
    else:
        flow = int(uniform(p.seed, tunnel, source.burst % p.flows, FLOW) * p.cpus)
        arrive(s, kicks, flow, allocate(s, tunnel, TX, source.number, p.gso, now), now)
        source.number += p.gso
    source.burst += 1
    source.free = max(source.free, now) + p.gso * p.sender
