"""Where packets end: in the receiver's stack, or on the wire."""

from __future__ import annotations

import numpy as np

from wgprof.model.engine.compiled import inlined
from wgprof.model.engine.layout import BUCKETS, C_PACKETS, C_SENT, COUNTER_KINDS, OCTAVE, RX, Ints, Sim
from wgprof.model.engine.nic import allocate, arrive, release
from wgprof.model.engine.sources import acknowledge


@inlined
def count_delivered(s: Sim, c: int, tunnel: int, n: int, latency_ns: float) -> None:
    """Count packets that have gone all their way."""
    s.counts[C_PACKETS] += n
    s.napis[tunnel].delivered += n
    s.cpus[c].delivered += n
    s.p[0].latency_sum += n * latency_ns
    bucket = int(np.log2(max(latency_ns, 1.0)) * OCTAVE)
    s.counts[COUNTER_KINDS + min(bucket, BUCKETS - 1)] += n


@inlined
def deliver(s: Sim, c: int, packet: int, now: float) -> None:
    """A decrypted packet reaches the stack."""
    held = s.packets[packet]
    count_delivered(s, c, held.tunnel, 1, now - held.born)
    acknowledge(s, held.tunnel, 1, now)
    release(s, packet)


@inlined
def send(s: Sim, kicks: Ints, c: int, packet: int, now: float) -> None:
    """Encrypted segments leave: to the wire, or in a loop to this CPU's own receive queue."""
    held = s.packets[packet]
    n = held.segments
    s.counts[C_SENT] += n
    if s.p[0].loop:
        # As a veth pair does: each segment becomes a received packet of the other end, on the same CPU.
        tunnel, number, born = held.tunnel, held.number, held.born
        release(s, packet)
        for segment in range(n):
            arrive(s, kicks, c, allocate(s, tunnel, RX, number + segment, 1, born), now)
        return
    count_delivered(s, c, held.tunnel, n, now - held.born)
    acknowledge(s, held.tunnel, n, now)
    release(s, packet)


@inlined
def supers(s: Sim, packets: int) -> int:
    """How many packets GRO makes of that many of one tunnel: one a flow, none larger than 64 KB."""
    p = s.p[0]
    return int(max(min(packets, p.flows), (packets + p.super - 1) // p.super))
