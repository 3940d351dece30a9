"""How tables become Parquet and come back: the options of the writer, the suspicion of the reader."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgprof.recording.schema import MAX_ROWS, MAX_STRING, Table
from wgprof.recording.untrusted import Damage

#: Rows in a row group: large enough to compress, small enough to keep the writer's memory flat.
ROW_GROUP = 1 << 18
#: Real tables shrink by less than a factor of 100; a file that claims more is built to fill the memory.
MAX_RATIO = 1000
_RATIO_FLOOR = 16 << 20
#: Columns in which few values repeat: differences pack them better than a dictionary.
_DISTINCT = {"journeys": ("end_ns", "nonce", "service_ns")}


def options(table: Table) -> dict[str, Any]:
    """Keyword arguments of ParquetWriter for a table."""
    distinct = _DISTINCT.get(table.name, ())
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [column.name for column in table.columns if column.name not in distinct],
        "column_encoding": dict.fromkeys(distinct, "DELTA_BINARY_PACKED") or None,
    }


def encode(table: Table, data: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.arrow, **options(table)) as writer:
        writer.write_table(data, row_group_size=ROW_GROUP)
    return sink.getvalue()


def open_writer(table: Table, path: Path) -> pq.ParquetWriter:
    """A Parquet file that grows by row groups."""
    return pq.ParquetWriter(str(path), table.arrow, **options(table))


def rows(path: Path) -> int:
    """How many rows a Parquet file of ours has."""
    return pq.read_metadata(str(path)).num_rows


def decode(expected: pa.Schema, data: bytes, what: str) -> pa.Table:
    """The table in the bytes of a Parquet file, its schema checked and its size bounded before it is read.

    Raises Damage; what pyarrow raises on damaged bytes comes through.
    """
    strings = [field.name for field in expected if field.type == pa.string()]
    # As dictionaries, so that a string is held once, however many rows a hostile file repeats it in.
    file = pq.ParquetFile(io.BytesIO(data), read_dictionary=strings)
    _check_schema(file.schema_arrow, expected, strings, what)
    _check_size(file.metadata.num_rows, expected, len(data), what)
    table = file.read(use_threads=True)
    table.validate(full=True)
    columns = [_plain(table.column(field.name), field, what) for field in expected]
    return pa.Table.from_arrays(columns, schema=expected)


def _check_schema(found: pa.Schema, expected: pa.Schema, strings: list[str], what: str) -> None:
    text = pa.dictionary(pa.int32(), pa.string())
    wanted = [(f.name, text if f.name in strings else f.type, f.nullable) for f in expected]
    if [(f.name, f.type, f.nullable) for f in found] != wanted:
        raise Damage(f"{what} does not have the columns of that table")


def _check_size(rows: int, expected: pa.Schema, size: int, what: str) -> None:
    width = sum(
        4 if pa.types.is_dictionary(f.type) or f.type == pa.string() else f.type.bit_width // 8 for f in expected
    )
    if not 0 <= rows <= MAX_ROWS or rows * width > max(size * MAX_RATIO, _RATIO_FLOOR):
        raise Damage(f"{what} claims {rows} rows in {size} bytes")


def _plain(column: pa.ChunkedArray[Any], field: pa.Field[Any], what: str) -> pa.ChunkedArray[Any]:
    """Check a column's strings and undo the dictionary of those that are plain strings in the schema."""
    if not pa.types.is_dictionary(column.type):
        return column
    total = 0
    for chunk in column.chunks:
        assert isinstance(chunk, pa.DictionaryArray)
        lengths = pc.binary_length(cast(pa.StringArray, chunk.dictionary))
        if len(lengths) and (pc.max(lengths).as_py() or 0) > MAX_STRING:
            raise Damage(f"{what} has a string of more than {MAX_STRING} bytes")
        total += pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0
    if pa.types.is_dictionary(field.type):
        return column
    if total > MAX_ROWS:
        raise Damage(f"{what} has {total} bytes of text")
    return column.cast(pa.string())


def check_bounds(table: Table, data: pa.Table, what: str) -> None:
    """Raise Damage if a number is outside its column's bounds: what comes after counts on them."""
    for column in table.columns:
        if not pa.types.is_integer(column.type) or data.num_rows == 0:
            continue
        low, high = pc.min_max(data.column(column.name)).values()
        if low.as_py() < column.low or (column.high is not None and high.as_py() > column.high):
            raise Damage(f"{what} has {column.name} from {low} to {high}")
