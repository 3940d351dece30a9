"""Writes a recording: a ZIP, nothing compressed in it, `manifest.json` first and then a Parquet file a table."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from wgprof.recording import parquet
from wgprof.recording.manifest import completed
from wgprof.recording.part import write_error
from wgprof.recording.schema import MAGIC, SCHEMA_VERSION, TABLES

SUFFIX = ".wgprof"
MANIFEST = "manifest.json"
#: The ZIP format's first day: the same tables make the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20


def this_version() -> str:
    """The version of wgprof that is running; 0 in a checkout that is not installed."""
    try:
        return metadata.version("wgprof")
    except metadata.PackageNotFoundError:
        return "0"


def member(table: str) -> str:
    """The name of a table's file inside the ZIP."""
    return f"{table}.parquet"


def write_recording(path: Path, manifest: Mapping[str, Any], tables: Mapping[str, pa.Table | Path]) -> dict[str, Any]:
    """Write a recording to `path`, replacing what was there, all or nothing.

    `tables` has a table of each name of schema.py, or the Parquet file that holds it; one that is
    missing is written empty.  Returns the manifest as written.  Raises DiskFull, or RecordingError if
    `path` cannot be written.
    """
    encoded: dict[str, bytes | Path] = {}
    rows: dict[str, int] = {}
    for table in TABLES:
        data = tables.get(table.name, table.arrow.empty_table())
        encoded[table.name] = data if isinstance(data, Path) else parquet.encode(table, data)
        rows[table.name] = parquet.rows(data) if isinstance(data, Path) else data.num_rows
    whole = completed(
        {
            **manifest,
            "magic": MAGIC,
            "schema_version": SCHEMA_VERSION,
            "writer_version": this_version(),
            "tables": {name: {"rows": rows[name], "bytes": _size(content)} for name, content in encoded.items()},
        },
        lenient=True,
    )
    try:
        with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            add_member(archive, MANIFEST, json.dumps(whole, indent=1).encode())
            for name, content in encoded.items():
                add_member(archive, member(name), content)
    except OSError as error:
        raise write_error(error, path) from error
    return whole


def _size(data: bytes | Path) -> int:
    return data.stat().st_size if isinstance(data, Path) else len(data)


def add_member(archive: zipfile.ZipFile, name: str, data: bytes | Path) -> None:
    """Store bytes, or a file as it is, under a name."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.external_attr = 0o644 << 16
    info.file_size = _size(data)
    with archive.open(info, "w") as target:
        if isinstance(data, bytes):
            target.write(data)
        else:
            with data.open("rb") as source:
                shutil.copyfileobj(source, target, _BLOCK)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is complete and on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
