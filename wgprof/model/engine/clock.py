"""What happens next: a tournament of the times at which CPUs and sources act.

Each has one leaf; a parent holds the earlier of its two children, the left one in a tie.  Setting a time costs
one comparison a level, and taking one back is setting it to infinity, so suspending a step leaves nothing behind.
"""

from __future__ import annotations

import numpy as np

from wgprof.model.engine.compiled import entry, inlined
from wgprof.model.engine.layout import Floats, Sim

NEVER = np.inf


@inlined
def set_time(s: Sim, leaf: int, time: float) -> None:
    """Let a CPU or source act at a time, or at NEVER."""
    tree = s.tree
    node = s.p[0].leaves + leaf
    tree[node].time = time
    node >>= 1
    while node:
        left = 2 * node
        first = left if tree[left].time <= tree[left + 1].time else left + 1
        tree[node].time = tree[first].time
        tree[node].leaf = tree[first].leaf
        node >>= 1


@inlined
def time_of(s: Sim, leaf: int) -> float:
    """When a CPU or source acts."""
    return float(s.tree[s.p[0].leaves + leaf].time)


@entry
def set_times(s: Sim, first: int, times: Floats) -> None:
    """`set_time` of consecutive leaves, for Python."""
    for number in range(times.size):
        set_time(s, first + number, times[number])
