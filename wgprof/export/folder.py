"""All tables of a recording as files in a folder: CSV, or Parquet as the recording has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from wgprof.errors import RecordingError, UsageError
from wgprof.recording.reader import Recording
from wgprof.recording.schema import TABLES


def _write_csv(data: pa.Table, path: Path) -> None:
    plain = pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in data.schema])
    pc.write_csv(data.cast(plain), str(path))


def _write_parquet(data: pa.Table, path: Path) -> None:
    pq.write_table(data, str(path), compression="zstd")


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {"csv": _write_csv, "parquet": _write_parquet}


def export_folder(recording: Recording, form: str, folder: Path) -> int:
    """Write `TABLE.csv` or `TABLE.parquet` for each table, and `manifest.json`, into a new folder; their size.

    Raises UsageError if the folder has something in it, RecordingError if it cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "Name a new folder with -o.")
        (folder / "manifest.json").write_text(json.dumps(recording.manifest, indent=1))
        for table in TABLES:
            WRITERS[form](recording.arrow(table.name), folder / f"{table.name}.{form}")
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError as error:
        raise RecordingError(f"{folder} could not be written: {error.strerror or error}") from error
