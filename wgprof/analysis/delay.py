"""The one-way delay of sampled packets, split by step and by side.

A packet's time from entering the sender's first stage to leaving the receiver's last one is cut at
the moments both ends stamped, so the parts of each packet add up to its delay exactly.  A step ends
at the latest when the next one begins: what a stage still does afterwards delays that packet no
more.  So the receiver may begin while the sender's tx.send has not returned (always where the
receiving softirq runs inside the send, as over a veth pair), and the network's part is then zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.offset import MAX_DRIFT, Crossings, Offset
from wgprof.analysis.pairing import Halves
from wgprof.analysis.tables import STAGES, WAITS, BoolArray, FloatArray, IntArray
from wgprof.analysis.waits import weighted_quantiles

NETWORK = "network"
SENDER, RECEIVER = "sender", "receiver"
_SEND, _RECEIVE = 2, 3  # among the six stages of a packet's way


@dataclass(frozen=True)
class Part:
    """One step of the way, or all of it; the times are None where the clocks' offset is not decidable."""

    side: str  # sender, network, receiver; empty for the whole way
    step: str
    mean_ns: float | None
    p50_ns: float | None
    p99_ns: float | None
    share: float | None  # of the mean whole


@dataclass(frozen=True)
class Split:
    """The parts in order, and the whole.  `uncertainty_ns` is that of tx.send, the network and the whole.

    It is the largest of any packet.  The other parts lie on one clock.
    """

    packets: int
    parts: tuple[Part, ...]
    whole: Part
    uncertainty_ns: float | None


class Passage:
    """The times of packets that passed all six stages, on the first end's clock, one row a stage."""

    def __init__(self, halves: Halves, offset: Offset, to_second: bool) -> None:
        sender, receiver = halves.sender.journeys, halves.receiver.journeys
        self.whole_way = (
            sender.seen[:, halves.sent].all(axis=0)
            & receiver.seen[:, halves.received].all(axis=0)
            & ~receiver.failed[halves.received]
        )
        halves = halves.where(self.whole_way)
        sent = sender.start_ns[:, halves.sent], sender.end_ns[:, halves.sent]
        received = receiver.start_ns[:, halves.received], receiver.end_ns[:, halves.received]
        if to_second:
            received = offset.on_first_ns(received[0]), offset.on_first_ns(received[1])
        else:
            sent = offset.on_first_ns(sent[0]), offset.on_first_ns(sent[1])
        self.start_ns, self.end_ns = (np.vstack(both) for both in zip(sent, received, strict=True))
        moved_ns = received if to_second else sent
        _, uncertainty_ns, _ = offset.middle_ns(np.vstack([moved_ns[0][0], moved_ns[1][2]]))
        # The uncertainty is that of an offset at a moment; that moment is itself as uncertain.
        self.uncertainty_ns = uncertainty_ns.max(axis=0) / (1 - MAX_DRIFT)
        self.decided = np.isfinite(self.uncertainty_ns)
        self.weights = np.lcm(
            halves.sender.sampling.weights(sender, 0, 2, halves.sent).astype(np.int64),
            halves.receiver.sampling.weights(receiver, 0, 2, halves.received).astype(np.int64),
        ).astype(np.float64)

    def split(self, keep: BoolArray) -> Split:
        """The split over some of the packets; those with a known offset alone, if there are any."""
        comparable = keep & self.decided
        known = bool(comparable.any())
        if known:
            keep = comparable
        start_ns, end_ns = self.start_ns[:, keep], self.end_ns[:, keep]
        weights = self.weights[keep]
        whole_ns = end_ns[-1] - start_ns[0]
        whole = _part("", "one-way delay", whole_ns if known else None, weights, None)
        parts = []
        for number, (side, stage, wait) in enumerate(_WAY):
            between = number == _SEND
            left_ns = end_ns[number]
            if number < len(_WAY) - 1 and (known or not between):
                left_ns = np.minimum(left_ns, start_ns[number + 1])
            parts.append(_part(side, stage, left_ns - start_ns[number], weights, whole.mean_ns))
            if wait:
                waited_ns = np.maximum(start_ns[number + 1] - end_ns[number], 0)
                where = NETWORK if between else side
                parts.append(_part(where, wait, waited_ns if known or not between else None, weights, whole.mean_ns))
        worst = float(self.uncertainty_ns[keep].max()) if known else None
        return Split(int(np.count_nonzero(keep)), tuple(parts), whole, worst)


def _way() -> tuple[tuple[str, str, str], ...]:
    """Side, stage, and what lies between it and the next stage."""
    waits = (*WAITS["tx"], NETWORK, *WAITS["rx"], "")
    stages = [(SENDER, s) for s in STAGES["tx"]] + [(RECEIVER, s) for s in STAGES["rx"]]
    return tuple((side, stage, wait) for (side, stage), wait in zip(stages, waits, strict=True))


_WAY = _way()


def _part(side: str, step: str, values_ns: IntArray | None, weights: FloatArray, whole_ns: float | None) -> Part:
    if values_ns is None or not values_ns.size:
        return Part(side, step, None, None, None, None)
    mean_ns = float(np.average(values_ns, weights=weights))
    p50_ns, p99_ns = weighted_quantiles(values_ns, weights, (0.5, 0.99))
    return Part(side, step, mean_ns, p50_ns, p99_ns, mean_ns / whole_ns if whole_ns else None)


def crossings(halves: Halves, to_second: bool) -> Crossings:
    """What the packets say about the offset: that they began to be received after they began to be sent.

    Not after they had been sent: the receiver may be faster than the return of the sender's function.
    """
    sent_ns = halves.sender.journeys.start_ns[2, halves.sent]
    received_ns = halves.receiver.journeys.start_ns[0, halves.received]
    at_ns, ahead_ns = (sent_ns, received_ns - sent_ns) if to_second else (received_ns, sent_ns - received_ns)
    order = np.argsort(at_ns)
    return Crossings(at_ns[order], ahead_ns[order])
