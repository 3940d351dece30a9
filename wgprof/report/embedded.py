"""A recording inside a report: put there in Base64, and read back as the untrusted thing that it is."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import tempfile
from pathlib import Path

import pyarrow as pa

from wgprof.analysis import units
from wgprof.analysis.coarser import SCREEN_INTERVALS, Coarser
from wgprof.analysis.tables import Tables
from wgprof.errors import RecordingError
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import BY_NAME
from wgprof.recording.writer import write_recording

#: The element that holds a report's recording; a comparison has that of the other one, too.
ELEMENT, OTHER_ELEMENT = "recording", "recording-against"
#: No report of ours is nearly as long.
_LONGEST = 64 << 20
_OPENING = re.compile(rb'<script type="application/x-wgprof" id="' + ELEMENT.encode() + rb'">')
_CLOSING = b"</script>"
_HEAD = b"<!doctype html>"
_TRIES = 5
#: A row of journeys takes more.
_BYTES_AN_EVENT = 6


def packed(recording: Tables, most_bytes: int) -> tuple[bytes, str]:
    """The recording as a file of at most so many bytes, and in what it is less than the original (or empty).

    Larger ones get longer intervals and fewer journeys; if that is not enough, nothing is packed.
    """
    original = _original(recording)
    if 0 < len(original) <= most_bytes:
        return original, ""
    events = min(len(recording.table("journeys")), most_bytes // _BYTES_AN_EVENT)
    intervals = len(recording.table("intervals"))
    for _ in range(_TRIES):
        coarse = Coarser(recording, min(intervals, SCREEN_INTERVALS), events)
        data = _encoded(coarse)
        if len(data) <= most_bytes:
            return data, _less(coarse)
        # Journeys are most of a recording; the intervals' tables are cut more slowly.
        events = max(events * most_bytes // len(data) // 2, 1)
        intervals = max(min(intervals, SCREEN_INTERVALS) * 2 // 3, 1)
    return b"", "The recording is too large to be contained in this report."


def _original(tables: Tables) -> bytes:
    """The file that a recording is read from; empty if it is in none of its own."""
    path = tables.path if isinstance(tables, Recording) else None
    with contextlib.suppress(OSError):
        if path is not None and path.stat().st_size <= _LONGEST:
            data = path.read_bytes()
            return data if data.startswith(b"PK") else b""
    return b""


def _less(coarse: Coarser) -> str:
    parts = [f"one in {coarse.thinned} of the sampled packets"] if coarse.thinned > 1 else []
    if coarse.together > 1:
        parts.append(f"intervals of about {units.digits(coarse.interval_s, 2)} s")
    return f"To keep the report small its recording has {' and '.join(parts)}." if parts else ""


def _encoded(tables: Tables) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.wgprof"
        frames = {name: tables.table(name) for name in BY_NAME}
        write_recording(
            out,
            tables.manifest,
            {
                name: pa.Table.from_pandas(frame, BY_NAME[name].arrow, preserve_index=False).replace_schema_metadata()
                for name, frame in frames.items()
            },
        )
        return out.read_bytes()


def open_recording_or_report(path: Path) -> Recording:
    """Open a recording, or the one that a report contains.

    Raises RecordingError, in one sentence, if it is neither, or if what a report contains is no sound recording.
    """
    return _from_report(path) if _is_report(path) else open_recording(path)


def _is_report(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return stream.read(len(_HEAD)).lower() == _HEAD
    return False


def _from_report(path: Path) -> Recording:
    if path.stat().st_size > _LONGEST:
        raise RecordingError(f"{path} is too long for a report", "Name the recording itself.")
    page = path.read_bytes()
    opening = _OPENING.search(page)
    end = page.find(_CLOSING, opening.end()) if opening else -1
    if opening is None or end < 0:
        raise RecordingError(
            f"{path} is a web page that contains no recording", "`wgprof report` writes pages that do, if it fits."
        )
    try:
        data = base64.b64decode(page[opening.end() : end].strip(), validate=True)
    except binascii.Error as error:
        raise RecordingError(
            f"{path} is damaged: its recording is not Base64", "Copy it again from where it came."
        ) from error
    # Whoever has opened a file may go on reading it after it is gone.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.wgprof"
        file.write_bytes(data)
        return open_recording(file, path)
