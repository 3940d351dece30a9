"""Collects a table's rows as numpy columns, and moves them to disk when they become many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from wgprof.recording import parquet
from wgprof.recording.schema import MAX_ROWS, Table

Column = npt.NDArray[Any]
#: Small additions are joined when there are this many, so that an hour of ticks is not millions of arrays.
_JOIN = 256


class Names:
    """Strings numbered in the order they were met: the categories of a text column."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def arrow(self) -> pa.StringArray:
        return pa.array(list(self._numbers), pa.string())


class Sink:
    """Rows of one table.

    `add` takes a column each as an array of `rows` values, or one value for all of them; text columns
    as numbers into `names[column]`.  With `spill`, a folder, full row groups go to a Parquet file there.
    Rows beyond MAX_ROWS are counted in `dropped` and not kept.
    """

    def __init__(self, table: Table, names: Mapping[str, Names], spill: Path | None = None) -> None:
        self.table = table
        self.rows = 0
        self.dropped = 0
        self._names = names
        self._path = spill / f"{table.name}.parquet" if spill else None
        self._writer: pq.ParquetWriter | None = None
        self._types = {c.name: np.int32 if c.name in names else c.type.to_pandas_dtype() for c in table.columns}
        self._pending: list[dict[str, Column]] = []
        self._pending_rows = 0
        self._groups: list[pa.Table] = []

    def add(self, rows: int, **columns: Column | int) -> None:
        """Append rows; the arrays are copied only if their types differ from the table's."""
        if rows == 0:
            return
        if self.rows + rows > MAX_ROWS:
            self.dropped += rows
            return
        self._pending.append({name: self._column(columns[name], kind, rows) for name, kind in self._types.items()})
        self.rows += rows
        self._pending_rows += rows
        if self._pending_rows >= parquet.ROW_GROUP:
            self._flush()
        elif len(self._pending) >= _JOIN:
            self._join()

    @staticmethod
    def _column(value: Column | int, kind: Any, rows: int) -> Column:
        if isinstance(value, np.ndarray):
            return np.ascontiguousarray(value, dtype=kind)
        return np.full(rows, value, dtype=kind)

    def _join(self) -> None:
        self._pending = [{name: np.concatenate([p[name] for p in self._pending]) for name in self._types}]

    def _flush(self) -> None:
        if not self._pending:
            return
        self._join()
        (group,) = self._pending
        self._pending, self._pending_rows = [], 0
        data = pa.Table.from_arrays([self._arrow(name, group[name]) for name in self._types], schema=self.table.arrow)
        if self._path is None:
            self._groups.append(data)
            return
        if self._writer is None:
            self._writer = parquet.open_writer(self.table, self._path)
        self._writer.write_table(data, row_group_size=2 * parquet.ROW_GROUP)

    def _arrow(self, name: str, values: Column) -> pa.Array[Any]:
        if name in self._names:
            return pa.DictionaryArray.from_arrays(values, self._names[name].arrow())
        return pa.array(values)

    def close(self) -> pa.Table | Path:
        """The table, or the Parquet file that holds it if it was too large to keep."""
        if self._writer is not None:
            self._flush()
            self._writer.close()
            assert self._path is not None
            return self._path
        path, self._path = self._path, None
        self._flush()
        self._path = path
        if not self._groups:
            return self.table.arrow.empty_table()
        return pa.concat_tables(self._groups).unify_dictionaries()
