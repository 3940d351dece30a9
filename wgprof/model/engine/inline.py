"""Run to completion: what the inline module does in the context of the NIC's NAPI and of wg_xmit."""

from __future__ import annotations

from wgprof.model.engine.compiled import compiled, inlined
from wgprof.model.engine.delivery import deliver, send, supers
from wgprof.model.engine.draws import service_ns
from wgprof.model.engine.fifos import length, peek, pop
from wgprof.model.engine.layout import (
    BUSY_DECRYPT,
    BUSY_DELIVER,
    BUSY_ENCRYPT,
    BUSY_RECEIVE,
    BUSY_SEND,
    BUSY_XMIT,
    C_POLLS,
    DECRYPT,
    DELIVER,
    ENCRYPT,
    INLINE,
    RECEIVE,
    RX,
    SENDING,
    SERVED_RX_INLINE,
    SERVED_TX_INLINE,
    SOFTIRQ,
    Ints,
    Records,
    Sim,
)
from wgprof.model.engine.reading import to_read
from wgprof.model.engine.running import serve, spend, start


@inlined
def transmit_ns(s: Sim, c: int, packet: Records) -> float:
    """What a list takes from wg_xmit to the wire."""
    p, n = s.p[0], packet.segments
    xmit = p.stage + p.segment * n
    encrypt = service_ns(s, ENCRYPT, packet.tunnel, packet.number, n)
    sending = service_ns(s, SENDING, packet.tunnel, packet.number, n)
    spend(s, c, BUSY_XMIT, xmit)
    spend(s, c, BUSY_ENCRYPT, encrypt)
    spend(s, c, BUSY_SEND, sending)
    lasts = xmit + encrypt + sending
    serve(s, SERVED_TX_INLINE, lasts)
    return float(lasts)


@compiled
def start_inline(s: Sim, c: int, queue: int, now: float) -> None:
    """The packets of one direction at the head of the NIC queue, within the NAPI's budget.

    Received packets are decrypted one by one into this CPU's cell, whose own poll then delivers them together, so
    its set-up comes once and GRO sees a batch.  A list to be sent is one step of its own.
    """
    p = s.p[0]
    fifo = p.nics + queue
    first = s.packets[peek(s, fifo, 0)]
    if first.direction != RX:
        start(s, c, now, SOFTIRQ, INLINE, queue, 1, -1, transmit_ns(s, c, first))
        return
    n, run, before = 0, 0, -1
    receive, decrypt, delivery = 0.0, 0.0, p.poll_setup
    limit = min(length(s, fifo), p.budget - s.napis[p.tunnels + queue].done)
    while n < limit:
        packet = s.packets[peek(s, fifo, n)]
        if packet.direction != RX:
            break
        if packet.tunnel != before and run > 0:
            delivery += p.stack * supers(s, run)
            run = 0
        before = packet.tunnel
        run += 1
        receive += service_ns(s, RECEIVE, packet.tunnel, packet.number, 1)
        decrypt += service_ns(s, DECRYPT, packet.tunnel, packet.number, 1)
        delivery += service_ns(s, DELIVER, packet.tunnel, packet.number, 1)
        n += 1
    delivery += p.stack * supers(s, run)
    spend(s, c, BUSY_RECEIVE, receive)
    spend(s, c, BUSY_DECRYPT, decrypt)
    spend(s, c, BUSY_DELIVER, delivery)
    serve(s, SERVED_RX_INLINE, receive + decrypt + delivery)
    s.counts[C_POLLS] += 1
    start(s, c, now, SOFTIRQ, INLINE, queue, n, -1, receive + decrypt + delivery)


@compiled
def finish_inline(s: Sim, kicks: Ints, c: int, queue: int, n: int, now: float) -> None:
    """Deliver or send all of them."""
    run, before = 0, -1
    for _ in range(n):
        packet = pop(s, s.p[0].nics + queue)
        if s.packets[packet].direction != RX:
            send(s, kicks, c, packet, now)
            continue
        tunnel = s.packets[packet].tunnel
        if tunnel != before and run > 0:
            to_read(s, kicks, before, supers(s, run))
            run = 0
        before = tunnel
        run += 1
        deliver(s, c, packet, now)
    if run > 0:
        to_read(s, kicks, before, supers(s, run))
