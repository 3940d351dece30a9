"""A peer's transmit work: one at a time, in order, without a budget (wg_packet_tx_worker)."""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled
from wgprof.model.engine.delivery import send
from wgprof.model.engine.draws import service_ns
from wgprof.model.engine.fifos import peek, pop
from wgprof.model.engine.layout import BUSY_HANDOFF, BUSY_SEND, SEND, SENDING, SERVED_TX_WORK, TX, WORK, Ints, Sim
from wgprof.model.engine.napi import note_stall, queue_of, ready_heads
from wgprof.model.engine.running import distance, hop, serve, spend, start

#: Hand-offs that are sent as one step; only how often the simulator looks depends on it.
TOGETHER = 8


@compiled
def start_send(s: Sim, c: int, tunnel: int, now: float) -> bool:
    """Send the heads that are ready; False if there are none and the work item ends."""
    n = ready_heads(s, TX, tunnel, TOGETHER)
    if n == 0:
        s.cpus[c].work = -1
        return False
    lasts = 0.0
    for head in range(n):
        packet = s.packets[peek(s, queue_of(s, TX, tunnel), head)]
        own = service_ns(s, SENDING, tunnel, packet.number, packet.segments)
        lasts += own * distance(s, c, packet) + hop(s, c, packet) * packet.segments
    spend(s, c, BUSY_SEND, lasts)
    spend(s, c, BUSY_HANDOFF, s.p[0].consume * n)
    lasts += s.p[0].consume * n
    serve(s, SERVED_TX_WORK, lasts)
    start(s, c, now, WORK, SEND, tunnel, n, -1, lasts)
    return True


@compiled
def finish_send(s: Sim, kicks: Ints, c: int, tunnel: int, n: int, now: float) -> None:
    """The hand-offs leave."""
    note_stall(s, TX, tunnel, now)
    for _ in range(n):
        send(s, kicks, c, pop(s, queue_of(s, TX, tunnel)), now)
