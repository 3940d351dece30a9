"""The recordings and sweeps named on the command line, and no others: a browser asks for a slug, never for a path."""

from __future__ import annotations

import contextlib
import hashlib
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wgprof.analysis.names import clean
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.part import SUFFIX
from wgprof.sweep.file import SUFFIX as SWEEP

RECORDING = ".wgprof"
Kind = Literal["recording", "sweep"]
_ENDINGS: dict[Kind, str] = {"recording": RECORDING, "sweep": SWEEP}
#: More of a folder than this nobody chooses from.
_MOST = 500


@dataclass(frozen=True)
class Entry:
    """A recording or a sweep to choose: `slug` is its name in the address, unique among those of its kind.

    `live`: it is a recording that is still being written.
    """

    slug: str
    name: str
    path: Path
    live: bool = False
    kind: Kind = "recording"


class Library:
    """What was given: files as they are, folders for what lies directly in them, now and later.

    Raises UsageError for what is neither.  With `live`, files being written are listed too, the newest first.
    """

    def __init__(self, given: Sequence[Path], *, live: bool = False) -> None:
        self._given = [path.absolute() for path in given] or [Path.cwd()]
        self.live = live
        for path in self._given:
            if not path.exists() and not (live and _finished(path).exists()):
                raise RecordingError(f"{path} does not exist", "Check the path.")
            if not path.is_dir() and not path.is_file() and not live:
                raise UsageError(
                    f"{path} is neither a file nor a folder", "Name recordings and sweeps, or folders of them."
                )

    def entries(self, kind: Kind = "recording") -> list[Entry]:
        """Everything of a kind there is to choose from, in the order given; of a folder the newest first."""
        found: dict[str, Entry] = {}
        for path in self._paths(kind):
            entry = self._entry(path, kind, found)
            found[entry.slug] = entry
        return sorted(found.values(), key=lambda entry: not entry.live)

    def find(self, slug: str, kind: Kind = "recording") -> Entry | None:
        """The entry of that slug, or the first one if it is empty; None if there is none."""
        entries = self.entries(kind)
        if not slug:
            return next(iter(entries), None)
        return next((entry for entry in entries if entry.slug == slug), None)

    def _paths(self, kind: Kind) -> Iterator[Path]:
        seen: set[Path] = set()
        for path in self._given:
            if path.is_dir():
                candidates = self._of_folder(path, kind)
            else:
                candidates = [path] if (path.suffix == SWEEP) == (kind == "sweep") else []
            for candidate in candidates:
                real = candidate.resolve()
                if real not in seen and len(seen) < _MOST:
                    seen.add(real)
                    yield candidate

    def _of_folder(self, folder: Path, kind: Kind) -> list[Path]:
        ending = _ENDINGS[kind]
        endings = (ending, RECORDING + SUFFIX) if self.live and kind == "recording" else (ending,)
        root, there, paths = folder.resolve(), [], list[Path]()
        with contextlib.suppress(OSError):  # a folder may go, too
            paths = [path for path in folder.iterdir() if path.name.endswith(endings)]
        for path in paths:
            with contextlib.suppress(OSError):  # a recorder renames its file at any moment: one look, or none
                found = path.stat()
                # A link may point anywhere; what was given is this folder.
                if stat.S_ISREG(found.st_mode) and path.resolve().is_relative_to(root):
                    there.append((-found.st_mtime_ns, path.name, path))
        return [path for _, _, path in sorted(there)]

    def _entry(self, path: Path, kind: Kind, taken: dict[str, Entry]) -> Entry:
        live = self.live and path.name.endswith(SUFFIX)
        if live and not path.exists():
            path, live = _finished(path), False
        name = path.name.removesuffix(SUFFIX).removesuffix(_ENDINGS[kind])
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60].strip("-")
        if not slug or slug != name or slug in taken:
            slug = f"{slug or kind}-{hashlib.sha256(str(path).encode(errors='replace')).hexdigest()[:6]}"
        return Entry(slug, clean(name, 80), path, live, kind)


def _finished(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(SUFFIX))
