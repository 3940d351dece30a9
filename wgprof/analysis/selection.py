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

from wgprof.analysis.journeys import Journeys, join_journeys
from wgprof.analysis.tables import DIRECTIONS, BoolArray, Tables, direction_of, ints

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
        return join_journeys(self._cut("journeys"))

    def _cut(self, name: str) -> pd.DataFrame:
        frame = self._recording.table(name)
        keep = self._kept(name, frame)
        return frame if keep is None else frame[keep].reset_index(drop=True)

    def _kept(self, name: str, frame: pd.DataFrame) -> BoolArray | None:
        """The rows to keep; None: all of them."""
        cuts = (self._in_time(name, frame), self._in_direction(name, frame), self._of_peers(name, frame))
        masks = [mask for mask in cuts if mask is not None]
        return np.logical_and.reduce(masks) if masks else None

    def _in_time(self, name: str, frame: pd.DataFrame) -> BoolArray | None:
        selection = self.selection
        column = "end_ns" if name == "journeys" else "t_ns"
        if (selection.start_s is None and selection.end_s is None) or column not in frame or name in _TIMELESS:
            return None
        t_ns, keep = ints(frame, column), np.ones(len(frame), dtype=bool)
        if selection.start_s is not None:
            keep &= t_ns >= self.began_ns + _ns(selection.start_s)
        if selection.end_s is not None:
            keep &= t_ns < self.began_ns + _ns(selection.end_s)
        return keep

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
