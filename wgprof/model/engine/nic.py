"""Arrival: the NIC's queues, their NAPI, and the hand-off to the peer's queue and the device's ring.

A NIC queue takes encrypted packets from the wire, and lists of segments to be sent (wg_xmit), which a gateway received
on another interface; in a loop these come from a thread (sending.py), unless the module is inline.
"""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.draws import service_ns
from wgprof.model.engine.fifos import length, peek, push
from wgprof.model.engine.layout import (
    BUSY_HANDOFF,
    BUSY_RECEIVE,
    BUSY_SPIN,
    BUSY_XMIT,
    C_DROP_NIC,
    C_DROP_PEER,
    C_DROP_RING,
    C_OVERFLOW,
    NIC,
    RECEIVE,
    RX,
    SOFTIRQ,
    UNBOUND,
    Ints,
    Sim,
)
from wgprof.model.engine.running import kick, load_of, queue_work, spend, spin, start
from wgprof.model.engine.sources import lost


@inlined
def allocate(s: Sim, tunnel: int, direction: int, number: int, segments: int, born: float) -> int:
    """A new packet, or -1 (counted) if the pool is empty, which its size rules out."""
    p = s.p[0]
    if p.free <= 0:
        s.counts[C_OVERFLOW] += 1
        return -1
    p.free -= 1
    number_of = int(s.slots[p.free_list + p.free])
    packet = s.packets[number_of]
    packet.tunnel = tunnel
    packet.direction = direction
    packet.number = number
    packet.segments = segments
    packet.born = born
    packet.ready = 0
    return number_of


@inlined
def release(s: Sim, packet: int) -> None:
    """Give a packet back to the pool."""
    s.slots[s.p[0].free_list + s.p[0].free] = packet
    s.p[0].free += 1


@inlined
def arrive(s: Sim, kicks: Ints, queue: int, packet: int, now: float) -> None:
    """A packet reaches a NIC queue: its CPU is interrupted, unless its NAPI polls already."""
    fifo = s.p[0].nics + queue
    if packet < 0:
        return
    if length(s, fifo) >= s.p[0].nic_limit:
        s.counts[C_DROP_NIC] += s.packets[packet].segments
        lost(s, packet, now)
        release(s, packet)
        return
    push(s, fifo, packet)
    s.packets[packet].cpu = queue
    napi = s.napis[s.p[0].tunnels + queue]
    if not napi.scheduled:
        napi.scheduled = 1
        napi.done = 0
        push(s, queue, s.p[0].tunnels + queue)
        kick(kicks, queue, SOFTIRQ)


@compiled
def start_nic(s: Sim, c: int, queue: int, now: float) -> None:
    """The NAPI's next packet."""
    p = s.p[0]
    first = peek(s, p.nics + queue, 0)
    packet = s.packets[first]
    if packet.direction == RX:
        lasts = service_ns(s, RECEIVE, packet.tunnel, packet.number, 1)
        spend(s, c, BUSY_RECEIVE, lasts)
    else:
        lasts = p.stage + p.segment * packet.segments
        spend(s, c, BUSY_XMIT, lasts)
    spend(s, c, BUSY_HANDOFF, p.handoff)
    start(s, c, now, SOFTIRQ, NIC, queue, 1, first, lasts + p.handoff)


@inlined
def choose_cpu(s: Sim, ring: int, direction: int) -> int:
    """The CPU whose worker is woken: the next one in turn, or with an unbound workqueue an idle one."""
    r = s.rings[ring]
    n = s.p[0].decrypt_cpus if direction == RX else s.p[0].encrypt_cpus
    turn = r.next_cpu
    r.next_cpu = turn + 1 if turn + 1 < n else 0
    first = s.p[0].crypt_on + direction * s.p[0].cpus
    if s.p[0].dispatch == UNBOUND:
        for offset in range(n):
            at = (turn + offset) % n
            if load_of(s, s.slots[first + at]) == 0:
                return int(s.slots[first + at])
    return int(s.slots[first + turn])


@compiled
def hand_off(s: Sim, kicks: Ints, c: int, packet: int, now: float) -> None:
    """Into the peer's queue and the device's ring, and one work item queued; or dropped at a full one."""
    held = s.packets[packet]
    direction = held.direction
    p = s.p[0]
    side = direction * p.tunnels + held.tunnel
    ring_number = 2 * s.peers[side].device + direction
    ring = s.rings[ring_number]
    waiting = length(s, p.peer_queues + side)
    if waiting >= p.queue_limit or length(s, p.ring_queues + ring_number) >= p.queue_limit:
        s.counts[C_DROP_PEER if waiting >= p.queue_limit else C_DROP_RING] += held.segments
        lost(s, packet, now)
        release(s, packet)
        return
    if waiting == 0:
        s.peers[side].head_since = now
    push(s, p.peer_queues + side, packet)
    push(s, p.ring_queues + ring_number, packet)
    waited = spin(ring.produce_free, now)
    locked = waited + p.hold + (p.transfer if ring.produced_on != c else 0.0)
    ring.produce_free = now + locked
    ring.produced_on = c
    s.cpus[c].carry += locked
    spend(s, c, BUSY_SPIN, waited)
    spend(s, c, BUSY_HANDOFF, locked - waited)
    held.cpu = c
    queue_work(s, kicks, c, ring_number, choose_cpu(s, ring_number, direction))
