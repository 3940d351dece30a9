"""Makes the recordings of a sweep that are not there yet, one after another."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from wgprof.errors import WgprofError
from wgprof.recording.part import DiskFull
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import DONE, FAILED, WAITING, Run, Sweep
from wgprof.sweep.matrix import expected_s
from wgprof.sweep.part import Part

ATTEMPTS = 2

#: Makes one recording at a path, complete and with traffic; raises WgprofError if it could not, and
#: KeyboardInterrupt if the user has had enough.
Recorder = Callable[[Configuration, Path], None]


class Watch(Protocol):
    """Is told how a sweep gets on."""

    def started(self, run: Run, left_s: float) -> None: ...

    def ended(self, run: Run) -> None: ...

    def stumbled(self, run: Run, reason: str) -> None: ...


def run_sweep(part: Part, record: Recorder, watch: Watch, clock: Callable[[], float] = time.monotonic) -> bool:
    """Record what waits.  False if the user interrupted; what there is is kept either way.

    A run that fails is tried once more, then noted with its reason.  Raises DiskFull, with everything kept.
    """
    try:
        for run in part.sweep.in_state(WAITING):
            watch.started(run, left_s(part.sweep))
            done = _attempts(part, run, record, watch, clock)
            part.note(done)
            watch.ended(done)
    except KeyboardInterrupt:
        return False
    return True


def left_s(sweep: Sweep) -> float:
    """How long the runs that wait will take: as most of those that are done, beside what was expected of them.

    The median, because a run may have waited long for another lab.
    """
    ratios = [r.seconds / expected_s(sweep.matrix, r.configuration) for r in sweep.in_state(DONE) if r.seconds > 0]
    factor = statistics.median(ratios) if ratios else 1.0
    return factor * sum(expected_s(sweep.matrix, run.configuration) for run in sweep.in_state(WAITING))


def _attempts(part: Part, run: Run, record: Recorder, watch: Watch, clock: Callable[[], float]) -> Run:
    """The run, done or failed."""
    for _ in range(ATTEMPTS):
        began = clock()
        run = replace(run, attempts=run.attempts + 1)
        try:
            record(run.configuration, part.scratch())
        except DiskFull:
            raise
        except WgprofError as error:
            run = replace(run, state=FAILED, reason=error.sentence)
            watch.stumbled(run, error.sentence)
            continue
        part.keep(run)
        return replace(run, state=DONE, reason="", seconds=round(clock() - began, 1))
    return run
