"""A part of a recording: some time, one direction, some peers.

Everything, the analysis too, can be made of a part as of the whole, since a part is again `Tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from wgprof.analysis.journeys import Journeys, join_journeys, packet_numbers
from wgprof.analysis.tables import DIRECTIONS, BoolArray, IntArray, Tables, direction_of, ints

#: Column that says what a row is about; the direction follows from the name in it.
_NAMED: Mapping[str, str] = {
    "stages": "stage",
    "executions": "server",
    "arrivals": "queue",
    "depths": "queue",
    "histograms": "metric",
    "polls": "server",
    "heads": "server",
    "moves": "server",
    "preemptions": "stage",
    "wakeups": "server",
    "contention": "lock",
}
_POINTS_PER_DIRECTION = 3
#: From a window of perf's own, or of no time: never cut.
_TIMELESS = frozenset({"stacks", "perf_stat", "log"})


@dataclass(frozen=True)
class Selection:
    """What to look at; None: everything.  Times in seconds since the recording began, the end excluded."""

    start_s: float | None = None
    end_s: float | None = None
    direction: str | None = None  # tx or rx
    peers: frozenset[int] | None = None  # object numbers

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Selection()


class Part:
    """The tables of a recording, cut to a selection; each is cut once.

    Intervals are whole: one that begins in the time selected belongs to it.  What peers share (rings, workers, CPUs)
    stays whole when peers are selected; what has no direction (CPUs, interfaces) when a direction is.
    """

    def __init__(self, recording: Tables, selection: Selection | None = None) -> None:
        self.selection = Selection() if selection is None else selection
        self._recording = recording
        self._frames: dict[str, pd.DataFrame] = {}
        self._in_order: dict[str, bool] = {}

    @property
    def manifest(self) -> dict[str, Any]:
        return self._recording.manifest

    def table(self, name: str) -> pd.DataFrame:
        """As `Tables.table`."""
        if name not in self._frames:
            self._frames[name] = self._cut(name)
        return self._frames[name].copy(deep=False)

    @cached_property
    def began_ns(self) -> int:
        """When the whole recording began; selected times count from there."""
        if isinstance(self._recording, Part):
            return self._recording.began_ns
        return int(ints(self._recording.table("intervals"), "t_ns").min(initial=np.iinfo(np.int64).max))

    @cached_property
    def journeys(self) -> Journeys:
        """The journeys of the part, joined once."""
        events = self._recording.table("journeys")
        keep = self._kept("journeys", events)
        if not isinstance(self._recording, Part):
            return join_journeys(events if keep is None else events[keep])
        numbers = self._recording.packets
        return join_journeys(events, numbers) if keep is None else join_journeys(events[keep], numbers[keep])

    @cached_property
    def packets(self) -> IntArray:
        """The number of the packet of each row of journeys; whatever is cut out of this part needs them."""
        return packet_numbers(self.table("journeys"))

    def in_order(self, name: str) -> bool:
        """Whether a table's rows are in the order of their t_ns."""
        if name not in self._in_order:
            self._in_order[name] = bool((np.diff(ints(self.table(name), "t_ns")) >= 0).all())
        return self._in_order[name]

    def _cut(self, name: str) -> pd.DataFrame:
        frame = self._recording.table(name)
        if self._selects_time and name not in _TIMELESS and "t_ns" in frame and _in_order(self._recording, name):
            first, last = np.searchsorted(ints(frame, "t_ns"), self._times_ns)
            frame = frame.iloc[first:last]
            keep = self._kept(name, frame, timed=True)
        else:
            keep = self._kept(name, frame)
        return (frame if keep is None else frame[keep]).reset_index(drop=True)

    def _kept(self, name: str, frame: pd.DataFrame, *, timed: bool = False) -> BoolArray | None:
        """The rows to keep; None: all of them.  `timed`: they are all of the time selected."""
        in_time = None if timed else self._in_time(name, frame)
        cuts = (in_time, self._in_direction(name, frame), self._of_peers(name, frame))
        masks = [mask for mask in cuts if mask is not None]
        return np.logical_and.reduce(masks) if masks else None

    @property
    def _selects_time(self) -> bool:
        return self.selection.start_s is not None or self.selection.end_s is not None

    @cached_property
    def _times_ns(self) -> tuple[int, int]:
        """From when until before when."""
        start_s, end_s = self.selection.start_s, self.selection.end_s
        limits = np.iinfo(np.int64)
        return (
            limits.min if start_s is None else self.began_ns + _ns(start_s),
            limits.max if end_s is None else self.began_ns + _ns(end_s),
        )

    def _in_time(self, name: str, frame: pd.DataFrame) -> BoolArray | None:
        column = "end_ns" if name == "journeys" else "t_ns"
        if not self._selects_time or column not in frame or name in _TIMELESS:
            return None
        t_ns, (first_ns, last_ns) = ints(frame, column), self._times_ns
        return np.asarray((t_ns >= first_ns) & (t_ns < last_ns), dtype=bool)

    def _in_direction(self, name: str, frame: pd.DataFrame) -> BoolArray | None:
        wanted = self.selection.direction
        if wanted is None:
            return None
        if name == "journeys":
            is_tx = frame["point"].to_numpy() <= _POINTS_PER_DIRECTION
            return is_tx if wanted == DIRECTIONS[0] else ~is_tx
        if name in _NAMED:
            return _where(frame[_NAMED[name]], lambda value: direction_of(str(value)) == wanted)
        return None

    def _of_peers(self, name: str, frame: pd.DataFrame) -> BoolArray | None:
        if self.selection.peers is None or "object" not in frame:
            return None
        return np.isin(ints(frame, "object"), list(self._objects))

    @cached_property
    def _objects(self) -> frozenset[int]:
        """The selected peers and their devices."""
        peers = self.selection.peers or frozenset()
        objects = self._recording.table("objects")
        numbers, devices = ints(objects, "object"), ints(objects, "device")
        return frozenset(peers) | {int(n) for n in devices[np.isin(numbers, list(peers))]}


def _in_order(recording: Tables, name: str) -> bool:
    """Whether it is known, of a recording that is cut again and again, that a table is in the order of time."""
    return isinstance(recording, Part) and recording.in_order(name)


def _where(column: pd.Series, holds: Callable[[object], bool]) -> BoolArray:
    """The rows whose name is such; each different name is asked once."""
    codes, names = pd.factorize(column)
    return np.array([holds(name) for name in names], dtype=bool)[codes]


def _ns(seconds: float) -> int:
    """Nanoseconds, within what a table can hold."""
    return int(min(max(seconds, 0.0), 1e9) * 1e9)


def as_part(recording: Tables) -> Part:
    """The recording as a part: itself, if it is one."""
    return recording if isinstance(recording, Part) else Part(recording)
