"""From a `.part` file to a recording: the end of `wgprof record`, and all of `wgprof recover`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from wgprof.errors import RecordingError
from wgprof.recording.anonymize import anonymized
from wgprof.recording.decode import Decoded, Decoder
from wgprof.recording.part import SUFFIX, DiskFull, PartReader, read_part, write_error
from wgprof.recording.untrusted import Damage
from wgprof.recording.writer import write_recording


@dataclass(frozen=True)
class Finished:
    """What became of a `.part`: `frames` whole frames went into the file, `dropped_bytes` after them did not."""

    path: Path
    size: int
    frames: int
    dropped_bytes: int
    complete: bool
    end_reason: str
    message: str
    duration_s: float
    journeys: int


def output_of(part: Path) -> Path:
    """Where the recording of a `.part` belongs: NAME.wgprof.part -> NAME.wgprof."""
    return part.with_name(part.name.removesuffix(SUFFIX)) if part.suffix == SUFFIX else part.with_suffix(".wgprof")


def finish_part(
    part: Path,
    out: Path,
    results: Mapping[str, Any] | None = None,
    *,
    interrupted: bool = False,
    end_reason: str = "",
    message: str = "",
    anonymize: bool = False,
) -> Finished:
    """Write the recording of a `.part`, then remove the `.part`.

    It is anonymised if `anonymize` says so, or if that was asked for when it was recorded.
    A `.part` that is cut off or damaged somewhere gives what came before.  `end_reason` and `message`
    are for a recorder that knows better than the frames why they ended (an agent that died); they count
    only if the agent did not say so itself.  Raises RecordingError if there is nothing to write, and
    DiskFull; the `.part` is then left as it was.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            reader = read_part(part)
            decoder = Decoder(Path(folder))
            frames, size, damage = _decode(reader, decoder)
            if not decoder.started:
                raise RecordingError(
                    f"{part} was cut off before anything was recorded", "There is nothing to recover; remove it."
                )
            decoded = decoder.finish()
            manifest = _manifest(decoded, results, interrupted, end_reason, _join(message, damage))
            manifest["part"] = {"frames": frames, "bytes": size, "dropped_bytes": reader.total - size}
            tables: Mapping[str, pa.Table | Path] = decoded.tables
            if anonymize or decoded.manifest["asked"].get("anonymize") is True:
                manifest, tables = anonymized(manifest, tables)
            written = write_recording(out, manifest, tables)
    except DiskFull as error:
        raise DiskFull(error.sentence, _remedy(part)) from error
    except OSError as error:
        raise write_error(error, out, _remedy(part)) from error
    if not part.samefile(out):  # a .part that had the recording's name is replaced by it already
        part.unlink()
    return Finished(
        path=out,
        size=out.stat().st_size,
        frames=frames,
        dropped_bytes=reader.total - size,
        complete=written["complete"],
        end_reason=written["end_reason"],
        message=written["message"],
        duration_s=written["duration_s"],
        journeys=written["tables"]["journeys"]["rows"],
    )


def _decode(reader: PartReader, decoder: Decoder) -> tuple[int, int, str]:
    """Feed frames until the end or the first damage: how many, their size, and what the damage was."""
    frames = size = 0
    for frame in reader:
        try:
            decoder.feed(frame)
        except Damage as damage:
            if not decoder.started:
                raise RecordingError(
                    f"{reader.path} could not be recovered: {damage.sentence}",
                    "Recover it with the wgprof that recorded it, or record again.",
                ) from damage
            return frames, size, damage.sentence
        frames, size = reader.frames, reader.size
    return frames, size, reader.damage


def _manifest(
    decoded: Decoded, results: Mapping[str, Any] | None, interrupted: bool, end_reason: str, message: str
) -> dict[str, Any]:
    manifest = dict(decoded.manifest)
    manifest["results"] = dict(results or {})
    manifest["interrupted"] = interrupted
    manifest["message"] = _join(manifest["message"], message)
    if end_reason and not manifest["complete"]:
        manifest["end_reason"] = end_reason
    return manifest


def _join(first: object, second: str) -> str:
    return "; ".join(words for words in (str(first), second) if words)


def _remedy(part: Path) -> str:
    return f"Everything recorded is kept in {part}: free some space, then run `wgprof recover {part}`."
