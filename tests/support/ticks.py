"""Single frames by hand, for tests that need one certain number in one certain place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.support import documents
from wgprof.agent import layout
from wgprof.agent.frames import Frame, Kind
from wgprof.recording.cells import CELL
from wgprof.recording.decode import Decoded, Decoder

Cell = tuple[int, int, int, Sequence[int], Mapping[int, int]]


def kind(group: str, name: str) -> int:
    return next(k.number for k in layout.CELL_KINDS if (k.group, k.name) == (group, name))


STAGE = kind("stage", "tx.encrypt")
DEPTH = kind("depth", "tx-queue")
ARRIVAL = kind("arrival", "tx-queue")


def cell(slot: int, cpu: int, number: int, counters: Sequence[int], histogram: Mapping[int, int] | None = None) -> Cell:
    return slot, cpu, number, counters, histogram or {}


def hello(**changes: Any) -> Frame:
    return Frame(Kind.HELLO, 0, json.dumps({**documents.hello(2, 1, 4), **changes}).encode())


def tick(sequence: int, t_ns: int, *cells: Cell, **values: Any) -> Frame:
    text = json.dumps({"t_ns": t_ns, "sample_every": 4, **values}).encode()
    rows = np.zeros(len(cells), CELL)
    for row, (slot, cpu, number, counters, histogram) in zip(rows, cells, strict=True):
        row["slot"], row["cpu"], row["kind"] = slot, cpu, number
        row["counters"][: len(counters)] = counters
        for bucket, count in histogram.items():
            row["histogram"][bucket] = count
    return Frame(Kind.TICK, sequence, len(text).to_bytes(4, "little") + text + rows.tobytes())


def end(sequence: int, **values: Any) -> Frame:
    return Frame(Kind.END, sequence, json.dumps({"reason": "duration", "t_ns": 1, **values}).encode())


def decode(*frames: Frame) -> Decoded:
    decoder = Decoder()
    for frame in frames:
        decoder.feed(frame)
    return decoder.finish()
