"""Traffic: one source a tunnel, offering at a rate (open) or keeping a window in flight (closed)."""

from __future__ import annotations

from wgprof.model.engine.clock import set_time, time_of
from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.fifos import length, pop, push, slot
from wgprof.model.engine.layout import Sim

#: CUBIC's multiplicative decrease (RFC 9438, section 4.6); the increase is Reno's, one packet a round trip.
DECREASE = 0.7


@inlined
def acknowledge(s: Sim, tunnel: int, n: int, now: float) -> None:
    """n packets were delivered or lost: the sender knows one round trip later."""
    p = s.p[0]
    if not p.closed:
        return
    fifo = p.acks + tunnel
    time = now + p.rtt
    under_way = length(s, fifo)
    if under_way > 0:
        last = slot(s, fifo, under_way - 1)
        # Acks of one moment are one; if the list were full the last would take them too.
        if s.times[last - s.fifos[p.acks].base] == time or under_way == s.fifos[fifo].size:
            s.slots[last] += n
            return
    push(s, fifo, n)
    s.times[slot(s, fifo, under_way) - s.fifos[p.acks].base] = time
    if under_way == 0 and time < time_of(s, p.cpus + tunnel):
        set_time(s, p.cpus + tunnel, time)


@inlined
def next_ack(s: Sim, tunnel: int) -> float:
    """When the next acknowledgement arrives; there must be one."""
    p = s.p[0]
    return float(s.times[slot(s, p.acks + tunnel, 0) - s.fifos[p.acks].base])


@inlined
def lost(s: Sim, packet: int, now: float) -> None:
    """A packet was dropped: the window shrinks, at most once a round trip; the packet is sent anew."""
    p = s.p[0]
    tunnel = s.packets[packet].tunnel
    source = s.sources[tunnel]
    if p.closed and now >= source.recover:
        source.window = max(source.window * DECREASE, 2.0 * p.gso)
        # A round trip through the queues: what is in flight now has left by then.
        source.recover = now + p.rtt + (now - s.packets[packet].born)
    acknowledge(s, tunnel, s.packets[packet].segments, now)


@compiled
def collect_acks(s: Sim, tunnel: int, now: float) -> None:
    """Take what has been acknowledged by now out of flight; the window grows by a packet a round trip."""
    source = s.sources[tunnel]
    fifo = s.p[0].acks + tunnel
    while length(s, fifo) > 0 and next_ack(s, tunnel) <= now:
        n = pop(s, fifo)
        source.flight -= n
        source.window = min(source.window + n / source.window, s.p[0].window)
