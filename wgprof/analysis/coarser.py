"""A recording with longer intervals and fewer sampled packets: as true as the whole, only less fine.

What a screen draws, and what a report carries, must not grow with the recording.  Counts of consecutive intervals are
added up; of the sampled packets those are kept that a larger N would have sampled, which is all that a larger N means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from wgprof.analysis.journeys import Sampling
from wgprof.analysis.selection import Part
from wgprof.analysis.tables import IntArray, Tables, ints
from wgprof.recording.schema import BY_NAME

#: Columns that are not counts of the interval: their largest value holds for intervals together.
_LARGEST = frozenset({"depth_max", "agent_rss_bytes", "tick_late_ns", "backlog", "rx_queue"})
#: What says which row it is; everything else that is a number is added up.
_KEYS = ("t_ns", "cpu", "object", "stage", "server", "queue", "metric", "bucket", "lock", "netns", "name", "port")
_COUNTED = tuple(
    name
    for name in BY_NAME
    if name not in ("stacks", "perf_stat", "log", "intervals")
    and "t_ns" in (column.name for column in BY_NAME[name].columns)
)
_WIDEST = 1 << 62
#: An array of all keys that could be is made if it is at most so many times as long as the table.
_SPARSE = 16
#: Rows that are looked at at once: this many stay in a cache.
_AT_ONCE = 1 << 18


class Coarser:
    """`Tables` of a recording with at most `most_intervals` intervals and about `most_events` rows of journeys."""

    def __init__(self, recording: Tables, most_intervals: int, most_events: int) -> None:
        intervals, self._sampling = recording.table("intervals"), Sampling.of(recording)
        intervals = intervals.iloc[np.argsort(ints(intervals, "t_ns"), kind="stable")]
        #: So many intervals have become one.
        self.together = max(1, -(-len(intervals) // max(most_intervals, 1)))
        self.manifest: dict[str, Any] = _asked(recording.manifest, self.together)
        self._fine_ns = ints(intervals, "t_ns")
        journeys = recording.table("journeys")
        #: Of the packets that were sampled one in so many is kept.
        self.thinned = _power_of_two(-(-len(journeys) // max(most_events, 1)))
        self._frames: dict[str, pd.DataFrame] = {"intervals": self._longer(intervals)}
        self._coarse_ns = ints(self._frames["intervals"], "t_ns")
        self._frames["journeys"] = self._fewer(journeys)
        del journeys  # by far the largest
        if self.changed:
            self.manifest = _sampled(self.manifest, self._frames["intervals"], len(self._frames["journeys"]))
        # All at once, so that the recording and what it has in memory can be forgotten.
        for name in BY_NAME:
            if name not in self._frames:
                # A copy has its columns side by side: cut and grouped, that is several times as quick.
                self._frames[name] = self._added_up(name, recording.table(name)).copy()

    @property
    def changed(self) -> bool:
        """Whether anything is less fine than it was."""
        return self.together > 1 or self.thinned > 1

    @property
    def interval_s(self) -> float:
        """Typical length of an interval now, in seconds."""
        lengths = ints(self._frames["intervals"], "dt_ns")
        return float(np.median(lengths)) / 1e9 if lengths.size else 0.0

    def table(self, name: str) -> pd.DataFrame:
        """As `Tables.table`."""
        return self._frames[name].copy(deep=False)

    def _longer(self, intervals: pd.DataFrame) -> pd.DataFrame:
        if self.together == 1 and self.thinned == 1:
            return intervals
        first = np.arange(0, len(intervals), self.together)
        columns: dict[str, IntArray] = {}
        for column in intervals:
            values = ints(intervals, str(column))
            match column:
                case "t_ns":
                    columns["t_ns"] = values[first]
                case "sample_every":
                    most = np.iinfo(np.int32).max // self.thinned
                    every = self._sampling.both.reduceat(np.clip(values, 1, None), first)
                    columns["sample_every"] = np.clip(every, 1, most) * self.thinned
                case _:
                    add = np.maximum if column in _LARGEST else np.add
                    columns[str(column)] = add.reduceat(values, first)
        return pd.DataFrame(columns).astype(intervals.dtypes.to_dict())

    def _fewer(self, journeys: pd.DataFrame) -> pd.DataFrame:
        if not self.changed or not len(journeys):
            return journeys
        every = ints(self._frames["intervals"], "sample_every")
        end_ns, nonce = ints(journeys, "end_ns"), journeys["nonce"].to_numpy(dtype=np.uint64)
        kept = np.empty(len(journeys), dtype=bool)
        for begin in range(0, len(journeys), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            at = np.searchsorted(self._coarse_ns, end_ns[part], side="right") - 1
            kept[part] = self._sampling.takes(nonce[part], every[np.clip(at, 0, None)])
        return journeys[kept].reset_index(drop=True)

    def _added_up(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of the same key in intervals that are together become one, in the order of time."""
        if name not in _COUNTED or self.together == 1 or not len(frame):
            return frame
        at = np.searchsorted(self._fine_ns, ints(frame, "t_ns"), side="right") - 1
        at = np.clip(at, 0, None) // self.together
        if (np.diff(at) < 0).any():
            order = np.argsort(at, kind="stable")
            frame, at = frame.iloc[order], at[order]
        parts, begin = [], 0
        while begin < at.size:  # intervals stay whole
            end = int(np.searchsorted(at, at[min(begin + _AT_ONCE, at.size) - 1], side="right"))
            parts.append(self._one_row_a_key(frame.iloc[begin:end], at[begin:end]))
            begin = end
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]

    def _one_row_a_key(self, frame: pd.DataFrame, at: IntArray) -> pd.DataFrame:
        place, first = _places(at, frame)
        rows = frame.iloc[first]
        values: dict[str, Any] = {}
        for column in frame:
            if column in _KEYS or not pd.api.types.is_integer_dtype(frame[column].dtype):
                continue
            if column in _LARGEST:
                sums = np.full(first.size, np.iinfo(np.int64).min)
                np.maximum.at(sums, place, ints(frame, str(column)))
            else:
                # Exact as long as sums stay below 2^53: a hundred days of nanoseconds.
                sums = np.bincount(place, weights=ints(frame, str(column)), minlength=first.size).astype(np.int64)
            values[str(column)] = sums
        values["t_ns"] = self._coarse_ns[at[first]]
        values["dt_ns"] = ints(self._frames["intervals"], "dt_ns")[at[first]]
        return rows.reset_index(drop=True).assign(**values).astype(frame.dtypes.to_dict())


