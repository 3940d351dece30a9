"""Fingerprints of large files: the whole content once, then samples, so that checking before each use is cheap."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 4096
SAMPLES = 256
CHUNK = 4 << 20


@dataclass(frozen=True)
class Fingerprint:
    """Size, time and two hashes: of everything, and of blocks at fixed places."""

    size: int
    mtime_ns: int
    sha256: str
    sample: str

    @classmethod
    def of(cls, path: Path) -> Fingerprint:
        """The fingerprint of a file.  Reads all its data (holes are skipped)."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, full_hash(path), sample_hash(path))

    @classmethod
    def from_json(cls, values: Any) -> Fingerprint:
        """Raises TypeError if `values` is not what `asdict` made."""
        if not isinstance(values, dict):
            raise TypeError("not a fingerprint")
        return cls(**values)

    def difference(self, path: Path) -> str:
        """Empty if the file is still the same, else what differs.

        A file with the time it was written at is trusted after samples; one that was touched or
        copied is read as a whole.
        """
        status = path.stat()
        if status.st_size != self.size:
            return f"{status.st_size} bytes instead of {self.size}"
        if sample_hash(path) != self.sample:
            return "its content has changed"
        if status.st_mtime_ns != self.mtime_ns and full_hash(path) != self.sha256:
            return "its content has changed"
        return ""


def sample_hash(path: Path) -> str:
    """A hash of the head of a file and of SAMPLES blocks spread evenly over it."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        digest.update(stream.read(16 * BLOCK))
        for index in range(SAMPLES):
            digest.update(os.pread(stream.fileno(), BLOCK, size * index // SAMPLES // BLOCK * BLOCK))
    return digest.hexdigest()


def full_hash(path: Path) -> str:
    """A hash of all data of a file and of where it lies."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for start, end in data_extents(stream.fileno()):
            digest.update(f"{start}:{end};".encode())
            for place in range(start, end, CHUNK):
                digest.update(os.pread(stream.fileno(), min(CHUNK, end - place), place))
    return digest.hexdigest()


def data_extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each stretch of a file that is not a hole."""
    end = 0
    size = os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
