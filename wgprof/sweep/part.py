"""NAME.sweep.part: the folder in which a sweep is made, packed into NAME.sweep at the end.

A folder, because nothing that is in it is ever written again: a recording that is done is a file that was put there
complete, by one rename, and stays.  A ZIP that is replaced after each recording would copy all the others each time,
and need their room twice.  The file's being there is what says that a run is done, so a recorder that is killed between
the rename and the note of it in sweep.json loses nothing either.  The folder goes when the packed file is on the disk.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from wgprof.errors import UsageError
from wgprof.lab.lock import hold
from wgprof.recording.archive import one_sentence
from wgprof.recording.part import write_error
from wgprof.recording.untrusted import parse_object
from wgprof.recording.writer import replacing
from wgprof.sweep.document import DONE, WAITING, Run, Sweep, sweep_of
from wgprof.sweep.file import STATE, SweepFile, write_sweep
from wgprof.sweep.matrix import Matrix

_LOCK = "lock"
_IN_WORK = "in-work.wgprof"


class Part:
    """A sweep in work: `sweep` is its state, on the disk after each change."""

    def __init__(self, folder: Path, out: Path, sweep: Sweep) -> None:
        self.folder = folder
        self.out = out
        self.sweep = sweep

    def note(self, run: Run) -> None:
        """Remember what became of a run.  Raises RecordingError, DiskFull among them, if it cannot be written."""
        self.sweep = self.sweep.having(run)
        _store(self.folder, self.sweep)

    def scratch(self) -> Path:
        """Where the next recording is to be made, cleared of what was left behind.  Raises RecordingError."""
        with _writing(self.folder):
            for path in self.folder.glob(f"*{_IN_WORK}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return self.folder / _IN_WORK

    def keep(self, run: Run) -> None:
        """Take the recording that was made as the one of a run.  Raises RecordingError."""
        with _writing(self.folder):
            (self.folder / _IN_WORK).replace(self.folder / run.member)

    def pack(self) -> int:
        """Write NAME.sweep and remove the folder; returns the file's size.  Raises RecordingError."""
        self.scratch()
        self.sweep = _with_what_is_there(self.folder, self.sweep)
        write_sweep(self.out, self.sweep, self.folder)
        # At once, so that half a folder is never taken for a sweep that lost its recordings.
        old = _hidden(self.folder, "old")
        with _writing(self.folder):
            self.folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)
        return self.out.stat().st_size


@contextlib.contextmanager
def part_of(out: Path, matrix: Matrix) -> Iterator[Part]:
    """The sweep that `out` is to hold: begun, or as far as it got, runs that failed waiting again; locked.

    Raises UsageError if `out` is another sweep, MachineError if another process is making it, RecordingError.
    """
    folder = _folder_of(out)
    if not folder.exists():
        _begin(folder, out, matrix)
    with hold(folder / _LOCK, f"the sweep {out}", 0, lambda line: None):
        sweep = _resumed(folder)
        if sweep.matrix != matrix:
            raise _another(out, sweep.matrix, matrix)
        _store(folder, sweep)
        yield Part(folder, out, sweep)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What goes wrong with files inside becomes one sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from error


def complete_sweep(out: Path, matrix: Matrix) -> Sweep | None:
    """The sweep in `out` if it is this one and nothing is left to do; None otherwise.  Raises as `part_of` does."""
    if not out.exists() or _folder_of(out).exists():
        return None
    with SweepFile(out) as packed:
        if packed.sweep.matrix != matrix:
            raise _another(out, packed.sweep.matrix, matrix)
        return packed.sweep if len(packed.sweep.in_state(DONE)) == len(packed.sweep.runs) else None


def _folder_of(out: Path) -> Path:
    return out.with_name(out.name + ".part")


def _begin(folder: Path, out: Path, matrix: Matrix) -> None:
    """Make the folder, out of nothing or out of a file that is not complete; it appears with all that is in it."""
    new = _hidden(folder, "new")
    for leftover in (new, _hidden(folder, "old")):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        with _writing(folder):
            (new / "recordings").mkdir(parents=True)
            _fill(new, out, matrix)
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(new: Path, out: Path, matrix: Matrix) -> None:
    if not out.exists():
        _store(new, Sweep.of(matrix, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")))
        return
    with SweepFile(out) as packed:
        if packed.sweep.matrix != matrix:
            raise _another(out, packed.sweep.matrix, matrix)
        for run in packed.sweep.in_state(DONE):
            packed.extract(run, new / run.member)
        _store(new, packed.sweep)


def _resumed(folder: Path) -> Sweep:
    """What the folder holds; what failed gets another chance."""
    path = folder / STATE
    with one_sentence(path):
        sweep = sweep_of(parse_object(path.read_bytes(), STATE))
    runs = tuple(replace(run, state=WAITING) for run in sweep.runs)
    return _with_what_is_there(folder, replace(sweep, runs=runs))


def _with_what_is_there(folder: Path, sweep: Sweep) -> Sweep:
    """A recording that is there is done, whether or not there was time to note it."""
    runs = (replace(run, state=DONE, reason="") if (folder / run.member).is_file() else run for run in sweep.runs)
    return replace(sweep, runs=tuple(runs))


def _hidden(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{word}")


def _store(folder: Path, sweep: Sweep) -> None:
    path = folder / STATE
    with _writing(path), replacing(path) as stream:
        stream.write(json.dumps(sweep.document(), indent=1).encode())


def _another(out: Path, there: Matrix, asked: Matrix) -> UsageError:
    """Says what differs first."""
    before, now = there.document(), asked.document()
    name = next(name for name in now if before[name] != now[name])
    words = (json.dumps(value)[:80] for value in (before[name], now[name]))
    return UsageError(
        f"{out} is another sweep: its {name} is {next(words)}, asked is {next(words)}",
        "Give the same options to go on with it, or another file with -o.",
    )
