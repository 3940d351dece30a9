"""Sending: in a loop the application's thread (wg_xmit); a peer's transmit work, in order (wg_packet_tx_worker)."""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.delivery import send
from wgprof.model.engine.draws import service_ns
from wgprof.model.engine.fifos import length, peek, pop, push
from wgprof.model.engine.inline import transmit_ns
from wgprof.model.engine.layout import (
    BUSY_ENDS,
    BUSY_HANDOFF,
    BUSY_SEND,
    BUSY_XMIT,
    C_DROP_NIC,
    C_SENT,
    RX,
    SEND,
    SENDING,
    SERVED_TX_WORK,
    TX,
    WORK,
    XMIT,
    Ints,
    Sim,
)
from wgprof.model.engine.napi import note_stall, queue_of, ready_heads
from wgprof.model.engine.nic import allocate, arrive, hand_off, release
from wgprof.model.engine.running import distance, end_work, hop, place, serve, spend, start, wake_thread
from wgprof.model.engine.sources import lost

#: Hand-offs that are sent as one step; only how often the simulator looks depends on it.
TOGETHER = 8


@inlined
def to_send(s: Sim, kicks: Ints, tunnel: int, packet: int, now: float) -> None:
    """A list of segments for the application's thread to send, which the scheduler wakes if it sleeps."""
    p = s.p[0]
    if packet < 0:
        return
    if length(s, p.sockets + tunnel) >= p.nic_limit:
        s.counts[C_DROP_NIC] += s.packets[packet].segments
        lost(s, packet, now)
        release(s, packet)
        return
    push(s, p.sockets + tunnel, packet)
    source = s.sources[tunnel]
    if source.awake:
        return
    source.awake = 1
    source.cpu = place(s, source.cpu)
    wake_thread(s, kicks, source.cpu, p.rings + p.tunnels + tunnel)


@compiled
def start_xmit(s: Sim, c: int, tunnel: int, now: float) -> bool:
    """The thread's next list, with the inline module all of its way; False if there is none and it sleeps."""
    p = s.p[0]
    if length(s, p.sockets + tunnel) == 0:
        s.cpus[c].work = -1
        s.sources[tunnel].awake = 0
        return False
    packet = s.packets[peek(s, p.sockets + tunnel, 0)]
    own = p.write * packet.segments
    spend(s, c, BUSY_ENDS, own)
    if p.inline:
        lasts = transmit_ns(s, c, packet)
    else:
        lasts = p.stage + p.segment * packet.segments
        spend(s, c, BUSY_XMIT, lasts)
        spend(s, c, BUSY_HANDOFF, p.handoff)
        lasts += p.handoff
    start(s, c, now, WORK, XMIT, tunnel, 1, -1, own + lasts)
    return True


@inlined
def finish_xmit(s: Sim, kicks: Ints, c: int, packet: int, now: float) -> None:
    """The list is handed over, or with the inline module has left."""
    if s.p[0].inline:
        send(s, kicks, c, packet, now)
    else:
        hand_off(s, kicks, c, packet, now)


@compiled
def start_send(s: Sim, c: int, tunnel: int, now: float) -> bool:
    """Send the heads that are ready; False if there are none and the work item ends.

    In a loop it is a segment at a time: rcu_read_unlock_bh() after each lets the softirqs of the other end run.
    """
    p = s.p[0]
    n = ready_heads(s, TX, tunnel, 1 if p.loop else TOGETHER)
    if n == 0:
        end_work(s, c)
        return False
    lasts, ended = 0.0, n
    for head in range(n):
        packet = s.packets[peek(s, queue_of(s, TX, tunnel), head)]
        segments = 1 if p.loop else packet.segments
        if p.loop and packet.segments > 1:
            ended = 0
        own = service_ns(s, SENDING, tunnel, packet.number, segments)
        lasts += own * distance(s, c, packet) + hop(s, c, packet) * segments
    spend(s, c, BUSY_SEND, lasts)
    spend(s, c, BUSY_HANDOFF, p.consume * ended)
    lasts += p.consume * ended
    serve(s, SERVED_TX_WORK, lasts)
    start(s, c, now, WORK, SEND, tunnel, n, -1, lasts)
    return True


@compiled
def finish_send(s: Sim, kicks: Ints, c: int, tunnel: int, n: int, now: float) -> None:
    """The hand-offs leave; in a loop a segment arrives."""
    fifo = queue_of(s, TX, tunnel)
    if s.p[0].loop:
        head = s.packets[peek(s, fifo, 0)]
        if head.segments > 1:
            s.counts[C_SENT] += 1
            arrive(s, kicks, c, allocate(s, tunnel, RX, head.number, 1, head.born), now)
            head.number += 1
            head.segments -= 1
            return
    note_stall(s, TX, tunnel, now)
    for _ in range(n):
        send(s, kicks, c, pop(s, fifo), now)
