"""Opens a recording, which may come from anybody: nothing in it is trusted, nothing unpickled.

The ZIP's directory is checked before a byte is read (known names, stored, no larger than the file),
every member against its checksum, every table against its schema, its size against that of the
file, and every number against its bounds.  Whatever is wrong ends in one sentence.
"""

from __future__ import annotations

import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa

from wgprof.errors import RecordingError
from wgprof.recording import parquet
from wgprof.recording.archive import one_sentence, stored_members
from wgprof.recording.manifest import MAX_MANIFEST, completed
from wgprof.recording.schema import BY_NAME, MAGIC, SCHEMA_VERSION, Table
from wgprof.recording.untrusted import Damage, parse_object, printable
from wgprof.recording.upgrade import old_schema, upgradable, upgrade_manifest, upgrade_table
from wgprof.recording.writer import MANIFEST, member, this_version

#: No table's file is larger: 100 million journeys take less.
MAX_MEMBER = 2 << 30
_MAX_MEMBERS = 100
#: By far the largest table, and everything that wants it joins it once: it is not kept in memory.
_USED_ONCE = frozenset({"journeys"})


class Recording:
    """A recording: `manifest`, a JSON object with every key of manifest.py, and tables, read when asked for.

    Use it as a context manager, or forget it: its file is closed with it.
    """

    def __init__(self, manifest: dict[str, Any], source: _Archive | Mapping[str, pa.Table], path: Path | None) -> None:
        self.manifest = manifest
        self.path = path
        self._source = source
        self._frames: dict[str, pd.DataFrame] = {}

    @classmethod
    def from_tables(
        cls, manifest: Mapping[str, Any], tables: Mapping[str, pa.Table | pd.DataFrame | Path]
    ) -> Recording:
        """A recording that is in no file: for tests, and for what was just decoded.  Missing tables are empty.

        Raises RecordingError if a table does not fit its schema.
        """
        found = {name: _as_arrow(BY_NAME[name], data) for name, data in tables.items()}
        whole = completed({"magic": MAGIC, "schema_version": SCHEMA_VERSION, "complete": True, **manifest})
        return cls(whole, found, None)

    def arrow(self, name: str) -> pa.Table:
        """A table of schema.py as Arrow, its columns as they are there.  Raises RecordingError if it is damaged."""
        table = BY_NAME[name]
        if isinstance(self._source, _Archive):
            return self._source.table(table)
        return self._source.get(name, table.arrow.empty_table())

    def table(self, name: str) -> pd.DataFrame:
        """A table of schema.py, always with all its columns: integers, `str`, and category for the short texts.

        The caller may change what it gets.  Raises RecordingError if the table is damaged, KeyError if
        there is no such table.
        """
        if name in self._frames:
            return self._frames[name].copy(deep=False)
        data = self.arrow(name)
        with one_sentence(self.path):
            frame = data.unify_dictionaries().to_pandas(ignore_metadata=True, split_blocks=True)
        if name in _USED_ONCE:
            return frame
        self._frames[name] = frame
        return frame.copy(deep=False)

    def close(self) -> None:
        if isinstance(self._source, _Archive):
            self._source.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_recording(path: Path, name: Path | None = None) -> Recording:
    """Open a recording.  Raises RecordingError, in one sentence, if it cannot be read or is none.

    `name` is what the user knows it by, if that is not its path.
    """
    name = name or path
    with one_sentence(name):
        archive = _Archive(path, name)
        try:
            return Recording(archive.manifest, archive, name)
        except BaseException:
            archive.close()
            raise


class _Archive:
    """The ZIP of a recording, its directory and manifest checked."""

    def __init__(self, path: Path, name: Path) -> None:
        self.path = name
        self._zip = _open_zip(path, name)
        self._close = weakref.finalize(self, self._zip.close)
        if MANIFEST not in self._zip.namelist():
            raise RecordingError(f"{name} is a ZIP file, but not a wgprof recording", "`wgprof record` makes one.")
        self._members = stored_members(self._zip, path.stat().st_size, _MAX_MEMBERS)
        found = parse_object(self._read(MANIFEST, MAX_MANIFEST), "the manifest")
        self._version = _version(found, name)
        self.manifest = completed(upgrade_manifest(found, self._version, SCHEMA_VERSION))
        self._listed: dict[str, Any] = self.manifest["tables"]
        self._check_members()

    def _check_members(self) -> None:
        """What the manifest lists must be there, and nothing else: a damaged directory may hide files."""
        there = {MANIFEST, *(member(name) for name in self._listed)}
        if there != set(self._members):
            names = ", ".join(sorted(there ^ set(self._members)))[:200]
            raise Damage(f"files differ from its manifest: {printable(names)}")

    def table(self, table: Table) -> pa.Table:
        with one_sentence(self.path):
            what = f"table {table.name}"
            schema = old_schema(table.name, self._version, SCHEMA_VERSION, table.arrow)
            data: pa.Table | None = None
            if schema is not None and table.name in self._listed:
                data = parquet.decode(schema, self._read(member(table.name), MAX_MEMBER), what)
                if data.num_rows != dict(self._listed[table.name]).get("rows"):
                    raise Damage(f"{what} has not as many rows as the manifest says")
            data = upgrade_table(table.name, data, self._version, SCHEMA_VERSION)
            if data is None:
                data = table.arrow.empty_table()
            parquet.check_bounds(table, data, what)
            return data

    def _read(self, name: str, limit: int) -> bytes:
        info = self._members[name]
        if info.file_size > limit:
            raise Damage(f"{name} is {info.file_size} bytes long")
        return self._zip.read(info)

    def close(self) -> None:
        self._close()


def _open_zip(path: Path, name: Path) -> zipfile.ZipFile:
    with path.open("rb") as stream:
        head = stream.read(4)
    if head == b"WGPF":
        raise RecordingError(f"{name} was not finished", f"Finish it with `wgprof recover {name}`.")
    if head[:2] != b"PK":
        raise RecordingError(f"{name} is not a wgprof recording", "`wgprof record` makes one.")
    return zipfile.ZipFile(path)


def _version(manifest: Mapping[str, Any], path: Path) -> int:
    version = manifest.get("schema_version")
    if manifest.get("magic") != MAGIC or type(version) is not int or version < 0:
        raise RecordingError(f"{path} is a ZIP file, but not a wgprof recording", "`wgprof record` makes one.")
    if version > SCHEMA_VERSION:
        writer = str(manifest.get("writer_version", "of a later version"))[:40]
        raise RecordingError(
            f"{path} was written by a newer wgprof (format {version}; this is wgprof {this_version()}, "
            f"which reads up to format {SCHEMA_VERSION})",
            f"Install wgprof {writer!a} or newer.".replace("'", ""),
        )
    if not upgradable(version, SCHEMA_VERSION):
        raise RecordingError(
            f"{path} has format {version}, which this wgprof no longer reads", "Record it again with this wgprof."
        )
    return version


def _as_arrow(table: Table, data: pa.Table | pd.DataFrame | Path) -> pa.Table:
    with one_sentence(None):
        if isinstance(data, Path):
            return parquet.decode(table.arrow, data.read_bytes(), f"table {table.name}")
        if isinstance(data, pd.DataFrame):
            return pa.Table.from_pandas(data, schema=table.arrow, preserve_index=False).replace_schema_metadata()
        return data.cast(table.arrow)
