"""A recording that is being changed: a manifest and tables, and what every construction does with them.

Everything is pure: a draft in, another draft out.  Figures stay whole numbers and keep their sums, so that what
balanced before balances after.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from wgprof.analysis.tables import BoolArray, FloatArray, IntArray, ints
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import BY_NAME
from wgprof.recording.writer import write_recording

#: What tells the rows of a table apart, if it is there; all other columns are figures.
_KEYS = ("t_ns", "dt_ns", "cpu", "object", "stage", "server", "queue", "metric", "bucket", "lock")
#: Keys of a manifest that the writer adds.
_WRITTEN = frozenset({"magic", "schema_version", "writer_version", "tables"})
Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Draft:
    """`tables` has every table of the schema."""

    manifest: dict[str, Any]
    tables: Frames

    def table(self, name: str) -> pd.DataFrame:
        """A table, which may be changed."""
        return self.tables[name].copy()

    def having(self, tables: Frames | None = None, **manifest: object) -> Draft:
        """The same with other tables, and other keys of the manifest."""
        return Draft({**copy.deepcopy(self.manifest), **manifest}, {**self.tables, **(tables or {})})

    def changed(self, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Draft:
        """The same with one table changed."""
        return self.having({name: change(self.table(name))})

    def recording(self) -> Recording:
        """As a recording that is in no file.  Raises RecordingError if a table does not fit its schema."""
        return Recording.from_tables(self.manifest, self._arrow())

    def write(self, path: Path) -> None:
        """As a file, like any recording's.  Raises DiskFull or RecordingError."""
        write_recording(path, self.manifest, self._arrow())

    def _arrow(self) -> dict[str, pa.Table]:
        return {
            name: pa.Table.from_pandas(frame, schema=BY_NAME[name].arrow, preserve_index=False)
            for name, frame in self.tables.items()
        }

    @property
    def cpus(self) -> tuple[int, ...]:
        """Numbers of the CPUs."""
        return tuple(sorted(int(cpu) for cpu in self.tables["cpus"]["cpu"].unique()))


def measured(path: Path) -> Draft:
    """A recording as it is.  Raises RecordingError."""
    with open_recording(path) as recording:
        frames = {name: recording.table(name) for name in BY_NAME}
        texts = {name: list(frame.select_dtypes("category").columns) for name, frame in frames.items()}
        told = {key: value for key, value in recording.manifest.items() if key not in _WRITTEN}
        tables = {name: frame.astype(dict.fromkeys(texts[name], "object")) for name, frame in frames.items()}
        return Draft(copy.deepcopy(told), tables)


def merged(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the same interval, place and kind made one; largest depths stay the largest."""
    keys = [key for key in _KEYS if key in frame]
    how = {column: "max" if column == "depth_max" else "sum" for column in frame if column not in keys}
    grouped = frame.groupby(keys, sort=True, as_index=False, observed=True).agg(how)
    return grouped[list(frame.columns)]


def shared_out(whole: IntArray, parts: FloatArray | IntArray) -> IntArray:
    """`parts` (not negative) rounded so that their running sum is never off by one; `whole` bounds each from above."""
    running = np.floor(np.cumsum(parts) + 0.5).astype(np.int64)
    shares: IntArray = np.minimum(np.diff(running, prepend=0), whole)
    return shares


def paid(draft: Draft, spent: pd.DataFrame, account: str) -> Draft:
    """The kernel's account of CPU time after work took more or less of it than was measured.

    `spent`: t_ns, cpu and ns, more than before, or less if negative.  It is taken from the idle time of the same CPU,
    or given back to it, in that interval or, as far as that does not suffice, in the next ones.  `account`:
    softirq_ns or system_ns; where less is to be given back from there than there is, the other gives.
    """
    cpus = draft.table("cpus").sort_values(["cpu", "t_ns"], ignore_index=True)
    wanted = spent.groupby(["cpu", "t_ns"])["ns"].sum()
    want = wanted.reindex(pd.MultiIndex.from_frame(cpus[["cpu", "t_ns"]])).fillna(0).to_numpy(dtype=np.int64)
    other = "system_ns" if account == "softirq_ns" else "softirq_ns"
    columns = {name: ints(cpus, name).copy() for name in ("idle_ns", account, other)}
    for cpu in np.unique(cpus["cpu"][want != 0]):
        owed = 0
        for row in np.flatnonzero(ints(cpus, "cpu") == cpu).tolist():
            owed += int(want[row])
            sources = ("idle_ns",) if owed > 0 else (account, other)
            target = account if owed > 0 else "idle_ns"
            for source in sources:
                moved = min(abs(owed), int(columns[source][row]))
                columns[source][row] -= moved
                columns[target][row] += moved
                owed -= moved if owed > 0 else -moved
    results = draft.manifest["results"]
    given_s = results["host_cpu_s"] + float(spent["ns"].sum()) / 1e9  # the host of the lab gave that as well
    return draft.having({"cpus": cpus.assign(**columns)}, results={**results, "host_cpu_s": given_s})


def more(frame: pd.DataFrame, ns: IntArray | FloatArray) -> pd.DataFrame:
    """What `paid` takes, of the rows of a table."""
    return pd.DataFrame({"t_ns": frame["t_ns"], "cpu": frame["cpu"], "ns": np.asarray(ns)})


def chosen(frame: pd.DataFrame, **among: object) -> BoolArray:
    """The rows in which each named column has one of the given values."""
    keep = np.ones(len(frame), dtype=bool)
    for column, values in among.items():
        keep &= frame[column].isin(values if isinstance(values, (list, tuple, range, set)) else [values]).to_numpy()
    return keep
