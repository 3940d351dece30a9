"""What analysis asks of a recording, and the few table idioms all of it shares."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from wgprof.analysis.window import Window

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

DIRECTIONS = ("tx", "rx")
#: The stages of each direction, in the order a packet meets them.
STAGES: Mapping[str, tuple[str, str, str]] = {
    "tx": ("tx.stage", "tx.encrypt", "tx.send"),
    "rx": ("rx.receive", "rx.decrypt", "rx.deliver"),
}
#: The waits between them: WAITS[d][i] lies between STAGES[d][i] and STAGES[d][i + 1].
WAITS: Mapping[str, tuple[str, str]] = {
    "tx": ("tx.encrypt.wait", "tx.send.wait"),
    "rx": ("rx.decrypt.wait", "rx.deliver.wait"),
}
#: The queue one waits in for the second stage, and the one held until the third.
RINGS: Mapping[str, str] = {"tx": "encrypt-ring", "rx": "decrypt-ring"}
PEER_QUEUES: Mapping[str, str] = {"tx": "tx-queue", "rx": "rx-queue"}
#: MAX_QUEUED_PACKETS and MAX_STAGED_PACKETS, drivers/net/wireguard/messages.h.
LIMITS: Mapping[str, int] = {
    "tx.staged": 128,
    "encrypt-ring": 1024,
    "tx-queue": 1024,
    "decrypt-ring": 1024,
    "rx-queue": 1024,
}
#: How the names of what belongs to transmit begin: of stages, servers, queues, metrics, locks.
_TX = ("tx.", "tx-", "encrypt")


class Tables(Protocol):
    """A recording as analysis sees it: `wgprof.recording.reader.Recording` is one."""

    @property
    def manifest(self) -> dict[str, Any]: ...

    def table(self, name: str) -> pd.DataFrame:
        """The table with all columns of `wgprof.recording.schema`, possibly without rows."""
        ...


def direction_of(name: str) -> str:
    """tx or rx: that of a stage, server, queue, metric or lock."""
    return DIRECTIONS[0] if name.startswith(_TX) else DIRECTIONS[1]


def ints(frame: pd.DataFrame, column: str) -> IntArray:
    """A column as 64 bit integers."""
    return frame[column].to_numpy(dtype=np.int64)


def total(frame: pd.DataFrame, column: str) -> int:
    """The sum of a counting column."""
    return int(ints(frame, column).sum())


def only(frame: pd.DataFrame, **equal: object) -> pd.DataFrame:
    """The rows in which each named column has the given value: the frame itself if they all have, so do not change it.

    Taking rows costs more than finding them, and most tables of most recordings are empty, or of one device.
    """
    if not len(frame):
        return frame
    keep = np.ones(len(frame), dtype=bool)
    for column, value in equal.items():
        keep &= np.asarray(frame[column].array == value, dtype=bool)
    return frame if keep.all() else frame[keep]


def within(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The rows whose interval lies in the window; see `only`."""
    t_ns = ints(frame, "t_ns")
    keep = (t_ns >= window.start_ns) & (t_ns < window.end_ns)
    return frame if keep.all() else frame[keep]


def by_object(frame: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The rows of each object, in the order of their numbers; see `only`."""
    numbers = ints(frame, "object")
    if not numbers.size or (numbers == numbers[0]).all():
        return dict.fromkeys(numbers[:1].tolist(), frame)
    order = np.argsort(numbers, kind="stable")
    numbers, rows = numbers[order], frame.iloc[order]
    bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), numbers.size]
    return {int(numbers[begin]): rows.iloc[begin:end] for begin, end in itertools.pairwise(bounds)}


class Totals:
    """Sums of counting columns by a name and a number (of an object, or a CPU), for many look-ups."""

    def __init__(self, frame: pd.DataFrame, name: str, values: Sequence[str], by: str = "object") -> None:
        self._values = tuple(values)
        self._rows: dict[tuple[str, int], list[int]] = {}
        if not len(frame):
            return
        kind, kinds = pd.factorize(frame[name])
        number, numbers = pd.factorize(ints(frame, by))
        sums = np.zeros((len(self._values), len(kinds) * numbers.size), dtype=np.int64)
        for column, into in zip(self._values, sums, strict=True):
            np.add.at(into, kind * numbers.size + number, ints(frame, column))
        keys = itertools.product(map(str, kinds), numbers.tolist())
        self._rows = dict(zip(keys, sums.T.tolist(), strict=True))

    def of(self, name: str, objects: Sequence[int]) -> dict[str, int]:
        """The sums over some objects, by column."""
        rows = [self._rows[name, number] for number in objects if (name, number) in self._rows]
        return {column: sum(row[at] for row in rows) for at, column in enumerate(self._values)}
