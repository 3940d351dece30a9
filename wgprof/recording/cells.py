"""From cumulative cells to what happened in an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wgprof.agent import layout
from wgprof.recording.schema import MAX_CPUS
from wgprof.recording.untrusted import Damage

#: One cell in a TICK, with its prefix.
CELL = np.dtype(
    [
        ("slot", "<u2"),
        ("cpu", "<u2"),
        ("kind", "<u2"),
        ("zero", "<u2"),
        ("counters", "<u8", (layout.COUNTERS,)),
        ("histogram", "<u4", (layout.BUCKETS,)),
    ]
)
assert CELL.itemsize == layout.CELL_PREFIX.size + layout.CELL.size
#: Cells kept at most: 218 MB.  A gateway with a thousand peers on 32 CPUs touches fewer.
MAX_CELLS = 1 << 18
#: More events than this in one bucket and interval is a counter that went backwards.
_MAX_BUCKET_STEP = 1 << 31

Ints = npt.NDArray[np.int64]
Cells = npt.NDArray[Any]


@dataclass(frozen=True)
class Steps:
    """What cells gained since they were last seen; one row a cell, in the order of slot, CPU, kind.

    `counters` (rows x 8) holds differences except in the columns of `layout.MAXIMA`, which are as
    they came; `histogram` is rows x 192.  `gained` says in which cells anything was counted.  A cell
    whose counters went backwards has `backwards` set and gained nothing: what it holds now counts as
    its new beginning.
    """

    slot: Ints
    cpu: Ints
    kind: Ints
    counters: Ints
    histogram: npt.NDArray[np.uint32]
    gained: npt.NDArray[np.bool_]
    backwards: npt.NDArray[np.bool_]


def parse_cells(payload: bytes) -> Cells:
    """The cells at the end of a TICK, one each, sorted.  Raises Damage."""
    if len(payload) % CELL.itemsize:
        raise Damage("a tick ends inside a cell")
    cells = np.frombuffer(payload, CELL)
    if not len(cells):
        return cells
    if int(cells["kind"].max()) >= len(layout.CELL_KINDS) or int(cells["cpu"].max()) >= MAX_CPUS or cells["zero"].any():
        raise Damage("a tick has a cell of an unknown kind or CPU")
    keys, first = np.unique(_keys(cells), return_index=True)
    if len(keys) != len(cells):
        raise Damage("a tick has the same cell twice")
    return cells[first]


def _keys(cells: Cells) -> Ints:
    wide = cells["slot"].astype(np.int64) << 32
    return np.asarray(wide | cells["cpu"].astype(np.int64) << 16 | cells["kind"], np.int64)


_IS_MAXIMUM = np.array(
    [[name in layout.MAXIMA for name in (*kind.counters, *[""] * layout.COUNTERS)][: layout.COUNTERS]
     for kind in layout.CELL_KINDS]
)  # fmt: skip


class CellStore:
    """The last known state of every cell."""

    def __init__(self) -> None:
        self._keys: Ints = np.empty(0, np.int64)  # sorted
        self._rows: Ints = np.empty(0, np.int64)  # where in the arrays below each key lies
        self._counters = np.zeros((0, layout.COUNTERS), np.uint64)
        self._histogram = np.zeros((0, layout.BUCKETS), np.uint32)

    def update(self, cells: Cells) -> Steps:
        """Take in the cells of a tick (from `parse_cells`) and say what they gained.

        A cell never seen before began at zero.  Raises Damage above MAX_CELLS.
        """
        rows = self._locate(_keys(cells))
        counters, histogram = cells["counters"], cells["histogram"]
        kind = cells["kind"].astype(np.int64)
        maximum = _IS_MAXIMUM[kind]
        # In unsigned arithmetic a step backwards is a huge step forwards; so is a bucket's, except that
        # buckets may also wrap at 32 bits, which the subtraction undoes.
        gained = counters - self._counters[rows]
        grown = histogram - self._histogram[rows]
        too_large = (gained >> np.uint64(63)).any(axis=1) | (counters >> np.uint64(63)).any(axis=1)
        backwards = too_large | (grown >= _MAX_BUCKET_STEP).any(axis=1)
        self._counters[rows] = counters
        self._histogram[rows] = histogram
        gained[backwards] = 0
        grown[backwards] = 0
        some = (gained.astype(bool) & ~maximum).any(axis=1)
        gained = np.where(maximum, counters, gained)
        return Steps(
            cells["slot"].astype(np.int64),
            cells["cpu"].astype(np.int64),
            kind,
            gained.view(np.int64),
            grown,
            some,
            np.asarray(backwards, np.bool_),
        )

    def _locate(self, keys: Ints) -> Ints:
        """Rows of the keys' states; new keys get new rows of zeros."""
        new = np.setdiff1d(keys, self._keys, assume_unique=True)
        if len(new):
            self._grow(new)
        return self._rows[np.searchsorted(self._keys, keys)]

    def _grow(self, new: Ints) -> None:
        count = len(self._keys)
        if count + len(new) > MAX_CELLS:
            raise Damage(f"a recording of more than {MAX_CELLS} cells")
        if count + len(new) > len(self._counters):
            room = max(64, 2 * len(self._counters), count + len(new))
            self._counters = _resized(self._counters, room)
            self._histogram = _resized(self._histogram, room)
        places = np.searchsorted(self._keys, new)
        self._keys = np.insert(self._keys, places, new)
        self._rows = np.insert(self._rows, places, np.arange(count, count + len(new)))


def _resized(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    larger = np.zeros((rows, array.shape[1]), array.dtype)
    larger[: len(array)] = array
    return larger
