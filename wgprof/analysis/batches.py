"""What a poll takes by how many packets it delivers, and so what a NAPI needs for a packet when its polls are full.

The last packet of a poll carries what is done once for all of them: GRO is flushed, and the stack takes over.  So a
packet is the cheaper the more of them a poll delivers, and a NAPI that is at its limit delivers many: a cap from a
load at which it delivers one a poll is a lower bound.  Polls are told apart by journeys: inside a poll a packet's
delivery begins where the one before it ended.  Only polls all of whose packets were sampled say how many they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.estimate import Estimate
from wgprof.analysis.journeys import Journeys, Sampling
from wgprof.analysis.tables import FloatArray
from wgprof.analysis.window import Window

#: NAPI_POLL_WEIGHT, include/linux/netdevice.h: packets a poll may deliver.
BUDGET = 64
#: Half of it: a NAPI that is at its limit.
NEAR_BUDGET = BUDGET / 2
_DELIVER = 2
#: Of one packet, and of several: with fewer, chance decides.
_LEAST_POLLS = 30
#: Standard errors of an interval of 95 %.
_NORMAL = 1.96


@dataclass(frozen=True)
class PollCost:
    """Delivery in the polls of one peer's NAPI of which every packet was sampled."""

    object: int
    polls: int
    several: int  # of them, polls of more than one packet
    first_ns: float  # mean of the polls of one packet
    further_ns: Estimate  # what each further packet adds: the median over polls of several

    def packet_ns(self, packets: int, besides_ns: float = 0.0) -> Estimate:
        """Time a packet in polls of so many, if each further one adds the same; `besides_ns` a packet is added."""
        once_ns = self.first_ns / packets + besides_ns
        each, share = self.further_ns, (packets - 1) / packets
        low, high = (None if end is None else once_ns + share * end for end in (each.low, each.high))
        return Estimate(once_ns + share * each.value, low, high, each.n)


def poll_costs(journeys: Journeys, sampling: Sampling, window: Window) -> dict[int, PollCost]:
    """By peer; of those without polls enough, nothing."""
    found = {peer: _cost(journeys, sampling, window, peer) for peer in journeys.peers("rx")}
    return {peer: cost for peer, cost in found.items() if cost is not None}


def _cost(journeys: Journeys, sampling: Sampling, window: Window, peer: int) -> PollCost | None:
    rows = journeys.rows_of("rx", [peer])
    begun, ended = journeys.start_ns[_DELIVER, rows], journeys.end_ns[_DELIVER, rows]
    counts = journeys.seen[_DELIVER, rows] & (ended >= window.start_ns) & (ended < window.end_ns)
    order = np.argsort(ended[counts], kind="stable")
    begun, ended = begun[counts][order], ended[counts][order]
    if not ended.size:
        return None
    first = np.flatnonzero(np.append(True, begun[1:] != ended[:-1]))
    last = np.append(first[1:], ended.size) - 1
    packets, time_ns = last - first + 1, (ended[last] - begun[first]).astype(np.float64)
    whole = sampling.takes_all(begun[first]) & sampling.takes_all(ended[last])
    one, several = whole & (packets == 1), whole & (packets > 1)
    if min(np.count_nonzero(one), np.count_nonzero(several)) < _LEAST_POLLS:
        return None
    further = _median((time_ns[several] - np.median(time_ns[one])) / (packets[several] - 1))
    if further.low is None or further.low <= 0:
        return None  # packets differ so much that those which came alone say nothing of the others
    number, of_several = (int(np.count_nonzero(kind)) for kind in (whole, several))
    return PollCost(peer, number, of_several, float(time_ns[one].mean()), further)


def _median(values: FloatArray) -> Estimate:
    """With the interval between order statistics, which asks for no distribution (Thompson 1936)."""
    ordered = np.sort(values)
    half = _NORMAL * np.sqrt(ordered.size) / 2
    low, high = int(np.floor(ordered.size / 2 - half)), int(np.ceil(ordered.size / 2 + half))
    return Estimate(
        float(np.median(ordered)),
        float(ordered[max(low, 0)]),
        float(ordered[min(high, ordered.size - 1)]),
        ordered.size,
    )
