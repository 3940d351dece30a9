"""Which packets have their journey recorded: one in N, N chosen to keep to a budget of events.

An event costs about as much as half a probe, so where packets are few and dear they, not the budget, are what it should
be small beside: more than one packet in SPARE is taken only as long as half of the budget allows.

A packet is sampled if its nonce times 2^32 divided by the golden ratio, modulo 2^32, is below 2^32 / N.  That spreads
the samples evenly, also over whatever goes round: CPUs that get work items in turn, batches of a fixed size.  A
coarser N only ever takes a part of what a finer one took, so that two ends agree whatever their Ns.
"""

from __future__ import annotations

from typing import Optional, Tuple

BUDGET_EVENTS_PER_S = 10_000
SPARE = 8
SPARE_EVENTS_PER_S = 5_000
INITIAL = 32
COARSEST = 1 << 22
#: What a recording calls this rule; before it, nonces were taken that N divides.
RULE = "golden"
#: 2^32 divided by the golden ratio; SAMPLE_STEP of probes/state.h.
STEP = 2654435769
MODULUS = 1 << 32
#: N is not changed more often than this to a coarser, and this to a finer value.
COARSER_AFTER_NS = 1_000_000_000
FINER_AFTER_NS = 5_000_000_000


def sample_below(every: int) -> int:
    """The bound that takes one nonce in `every`, from 1; 0 takes none."""
    return -(-MODULUS // every) if every > 0 else 0


def distances(every: int) -> Tuple[int, int, int, int]:
    """From one sampled nonce to the next: nonces, and what they add to the multiple; nonces, and what they take away.

    A sampled nonce is followed by the first where that stays below the bound, else by the second where that stays
    above zero, else by the sum of both (the three distance theorem, Sos 1958).
    """
    below = sample_below(every)
    if every == 1:
        return 1, 0, 1, 0
    up, up_by, down, down_by = 1, STEP, 1, MODULUS - STEP
    while max(up_by, down_by) >= below:
        if up_by > down_by:
            up, up_by = up + down, up_by - down_by
        else:
            down, down_by = up + down, down_by - up_by
    return up, up_by, down, down_by


def choose(events_per_s: float, every: int = 1) -> int:
    """The finest N that keeps `events_per_s` (as if every packet were sampled) within the budget of that N.

    `every`, a power of two, is where the search begins: hardly ever is it another N than before.
    """
    while every < COARSEST and events_per_s / every > budget(every):
        every *= 2
    while every > 1 and events_per_s / (every // 2) <= budget(every // 2):
        every //= 2
    return every


def budget(every: int) -> int:
    """Events a second that one packet in N may become."""
    return BUDGET_EVENTS_PER_S if every >= SPARE else SPARE_EVENTS_PER_S


class Sampler:
    """Adapts N to the traffic, unless the user chose it."""

    def __init__(self, fixed: int) -> None:
        self._fixed = fixed > 0
        self.every = fixed if self._fixed else INITIAL
        self._last_packets: Optional[int] = None
        self._last_ns = 0
        self._changed_ns: Optional[int] = None

    def next(self, packets: int, now_ns: int) -> Optional[int]:
        """A new N, or None to keep it; `packets` is the running total over all stages."""
        before, then = self._last_packets, self._last_ns
        self._last_packets, self._last_ns = packets, now_ns
        if self._fixed or before is None or packets <= before or now_ns <= then:
            return None
        every = choose((packets - before) * 1e9 / (now_ns - then), self.every)
        if every == self.every:
            return None
        if self._changed_ns is not None:
            patience = COARSER_AFTER_NS if every > self.every else FINER_AFTER_NS
            # Twice the budget is tolerated for a while, so that N does not flutter.
            if now_ns - self._changed_ns < patience or every * 2 == self.every:
                return None
        self._changed_ns = now_ns
        self.every = every
        return every
