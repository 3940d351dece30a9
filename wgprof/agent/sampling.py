"""How many packets have their journey recorded: one in N, N chosen to keep to an event budget.

N is 1 or 7 * 2^k, so that a coarser N only ever takes a part of what a finer one took, and so that
it shares no factor with the usual sizes of segmentation batches.
"""

from __future__ import annotations

from typing import Optional

BUDGET_EVENTS_PER_S = 10_000
INITIAL = 28
COARSEST = 7 << 20
#: N is not changed more often than this to a coarser, and this to a finer value.
COARSER_AFTER_NS = 1_000_000_000
FINER_AFTER_NS = 5_000_000_000


def choose(events_per_s: float) -> int:
    """The finest N that keeps `events_per_s` (as if every packet were sampled) within the budget."""
    wanted = events_per_s / BUDGET_EVENTS_PER_S
    if wanted <= 1:
        return 1
    every = 7
    while every < wanted and every < COARSEST:
        every *= 2
    return every


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
        every = choose((packets - before) * 1e9 / (now_ns - then))
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