def _places(at: IntArray, frame: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """For each row the place of its key among all keys, sorted by interval; for each key a row that has it."""
    code, width = at - at.min(), int(at.max() - at.min()) + 1
    for column in (name for name in _KEYS[1:] if name in frame):
        parts, many = _numbered(frame[column])
        if width * many >= _WIDEST:
            code, found = pd.factorize(code, sort=True)
            width = len(found)
        code = code * many + parts
        width *= many
    if width > _SPARSE * code.size:
        code, found = pd.factorize(code, sort=True)
        width = len(found)
    # No sorting: which keys there are is marked in an array of all that could be.
    first = np.full(width, -1)
    first[code[::-1]] = np.arange(code.size - 1, -1, -1)
    there = first >= 0
    return (np.cumsum(there) - 1)[code], first[there]


def _numbered(column: pd.Series) -> tuple[IntArray, int]:
    """A number from 0 on for each different value, and how many numbers there may be."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, dtype=np.int64) + 1, len(column.cat.categories) + 1
    if pd.api.types.is_integer_dtype(column.dtype):
        values = column.to_numpy(dtype=np.int64)
        low, high = int(values.min()), int(values.max())
        if high - low < _SPARSE * values.size:
            return np.subtract(values, low, dtype=np.int64), high - low + 1
    codes, found = pd.factorize(column)
    return np.asarray(codes, dtype=np.int64) + 1, len(found) + 1  # -1: no value


def _asked(manifest: dict[str, Any], together: int) -> dict[str, Any]:
    """The manifest, as if so many times longer intervals had been asked for."""
    asked = manifest.get("asked")
    if together == 1 or not isinstance(asked, dict) or not isinstance(asked.get("interval_ms"), int):
        return manifest
    return {**manifest, "asked": {**asked, "interval_ms": asked["interval_ms"] * together}}


def _sampled(manifest: dict[str, Any], intervals: pd.DataFrame, events: int) -> dict[str, Any]:
    """The manifest, as if so many events had been sampled, by the Ns that the intervals now have."""
    said, every = manifest.get("sampling"), ints(intervals, "sample_every")
    if not isinstance(said, dict) or not every.size:
        return manifest
    least, most = int(every.min()), int(every.max())
    now = {"sample_every_min": least, "sample_every_max": most, "events": events}
    return {**manifest, "sampling": {**said, **now}}


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 0).bit_length()


#: What a screen needs: as many bins as it has room for, and enough packets for the slowest per mille.
SCREEN_INTERVALS, SCREEN_EVENTS = 600, 300_000


def for_screens(recording: Tables) -> Part:
    """The whole recording, no finer than a screen can show, to be cut and drawn again and again."""
    return Part(Coarser(recording, SCREEN_INTERVALS, SCREEN_EVENTS))
