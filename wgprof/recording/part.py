"""The `.part` file: the agent's frames as they came, so that a killed recorder loses at most the last one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from wgprof.agent.frames import Frame, FrameError, ProtocolMismatch, read_frame
from wgprof.errors import RecordingError
from wgprof.recording.sizes import human_size

SUFFIX = ".part"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskFull(RecordingError):
    """There is no room for the file being written."""


def write_error(error: OSError, path: Path, remedy: str = "") -> RecordingError:
    """The sentence for a failed write to `path`."""
    if error.errno in _FULL:
        return DiskFull(f"the disk is full: {path} could not be written", remedy or "Free some space and try again.")
    return RecordingError(f"{path} could not be written: {error.strerror or error}", remedy)


class PartWriter:
    """Appends frames to a new `.part` file, one system call a frame, and holds its lock until closed.

    `frames` and `size` count what is safely in the file.  Raises RecordingError when the file exists
    or cannot be created, and DiskFull when a frame does not fit: that frame is taken back, so that
    the file ends with the last whole one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self.size = 0
        try:
            self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except FileExistsError as error:
            raise RecordingError(
                f"{path} exists: an earlier recording was cut off, or another one is running",
                f"Finish it with `wgprof recover {path}`, or remove it.",
            ) from error
        except OSError as error:
            raise write_error(error, path) from error
        with contextlib.suppress(OSError):  # a file system without locks records all the same
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, frame: bytes) -> None:
        """Write one whole frame, as `frames.encode` made it."""
        view = memoryview(frame)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
            raise write_error(error, self.path, self._kept()) from error
        self.frames += 1
        self.size += len(frame)

    def close(self) -> None:
        """Flush the file to the disk and release it.  Does nothing the second time."""
        if self._file < 0:
            return
        file, self._file = self._file, -1
        try:
            os.fsync(file)
        except OSError as error:
            raise write_error(error, self.path, self._kept()) from error
        finally:
            os.close(file)

    def _kept(self) -> str:
        return (
            f"The {human_size(self.size)} recorded until then are kept; "
            f"free some space, then run `wgprof recover {self.path}`."
        )

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PartReader:
    """Iterates over the whole frames of a `.part` file and stops at the first that is cut off or damaged.

    `frames` and `size` say how much was good so far and `total` how large the file was; afterwards
    `dropped_bytes` says how much followed the last whole frame and `damage` why the reading stopped
    (empty if the file ended with a whole frame).  Raises RecordingError if the file cannot be read,
    is still being written, or is no `.part` at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self.size = 0
        self.total = 0
        self.damage = ""

    @property
    def dropped_bytes(self) -> int:
        return max(self.total - self.size, 0)

    def __iter__(self) -> Iterator[Frame]:
        try:
            with self.path.open("rb") as stream:
                self._lock(stream)
                self.total = os.fstat(stream.fileno()).st_size
                yield from self._frames(stream)
        except OSError as error:
            raise RecordingError(f"{self.path} could not be read: {error.strerror or error}") from error

    def _frames(self, stream: BinaryIO) -> Iterator[Frame]:
        while True:
            try:
                frame = read_frame(stream)
            except FrameError as error:
                if self.frames == 0:
                    self._refuse(stream, error)
                self.damage = str(error)
                return
            if frame is None:
                return
            self.frames += 1
            self.size = stream.tell()
            yield frame

    def _lock(self, stream: BinaryIO) -> None:
        """The writer holds the lock; that of a killed writer is free.  File systems without locks are let pass."""
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordingError(
                f"{self.path} is still being recorded", "Stop that recording (Ctrl-C); it then finishes the file."
            ) from error
        except OSError:
            pass

    def _refuse(self, stream: BinaryIO, error: FrameError) -> None:
        """Say why a file whose first frame is no frame cannot be recovered."""
        if isinstance(error, ProtocolMismatch):
            raise RecordingError(
                f"{self.path} was recorded by another wgprof: {error}", "Recover it with the wgprof that recorded it."
            ) from error
        stream.seek(0)
        head = stream.read(4)
        if head == b"PK\x03\x04":
            raise RecordingError(
                f"{self.path} is not an unfinished recording",
                f"It may be a finished one: try `wgprof show {self.path}`.",
            ) from error
        if len(head) < 4 or head == b"WGPF":
            raise RecordingError(
                f"{self.path} was cut off before anything was recorded", "There is nothing to recover; remove it."
            ) from error
        raise RecordingError(
            f"{self.path} is not an unfinished recording of wgprof", "`wgprof recover` takes the .part file of one."
        ) from error


def read_part(path: Path) -> PartReader:
    """The frames of a `.part` file; see PartReader."""
    return PartReader(path)
