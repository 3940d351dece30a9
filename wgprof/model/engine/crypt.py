"""Crypt workers: on every CPU one work item a ring, which runs until the ring is empty."""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.draws import service_ns
from wgprof.model.engine.fifos import length, pop
from wgprof.model.engine.layout import (
    BUSY_DECRYPT,
    BUSY_ENCRYPT,
    BUSY_HANDOFF,
    BUSY_SPIN,
    C_EMPTY_WORKS,
    CONSUME,
    CRYPT,
    DECRYPT,
    ENCRYPT,
    RX,
    SERVED_DECRYPT,
    SERVED_ENCRYPT,
    WORK,
    Ints,
    Sim,
)
from wgprof.model.engine.running import distance, end_work, hop, queue_work, schedule_napi, serve, spend, spin, start


@inlined
def crypt_ns(s: Sim, c: int, packet: int) -> float:
    """Time to encrypt or decrypt a hand-off on a CPU."""
    held = s.packets[packet]
    if held.direction == RX:
        lasts = service_ns(s, DECRYPT, held.tunnel, held.number, 1) * distance(s, c, held) + hop(s, c, held)
        spend(s, c, BUSY_DECRYPT, lasts)
        serve(s, SERVED_DECRYPT, lasts)
    else:
        lasts = service_ns(s, ENCRYPT, held.tunnel, held.number, held.segments) * distance(s, c, held)
        lasts += hop(s, c, held) * held.segments
        spend(s, c, BUSY_ENCRYPT, lasts)
        serve(s, SERVED_ENCRYPT, lasts)
    return lasts


@compiled
def start_crypt(s: Sim, c: int, ring_number: int, now: float) -> None:
    """Consume from the ring under its lock, then work on the packet.

    The unlock runs softirqs that are pending on this CPU: then the packet waits, taken and not decrypted
    (ptr_ring_consume_bh).
    """
    cpu, p = s.cpus[c], s.p[0]
    if cpu.held >= 0:
        packet = cpu.held
        cpu.held = -1
        lasts = crypt_ns(s, c, packet)
        if ring_number % 2 == RX:
            spend(s, c, BUSY_HANDOFF, p.unlock)
            serve(s, SERVED_DECRYPT, p.unlock)
            lasts += p.unlock
        start(s, c, now, WORK, CRYPT, ring_number, 1, packet, lasts)
        return
    ring = s.rings[ring_number]
    waited = spin(ring.consume_free, now)
    locked = waited + p.hold + (p.transfer if ring.consumed_on != c else 0.0)
    ring.consume_free = now + locked
    ring.consumed_on = c
    spend(s, c, BUSY_SPIN, waited)
    locked += p.consume
    spend(s, c, BUSY_HANDOFF, locked - waited)
    serve(s, SERVED_DECRYPT if ring_number % 2 == RX else SERVED_ENCRYPT, locked)
    if length(s, p.ring_queues + ring_number) == 0:
        start(s, c, now, WORK, CONSUME, ring_number, 0, -1, locked)
        return
    taken = pop(s, p.ring_queues + ring_number)
    if length(s, c) > 0:
        start(s, c, now, WORK, CONSUME, ring_number, 1, taken, locked)
    else:
        start(s, c, now, WORK, CRYPT, ring_number, 1, taken, locked + crypt_ns(s, c, taken))


@inlined
def finish_consume(s: Sim, c: int, packet: int) -> None:
    """The ring was empty and the work item ends; or softirqs come first and the packet is held."""
    cpu = s.cpus[c]
    if packet < 0:
        s.counts[C_EMPTY_WORKS] += 0 if cpu.moved else 1
        end_work(s, c)
    else:
        cpu.held = packet


@inlined
def finish_crypt(s: Sim, kicks: Ints, c: int, packet: int, now: float) -> None:
    """The packet is ready: the peer's NAPI is scheduled here, or its transmit work on the peer's own CPU."""
    held = s.packets[packet]
    s.cpus[c].moved = 1
    held.ready = 1
    held.cpu = c
    held.done_at = now
    if held.direction == RX:
        schedule_napi(s, kicks, c, held.tunnel)
    else:
        p = s.p[0]
        queue_work(s, kicks, c, p.rings + held.tunnel, s.peers[p.tunnels + held.tunnel].cpu)
