"""Sampled packets that only one end has: lost on the way, or not looked for?

Both ends take a packet by its nonce and their N, so a packet that the receiver would
have sampled and has not was lost between them, if the receiver was recording at that time and lost
no events of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.offset import Offset
from wgprof.analysis.pairing import End, Halves
from wgprof.analysis.tables import BoolArray, IntArray

#: So close to an edge of the other end's recording nothing can be said.  Longer than packets are on their way.
_EDGE_NS = 1_000_000_000


@dataclass(frozen=True)
class OneEnded:
    """Sampled packets that the other end does not have, by reason."""

    not_sampled: int  # an N it had within a second of that time does not take the nonce
    outside: int  # it was not recording, or within a second of beginning or ending
    undecided: int  # it lost events or missed probe runs
    missing: int  # none of these


@dataclass(frozen=True)
class Seen:
    """Sampled packets of one direction by who saw them.

    `only_sender.missing` were lost on the way: in the network, or in the receiver before WireGuard.  `loss` is
    their share.  `only_receiver.missing` are events that the sender ought to have.
    """

    both: int
    only_sender: OneEnded
    only_receiver: OneEnded
    loss: float | None  # None when there is no packet to judge by


class Missing:
    """Where the packets that only one end has belong."""

    def __init__(self, halves: Halves, offset: Offset, to_second: bool) -> None:
        sender, receiver = halves.sender, halves.receiver
        forth, back = (
            (offset.on_second_ns, offset.on_first_ns) if to_second else (offset.on_first_ns, offset.on_second_ns)
        )
        self._sent = _Alone(sender, sender.sent, halves.sent)
        self._sent.judge(receiver, forth(sender.journeys.end_ns[2, self._sent.rows]))
        self._received = _Alone(receiver, receiver.received, halves.received)
        self._received.judge(sender, back(receiver.journeys.start_ns[0, self._received.rows]))

    def seen(self, both: int, senders: list[int], receivers: list[int]) -> Seen:
        """The counts for some peers."""
        sent, received = self._sent.counts(senders), self._received.counts(receivers)
        decided = both + sent.missing
        return Seen(both, sent, received, sent.missing / decided if decided else None)


class _Alone:
    def __init__(self, end: End, candidates: IntArray, matched: IntArray) -> None:
        alone = np.zeros(len(end.journeys), dtype=bool)
        alone[candidates] = True
        alone[matched] = False
        self.rows = np.flatnonzero(alone)
        self._object = end.journeys.object[self.rows]
        self._nonce = end.journeys.nonce[self.rows]
        self._reasons: list[BoolArray] = []

    def judge(self, other: End, other_ns: IntArray) -> None:
        """`other_ns` is when the other end must have had them, on its clock."""
        outside = (other_ns < other.start_ns + _EDGE_NS) | (other_ns > other.end_ns - _EDGE_NS)
        not_sampled = ~outside & other.sampling.changed_for(self._nonce, other_ns, other_ns)
        rest = ~outside & ~not_sampled
        lossy = np.full(self.rows.size, other.lossy)
        self._reasons = [not_sampled, outside, rest & lossy, rest & ~lossy]

    def counts(self, peers: list[int]) -> OneEnded:
        mine = np.isin(self._object, peers)
        return OneEnded(*(int(np.count_nonzero(mine & reason)) for reason in self._reasons))
