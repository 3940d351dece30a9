"""In a loop the other end is on this machine too: a thread of each tunnel that receives, and what it acknowledges."""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.layout import (
    BUSY_ENDS,
    READ,
    SERVED_DECRYPT,
    SERVED_ENCRYPT,
    SERVED_NAPI,
    SERVED_RX_INLINE,
    SERVED_TX_INLINE,
    SERVED_TX_WORK,
    WORK,
    Ints,
    Sim,
)
from wgprof.model.engine.running import place, serve, spend, start, wake_thread


@inlined
def to_read(s: Sim, kicks: Ints, tunnel: int, supers: int) -> None:
    """GRO's packets reach the socket of a thread, which the scheduler wakes if it sleeps."""
    p, source = s.p[0], s.sources[tunnel]
    if p.loop == 0 or p.read <= 0.0:
        return
    source.unread += supers
    if source.reading:
        return
    source.reading = 1
    source.reader_cpu = place(s, source.reader_cpu)
    wake_thread(s, kicks, source.reader_cpu, p.readers + tunnel)


@compiled
def start_read(s: Sim, c: int, tunnel: int, now: float) -> bool:
    """The thread reads what there is; False if there is nothing and it sleeps.

    The acknowledgements' way back through the tunnel is a part of the same step, and of the servers' time.
    """
    p, source = s.p[0], s.sources[tunnel]
    n = source.unread
    if n == 0:
        s.cpus[c].work = -1
        source.reading = 0
        return False
    source.unread = 0
    sending, receiving = n * (p.ack_encrypt + p.ack_send), n * (p.ack_decrypt + p.ack_deliver)
    if p.inline:
        serve(s, SERVED_TX_INLINE, sending)
        serve(s, SERVED_RX_INLINE, receiving)
    else:
        serve(s, SERVED_ENCRYPT, n * p.ack_encrypt)
        serve(s, SERVED_TX_WORK, n * p.ack_send)
        serve(s, SERVED_DECRYPT, n * p.ack_decrypt)
        serve(s, SERVED_NAPI, n * p.ack_deliver)
    lasts = n * p.read + sending + receiving
    spend(s, c, BUSY_ENDS, lasts)
    start(s, c, now, WORK, READ, tunnel, n, -1, lasts)
    return True
