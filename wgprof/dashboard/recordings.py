"""Recordings opened, analysed and kept in memory, as many of them as there is room for."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wgprof.analysis.coarser import SCREEN_EVENTS, SCREEN_INTERVALS, Coarser
from wgprof.analysis.selection import Part, Selection
from wgprof.analysis.summary import Analysis, analyse, analyse_part
from wgprof.analysis.tables import Tables, ints
from wgprof.dashboard.cache import Cache
from wgprof.dashboard.library import Entry
from wgprof.dashboard.live import Follower
from wgprof.errors import RecordingError, WgprofError
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import TABLES
from wgprof.rules.comparison import Comparison, compared
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import Diagnosis

#: Bytes of tables kept in memory, and how many parts and comparisons.
_MOST_BYTES = 400 << 20
_MOST_CUTS, _MOST_COMPARISONS = 24, 4
#: Recordings being written that are followed at once, each in a tab.
_MOST_FOLLOWERS = 3
#: Up to so many rows of journeys a recording is analysed as `wgprof show` does; beyond, as fine as a screen.
_MOST_EXACT = 2_000_000

Identity = tuple[str, int, int]


@dataclass(frozen=True)
class Whole:
    """A whole recording, or the last seconds of one being written; times in seconds since it began."""

    identity: Identity
    part: Part
    analysis: Analysis
    diagnosis: Diagnosis
    start_s: float
    end_s: float
    peers: dict[int, str]
    weight: int
    note: str = ""  # if the figures are from less than everything

    @property
    def live(self) -> bool:
        """Whether it is still being written."""
        return self.identity[1] < 0


@dataclass(frozen=True)
class Cut:
    """A selected part of a recording and its analysis."""

    part: Part
    analysis: Analysis


class Recordings:
    """Opens entries of the library when they are asked for; safe to be used by threads."""

    def __init__(self, progress: Callable[[str], None] = lambda _: None) -> None:
        self._progress = progress
        self._wholes: Cache[Identity, Whole] = Cache(_MOST_BYTES, lambda whole: whole.weight)
        self._cuts: Cache[tuple[Identity, Selection], Cut] = Cache(_MOST_CUTS, lambda _: 1)
        self._compared: Cache[tuple[Identity, Identity], Comparison] = Cache(_MOST_COMPARISONS, lambda _: 1)
        self._followers: OrderedDict[Path, Follower[Whole]] = OrderedDict()
        self._lock = threading.Lock()

    def whole(self, entry: Entry) -> Whole:
        """The whole recording.  Raises RecordingError if it cannot be read."""
        if entry.live:
            return self._follower(entry.path).latest()
        identity = identity_of(entry.path)
        return self._wholes.get(identity, lambda: self._read(entry.path, identity))

    def prepare(self, entry: Entry) -> None:
        """Read a recording before anybody asks for it; if it cannot be read, whoever asks is told."""
        with contextlib.suppress(WgprofError):
            self.whole(entry)

    def cut(self, whole: Whole, selection: Selection) -> Cut:
        """The part of it that is selected, analysed."""
        if selection.everything:
            return Cut(whole.part, whole.analysis)
        if whole.live:  # there is another one in a second
            return _cut(whole, selection)
        return self._cuts.get((whole.identity, selection), lambda: _cut(whole, selection))

    def compared(self, first: Whole, second: Whole) -> Comparison:
        """What changed from one to the other."""
        return self._compared.get((first.identity, second.identity), lambda: compared(first.part, second.part))

    def version(self, entry: Entry) -> int:
        """A number that grows when there is something new of a recording being written; else 0."""
        return self._follower(entry.path).poll() if entry.live else 0

    def _read(self, path: Path, identity: Identity) -> Whole:
        self._progress(f"Reading {path.name} ({identity[2] / 1e6:,.1f} MB)")
        try:
            with open_recording(path) as recording:
                return _read_whole(recording, identity)
        finally:
            self._progress("")

    def _follower(self, path: Path) -> Follower[Whole]:
        """The follower of a recording, new if it is not one of those that were looked at last."""
        gone = []
        with self._lock:
            if path in self._followers and self._followers[path].outdated:
                gone.append(self._followers.pop(path))
            if path not in self._followers:
                self._followers[path] = Follower(path, lambda *seen: _last_seconds(path, *seen))
            self._followers.move_to_end(path)
            if len(self._followers) > _MOST_FOLLOWERS:
                gone.append(self._followers.popitem(last=False)[1])
            follower = self._followers[path]
        for other in gone:  # it may be reading: nobody else waits for that
            other.close()
        return follower


class _Since(Part):
    """A recording of which only the end is there; its times count from its beginning all the same."""

    def __init__(self, recording: Tables, began_ns: int) -> None:
        super().__init__(recording)
        self.__dict__["began_ns"] = began_ns


def identity_of(path: Path) -> Identity:
    """What tells one state of a file from another.  Raises RecordingError if it is not there."""
    try:
        stat = path.stat()
    except OSError as error:
        raise RecordingError(f"{path.name} could not be read: {error.strerror}", "Was it moved?") from error
    return str(path), stat.st_mtime_ns, stat.st_size


def _last_seconds(path: Path, recording: Recording, began_ns: int) -> Whole:
    part = _Since(recording, began_ns)
    return _whole(part, analyse(part), (str(path), -1, 0))


def _read_whole(recording: Recording, identity: Identity) -> Whole:
    """Small ones exactly; of large ones what a screen can show, from the beginning."""
    rows = dict(recording.manifest.get("tables", {})).get("journeys", {}).get("rows", 0)
    coarser = Coarser(recording, SCREEN_INTERVALS, SCREEN_EVENTS)
    part = Part(coarser)
    if not coarser.changed:
        return _whole(part, analyse(part), identity)
    if rows <= _MOST_EXACT:
        exact = analyse(recording)
        return _whole(part, exact, identity, diagnose(exact, recording))
    note = (
        f"A large recording: drawn, and judged, from one in {coarser.thinned} of the sampled packets and intervals of"
        f" {coarser.interval_s:.1f} s. `wgprof show` takes the time to use all."
    )
    return _whole(part, analyse(part), identity, note=note)


def _whole(
    part: Part, analysis: Analysis, identity: Identity, diagnosis: Diagnosis | None = None, note: str = ""
) -> Whole:
    intervals = part.table("intervals")
    starts_ns, lengths_ns = ints(intervals, "t_ns"), ints(intervals, "dt_ns")
    first_ns = int(starts_ns[0]) if starts_ns.size else 0
    last_ns = int((starts_ns + lengths_ns).max(initial=first_ns))
    things = analysis.names.things.values()
    return Whole(
        identity,
        part,
        analysis,
        diagnose(analysis, part) if diagnosis is None else diagnosis,
        (first_ns - part.began_ns) / 1e9 if starts_ns.size else 0.0,
        (last_ns - part.began_ns) / 1e9 if starts_ns.size else 0.0,
        {thing.number: thing.label for thing in things if thing.kind == "peer"},
        sum(int(part.table(table.name).memory_usage(deep=False).sum()) for table in TABLES),
        note,
    )


def _cut(whole: Whole, selection: Selection) -> Cut:
    part = Part(whole.part, selection)
    return Cut(part, analyse_part(part))
