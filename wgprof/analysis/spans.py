"""The window cut into spans of time of about equal length, in which busy time and packets are added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.tables import BoolArray, FloatArray, IntArray, Tables, ints, only
from wgprof.analysis.window import Window, packets_by_interval

#: Long against queues and scheduling, short enough for an interval from a recording of ten seconds.
SPAN_NS = 1_000_000_000


@dataclass(frozen=True)
class Spans:
    """Spans of whole intervals.  Intervals in which no interface moved a byte belong to none."""

    starts_ns: IntArray  # of the intervals that count, sorted
    span_of: IntArray  # the span of each of them
    seconds: FloatArray  # counted time in each span
    end_ns: int  # of the last of them
    idle_s: float  # time inside the window in which nothing moved

    def __len__(self) -> int:
        return int(self.seconds.size)

    def find(self, t_ns: IntArray) -> IntArray:
        """The span of each interval that begins at `t_ns`; -1 where it belongs to none."""
        if not self.starts_ns.size:
            return np.full(t_ns.size, -1, dtype=np.int64)
        place = np.clip(np.searchsorted(self.starts_ns, t_ns, side="right") - 1, 0, None)
        known = self.starts_ns[place] == t_ns
        return np.where(known, self.span_of[place], -1)

    def at(self, t_ns: IntArray) -> IntArray:
        """The span that each moment lies in; -1 outside of them."""
        if not self.starts_ns.size:
            return np.full(t_ns.size, -1, dtype=np.int64)
        place = np.searchsorted(self.starts_ns, t_ns, side="right").astype(np.int64) - 1
        return np.where((place >= 0) & (t_ns < self.end_ns), self.span_of[np.clip(place, 0, None)], -1)

    def total(self, frame: pd.DataFrame, *columns: str) -> FloatArray:
        """The sum of some columns in each span."""
        return self.by(frame, None, *columns).get(0, np.zeros(len(self)))

    def by(self, frame: pd.DataFrame, key: str | None, *columns: str) -> dict[int, FloatArray]:
        """Sums of some columns by an integer column and span: {key: one value a span}."""
        span = self.find(ints(frame, "t_ns"))
        known = span >= 0
        values = np.sum([ints(frame, column) for column in columns], axis=0)[known].astype(np.float64)
        keys = ints(frame, key)[known] if key else np.zeros(int(np.count_nonzero(known)), dtype=np.int64)
        names, place = np.unique(keys, return_inverse=True)
        sums = np.bincount(place * len(self) + span[known], weights=values, minlength=names.size * len(self))
        return dict(zip(names.tolist(), sums.reshape(names.size, len(self)), strict=True)) if names.size else {}


def spans_of(recording: Tables, window: Window, span_ns: int = SPAN_NS) -> Spans:
    """Cut the window.  The last span takes what is left over, so that none is short."""
    intervals = recording.table("intervals")
    t_ns = ints(intervals, "t_ns")
    order = np.argsort(t_ns)
    starts, lengths = t_ns[order], ints(intervals, "dt_ns")[order]
    inside = (starts >= window.start_ns) & (starts < window.end_ns)
    counts = inside & _moved(recording, starts)
    starts_ns = starts[counts]
    length_ns = window.end_ns - window.start_ns
    # Not more spans than intervals, however far apart a damaged recording says that these are.
    count = max(1, min(length_ns // span_ns, int(np.count_nonzero(inside))))
    width_ns = span_ns if length_ns < 2 * count * span_ns else length_ns // count
    span = np.clip((starts_ns - window.start_ns) // width_ns, 0, count - 1)
    seconds = np.bincount(span, weights=lengths[counts] / 1e9, minlength=int(count)).astype(np.float64)
    end_ns = int((starts + lengths)[counts].max(initial=0))
    return Spans(starts_ns, span, seconds, end_ns, float(lengths[inside & ~counts].sum() / 1e9))


def _moved(recording: Tables, starts: IntArray) -> BoolArray:
    """In which intervals packets flowed: by the byte counters of WireGuard's interfaces, or, without those, by stage.

    Counters of interfaces that were not read say nothing, so only those of the recording's own devices count.
    """
    objects, interfaces = recording.table("objects"), recording.table("interfaces")
    devices = only(objects, kind="device")
    mine = interfaces[
        interfaces["netns"].isin(devices["netns"]) & interfaces["name"].astype(str).isin(devices["name"].astype(str))
    ]
    if not len(mine):
        return packets_by_interval(starts, recording.table("stages")) > 0
    moved = mine[(ints(mine, "rx_bytes") > 0) | (ints(mine, "tx_bytes") > 0)]
    return np.isin(starts, ints(moved, "t_ns"))
