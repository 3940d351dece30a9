"""A peer's NAPI: delivers in order, up to its budget; in softirq on the CPU whose list it is on, or in a thread.

A poll serves all ready heads of the peer's queue together, then looks again.  At a head that is not decrypted what
GRO merged goes up the stack, and only then the poll ends (napi_complete_done): what is decrypted meanwhile is a
wake-up missed.  With its budget used up it goes to the end of the same CPU's list; with a wake-up missed meanwhile
too; else it is idle, and free to be scheduled elsewhere.
"""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.delivery import deliver, supers
from wgprof.model.engine.draws import service_ns
from wgprof.model.engine.fifos import length, peek, pop, push
from wgprof.model.engine.layout import (
    BUSY_DELIVER,
    BUSY_WASTED,
    C_EMPTY,
    C_MISSED,
    C_NESTED,
    C_POLLS,
    DELIVER,
    POLL,
    SERVED_NAPI,
    SOFTIRQ,
    THREAD,
    WORK,
    Ints,
    Sim,
)
from wgprof.model.engine.reading import to_read
from wgprof.model.engine.running import distance, hop, serve, spend, start


@inlined
def queue_of(s: Sim, direction: int, tunnel: int) -> int:
    """The rx-queue or tx-queue of a peer."""
    return int(s.p[0].peer_queues + direction * s.p[0].tunnels + tunnel)


@inlined
def ready_heads(s: Sim, direction: int, tunnel: int, most: int) -> int:
    """How many packets at the head of a peer's queue can go, at most `most`."""
    fifo = queue_of(s, direction, tunnel)
    n = 0
    limit = min(most, length(s, fifo))
    while n < limit and s.packets[peek(s, fifo, n)].ready:
        n += 1
    return n


@compiled
def start_poll(s: Sim, c: int, level: int, tunnel: int, now: float) -> None:
    """Serve the heads that are ready; if there are none the poll is wasted."""
    p = s.p[0]
    napi = s.napis[tunnel]
    if napi.flush:
        lasts = p.stack * supers(s, napi.done)
        spend(s, c, BUSY_DELIVER, lasts)
        serve(s, SERVED_NAPI, lasts)
        napi.busy += lasts
        start(s, c, now, level, POLL, tunnel, 0, -1, lasts)
        return
    n = ready_heads(s, 0, tunnel, p.budget - napi.done)
    if n == 0:
        around = p.softirq if level == SOFTIRQ and napi.done == 0 else 0.0
        spend(s, c, BUSY_WASTED, p.poll_empty + around)
        serve(s, SERVED_NAPI, p.poll_empty)
        napi.busy += p.poll_empty
        start(s, c, now, level, POLL, tunnel, 0, -1, p.poll_empty + around)
        return
    lasts = p.poll_setup if napi.done == 0 else 0.0
    for head in range(n):
        packet = s.packets[peek(s, queue_of(s, 0, tunnel), head)]
        own = service_ns(s, DELIVER, tunnel, packet.number, 1)
        lasts += own * distance(s, c, packet) + hop(s, c, packet)
    around = p.softirq if level == SOFTIRQ and napi.done == 0 else 0.0
    spend(s, c, BUSY_DELIVER, lasts + around)
    serve(s, SERVED_NAPI, lasts)
    napi.busy += lasts
    start(s, c, now, level, POLL, tunnel, n, -1, lasts + around)


@inlined
def note_stall(s: Sim, direction: int, tunnel: int, now: float) -> None:
    """How long the head has waited to be ready, while it was the head."""
    p = s.p[0]
    peer = s.peers[direction * p.tunnels + tunnel]
    head = s.packets[peek(s, queue_of(s, direction, tunnel), 0)]
    p.stall_sum += max(0.0, head.done_at - peer.head_since)
    p.stalls += 1
    peer.head_since = now


@compiled
def finish_poll(s: Sim, kicks: Ints, c: int, level: int, tunnel: int, n: int, now: float) -> None:
    """Deliver what was served, then go on, go to the end of the list, or complete."""
    napi = s.napis[tunnel]
    cpu = s.cpus[c]
    if napi.done == 0:
        s.counts[C_POLLS] += 1
        s.counts[C_EMPTY] += 1 if n == 0 else 0
        s.counts[C_MISSED] += 1 if n == 0 and napi.repoll else 0
        s.counts[C_NESTED] += 1 if level == SOFTIRQ and (cpu.held >= 0 or s.steps[3 * c + WORK].kind) else 0
    if n > 0:
        note_stall(s, 0, tunnel, now)
        for _ in range(n):
            deliver(s, c, pop(s, queue_of(s, 0, tunnel)), now)
    napi.done += n
    full = napi.done >= s.p[0].budget
    if n > 0:
        napi.flush = full or not ready_heads(s, 0, tunnel, 1)
        return
    if napi.flush:
        to_read(s, kicks, tunnel, supers(s, napi.done))
    napi.flush = 0
    napi.done = 0
    napi.cpu = c
    again = full or napi.missed
    napi.repoll = 0 if full else 1
    if not full:
        napi.missed = 0
    if level == SOFTIRQ:
        cpu.napi = -1
        if again:
            push(s, c, tunnel)
        else:
            napi.scheduled = 0
    elif not again:
        napi.scheduled = 0
        if level == WORK:
            cpu.work = -1
        else:
            cpu.thread = -1
    elif level == THREAD and length(s, s.p[0].threads + c) > 0:
        # cond_resched(): threads on one CPU take turns.
        cpu.thread = -1
        push(s, s.p[0].threads + c, tunnel)
