"""The folder of a running machine.

Its owner holds a lock on the folder itself, which goes with the process, whatever way it ends: so others can tell a
folder in use, also of a lab under another lock, from what a killed wgprof left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from wgprof.lab.lock import take

_PREFIX = "wgprof-lab-"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RunDir:
    """A new folder, until `remove` or the end of a with block."""

    def __init__(self) -> None:
        """Raises OSError."""
        self.path, self._descriptor = _new()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """With all that is in it.  May be called twice."""
        if self._descriptor >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._descriptor)
            self._descriptor = -1


def remove_stale_run_dirs() -> None:
    """Remove the folders of machines whose wgprof was killed, and of nobody else."""
    for leftover in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(leftover, _FLAGS)
        except OSError:  # no folder, not ours to look into, or gone by now
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid() and take(descriptor):
                shutil.rmtree(leftover, ignore_errors=True)
        finally:
            os.close(descriptor)


def _new() -> tuple[Path, int]:
    """A folder and the descriptor that holds its lock; another one if somebody took it for stale before it was held."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            descriptor = os.open(path, _FLAGS)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        os.close(descriptor)
