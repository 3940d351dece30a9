"""Two recordings of the two ends of a tunnel, made of one recording that has both.

Each half keeps the objects of one network namespace, on a clock of its own.  Nothing but what goes
over the wire is left in common: the numbers of objects are independent too.

`python -m tests.support.two_ends FILE A B` writes the halves of a recording with the clock of B seconds ahead and
gaining 40 ppm.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wgprof.analysis.tables import IntArray, Tables, ints
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import BY_NAME
from wgprof.recording.writer import write_recording


@dataclass(frozen=True)
class Clock:
    """A clock that is `offset_ns` ahead at `origin_ns` and gains `drift` from there."""

    offset_ns: int = 0
    drift: float = 0.0
    origin_ns: int = 0

    def read(self, true_ns: IntArray) -> IntArray:
        """What it shows at a true time."""
        gained = np.rint(self.drift * (true_ns - self.origin_ns).astype(np.float64)).astype(np.int64)
        return true_ns + self.offset_ns + gained


def half(recording: Tables, netns: int, clock: Clock, renumber: int = 0) -> Recording:
    """One end, read on `clock`; `renumber` is added to the numbers of its objects."""
    objects = recording.table("objects")
    mine = ints(objects, "object")[ints(objects, "netns") == netns]
    tables: dict[str, pd.DataFrame] = {}
    for name in BY_NAME:
        frame = recording.table(name)
        if "object" in frame and name != "objects":
            frame = frame[np.isin(ints(frame, "object"), mine)].copy()
        elif "netns" in frame:
            frame = frame[ints(frame, "netns") == netns].copy()
        for column in {"object", "device"} & set(frame):
            frame[column] = ints(frame, column) + renumber
        tables[name] = _read(frame, clock)
    manifest: dict[str, Any] = dict(recording.manifest)
    start_ns = np.array([manifest["clock"]["start_ns"]], dtype=np.int64)
    manifest["clock"] = {**manifest["clock"], "start_ns": int(clock.read(start_ns)[0])}
    return Recording.from_tables(manifest, _typed(tables))


def _read(frame: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    for start, length in (("t_ns", "dt_ns"), ("first_seen_ns", "")):
        if start in frame:
            begin_ns = ints(frame, start)
            frame[start] = clock.read(begin_ns)
            if length in frame:
                frame[length] = clock.read(begin_ns + ints(frame, length)) - frame[start]
    if "end_ns" in frame:
        end_ns = ints(frame, "end_ns")
        frame["end_ns"] = clock.read(end_ns)
        frame["service_ns"] = frame["end_ns"] - clock.read(end_ns - ints(frame, "service_ns"))
    return frame


def without(recording: Recording, lost: npt.NDArray[np.bool_]) -> Recording:
    """Without some rows of its journeys."""
    return _with(recording, {"journeys": recording.table("journeys")[~lost]})


def coarser(recording: Recording, every: int) -> Recording:
    """As if only every `every`th packet had been sampled; a multiple of what was."""
    journeys, intervals = recording.table("journeys"), recording.table("intervals")
    intervals["sample_every"] = np.lcm(ints(intervals, "sample_every"), every)
    nonce = journeys["nonce"].to_numpy(dtype=np.uint64)
    return _with(recording, {"journeys": journeys[nonce % np.uint64(every) == 0], "intervals": intervals})


def only_sent(recording: Recording, sent: bool) -> Recording:
    """With the journeys of one direction alone."""
    point = ints(recording.table("journeys"), "point")
    return without(recording, (point > 3) if sent else (point <= 3))


def _with(recording: Recording, changed: Mapping[str, pd.DataFrame]) -> Recording:
    tables = {name: changed.get(name, recording.table(name)) for name in BY_NAME}
    return Recording.from_tables(recording.manifest, _typed(tables))


def _typed(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: frame.reset_index(drop=True) for name, frame in tables.items()}


def namespaces(recording: Tables) -> list[int]:
    """The network namespaces it has devices in."""
    return sorted(set(ints(recording.table("objects"), "netns").tolist()))


def save(recording: Recording, path: Path) -> Path:
    """Write it to a file."""
    write_recording(path, recording.manifest, {name: recording.arrow(name) for name in BY_NAME})
    return path


if __name__ == "__main__":
    whole = open_recording(Path(sys.argv[1]))
    left, right = namespaces(whole)
    ahead = Clock(3_200_000_000_000, 40e-6, whole.manifest["clock"]["start_ns"])
    save(half(whole, left, Clock()), Path(sys.argv[2]))
    save(half(whole, right, ahead, renumber=40), Path(sys.argv[3]))
