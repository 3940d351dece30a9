"""Sweeps analysed and kept in memory, the last few of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from wgprof.analysis.names import clean
from wgprof.dashboard.cache import Cache
from wgprof.dashboard.library import Entry
from wgprof.dashboard.recordings import Identity, identity_of
from wgprof.errors import WgprofError
from wgprof.report.sweep import Results, results_of
from wgprof.sweep.file import SweepFile

#: Results are figures of recordings, not the recordings: small.
_MOST = 16


class Sweeps:
    """Analyses entries of the library when they are asked for, once for each state of the file; safe for threads."""

    def __init__(self, progress: Callable[[str], None] = lambda _: None) -> None:
        self._progress = progress
        self._kept: Cache[Identity, Results] = Cache(_MOST, lambda _: 1)

    def results(self, entry: Entry) -> tuple[Identity, Results]:
        """What the sweep says, and of which state of its file.  Raises RecordingError if it cannot be read."""
        identity = identity_of(entry.path)
        return identity, self._kept.get(identity, lambda: self._read(entry))

    def prepare(self, entry: Entry) -> None:
        """Read a sweep before anybody asks for it; if it cannot be read, whoever asks is told."""
        with contextlib.suppress(WgprofError):
            self.results(entry)

    def _read(self, entry: Entry) -> Results:
        def counted(done: int, of: int) -> None:
            self._progress(f"Analysing {clean(entry.name, 80)}: {done} of {of} recordings")

        try:
            with SweepFile(entry.path) as opened:
                return results_of(opened, counted)
        finally:
            self._progress("")
