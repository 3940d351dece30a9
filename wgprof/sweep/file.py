"""NAME.sweep: a ZIP, nothing compressed in it, of sweep.json and the recordings as `wgprof record` writes them.

It may come from anybody.  Its directory is checked before a byte is read, as a recording's is: known names, stored,
no larger than the file; every recording is then opened with all the checks of its own.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from wgprof.errors import RecordingError
from wgprof.recording.archive import one_sentence, stored_members
from wgprof.recording.part import write_error
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.untrusted import MAX_JSON, Damage, parse_object, printable
from wgprof.recording.writer import add_member, replacing
from wgprof.sweep.document import DONE, Run, Sweep, sweep_of
from wgprof.sweep.matrix import MOST_RUNS

SUFFIX = ".sweep"
STATE = "sweep.json"
_BLOCK = 1 << 20


class SweepFile:
    """An opened sweep.  Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises RecordingError, in one sentence, if the file cannot be read or is no sweep."""
        self.path = path
        with one_sentence(path), contextlib.ExitStack() as undo:
            self._zip = undo.enter_context(_open_zip(path))
            self._members = stored_members(self._zip, path.stat().st_size, MOST_RUNS + 1)
            if self._members[STATE].file_size > MAX_JSON:
                raise Damage(f"{STATE} is {self._members[STATE].file_size} bytes long")
            self.sweep: Sweep = sweep_of(parse_object(self._zip.read(STATE), STATE))
            there = {STATE, *(run.member for run in self.sweep.in_state(DONE))}
            if there != set(self._members):
                names = ", ".join(sorted(there ^ set(self._members)))[:200]
                raise Damage(f"files differ from its {STATE}: {printable(names)}")
            undo.pop_all()

    def extract(self, run: Run, target: Path) -> None:
        """Copy a run's recording out, its checksum checked.  Raises RecordingError, DiskFull among them."""
        with one_sentence(self.path):
            try:
                with self._zip.open(run.member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, _BLOCK)
            except OSError as error:
                raise write_error(error, target) from error

    @contextlib.contextmanager
    def recording(self, run: Run) -> Iterator[Recording]:
        """Open a run's recording, in a copy that goes afterwards.  Raises RecordingError."""
        with tempfile.TemporaryDirectory(prefix="wgprof-sweep-") as folder:
            copy = Path(folder) / f"{self.path.stem}-{run.number:04d}.wgprof"
            self.extract(run, copy)
            try:
                with open_recording(copy) as recording:
                    yield recording
            except RecordingError as error:  # nobody has seen the copy
                sentence = error.sentence.replace(str(copy), f"{self.path}: its recording {run.number}")
                raise RecordingError(sentence, error.remedy) from error

    def __enter__(self) -> SweepFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()


def _open_zip(path: Path) -> zipfile.ZipFile:
    remedy = "`wgprof sweep` makes one."
    if path.is_dir():
        raise RecordingError(f"{path} is a folder, not a finished sweep", "The same `wgprof sweep` again finishes it.")
    with path.open("rb") as stream:
        head = stream.read(2)
    if head != b"PK":
        raise RecordingError(f"{path} is not a sweep", remedy)
    archive = zipfile.ZipFile(path)
    if STATE not in archive.namelist():
        archive.close()
        raise RecordingError(f"{path} is a ZIP file, but not a sweep", remedy)
    return archive


def write_sweep(path: Path, sweep: Sweep, folder: Path) -> None:
    """Pack a sweep whose recordings are in `folder`, under their members' names; all or nothing.

    Raises DiskFull, or RecordingError if `path` cannot be written.
    """
    try:
        with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            add_member(archive, STATE, json.dumps(sweep.document(), indent=1).encode())
            for run in sweep.in_state(DONE):
                add_member(archive, run.member, folder / run.member)
    except OSError as error:
        raise write_error(error, path, f"Everything is kept in {folder}; the same command again goes on.") from error
