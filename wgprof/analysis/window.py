"""The part of a recording in which packets flowed.

Averages over idle time say nothing about a bottleneck, so the idle edges of a recording are cut
off before anything is averaged.  Counts that must balance are taken over the whole recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.tables import IntArray, ints

#: An interval is idle when it has fewer packets than this share of the busiest one.  A keepalive or a ping
#: before the traffic must not stretch the window.
_IDLE_SHARE = 0.01


@dataclass(frozen=True)
class Window:
    """From the first to the last interval with traffic, in a longer recording.  Times in the recording's clock."""

    start_ns: int
    end_ns: int
    recorded_start_ns: int
    recorded_end_ns: int

    @property
    def duration_s(self) -> float:
        """Length of the window."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def recorded_s(self) -> float:
        """Length of the whole recording."""
        return (self.recorded_end_ns - self.recorded_start_ns) / 1e9

    @property
    def offset_s(self) -> float:
        """Start of the window after the start of the recording."""
        return (self.start_ns - self.recorded_start_ns) / 1e9

    @property
    def trimmed(self) -> bool:
        """Whether anything was cut off."""
        return self.start_ns > self.recorded_start_ns or self.end_ns < self.recorded_end_ns


def active_window(intervals: pd.DataFrame, stages: pd.DataFrame) -> Window | None:
    """The window in which packets flowed; None when none did."""
    starts = np.sort(ints(intervals, "t_ns"))
    if not starts.size:
        return None
    packets = packets_by_interval(starts, stages)
    busiest = int(packets.max())
    if busiest <= 0:
        return None
    active = np.flatnonzero(packets >= max(1.0, _IDLE_SHARE * busiest))
    ends = np.sort(ints(intervals, "t_ns") + ints(intervals, "dt_ns"))
    return Window(int(starts[active[0]]), int(ends[active[-1]]), int(starts[0]), int(ends[-1]))


def packets_by_interval(starts: IntArray, stages: pd.DataFrame) -> IntArray:
    """Packets that passed any stage in each of the intervals that begin at `starts` (sorted)."""
    slots = np.searchsorted(starts, ints(stages, "t_ns"), side="right") - 1
    known = slots >= 0
    packets = np.zeros(starts.size, dtype=np.int64)
    np.add.at(packets, slots[known], ints(stages, "packets")[known])
    return packets
