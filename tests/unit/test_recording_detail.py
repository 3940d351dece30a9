"""The cells beside those of the stages: each reaches its table, and a file without the tables is read all the same."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.frames import synthetic_recording
from tests.support.ticks import cell, decode, hello, kind, tick
from tests.unit.test_agent_maps import cells_of, memory
from tests.unit.test_recording_decode import rows
from wgprof.agent import maps
from wgprof.agent.layout import CELL, CELL_KINDS, DETAIL_KINDS, KINDS, CellKind
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import BY_NAME
from wgprof.recording.writer import write_recording

NEW = ("polls", "heads", "moves", "preemptions", "wakeups", "contention", "ipis")
T = {"t_ns": 1000, "dt_ns": 1000}


def decoded(*cells: Any, **changes: Any) -> dict[str, list[dict[str, Any]]]:
    """What the cells of the second tick are in tables; the first one is empty."""
    found = decode(hello(**changes), tick(1, 1000), tick(2, 2000, *cells))
    return {name: rows(found, name) for name in (*NEW, "histograms")}


def test_every_counter_reaches_the_column_of_its_name() -> None:
    for cell_kind in CELL_KINDS[20:]:
        numbers = range(1, len(cell_kind.counters) + 1)
        found = decoded(cell(2, 1, cell_kind.number, list(numbers), {5: 7} if cell_kind.histogram else {}))
        counted = {}
        for name in NEW:
            for row in found[name]:
                assert {row.pop(column) for column in ("t_ns", "dt_ns")} == {1000} and row.pop("cpu") == 1
                text = {row.pop(column, cell_kind.name) for column in ("server", "stage", "lock")}
                assert text == {cell_kind.name} and row.pop("object", 2) == 2
                counted.update(row)
        assert counted == dict(zip(cell_kind.counters, numbers, strict=True)), cell_kind
        metrics = [(row["metric"].partition(".")[0], row["bucket"], row["count"]) for row in found["histograms"]]
        assert metrics == ([(cell_kind.name.partition(".")[0], 5, 7)] if cell_kind.histogram else [])


def test_a_server_that_only_moved_has_no_row_of_heads() -> None:
    found = decoded(cell(2, 0, kind("order", "rx.napi"), [0, 0, 0, 0, 3, 0, 900]))
    assert found["heads"] == []
    assert found["moves"] == [{**T, "cpu": 0, "object": 2, "server": "rx.napi", "moves": 3, "stay_ns": 900}]


def test_a_file_from_before_the_tables_is_read_as_one_without_rows(tmp_path: Path) -> None:
    old = synthetic_recording(seconds=0.2, rate=60.0)
    path = tmp_path / "old.wgprof"
    tables = {name: old.arrow(name) for name in BY_NAME if name not in NEW}
    write_recording(path, {key: value for key, value in old.manifest.items() if key != "detail"}, tables)
    with open_recording(path) as recording:
        assert recording.manifest["detail"] == {"on": [], "off": {}}
        for name in NEW:
            table = recording.table(name)
            assert isinstance(table, pd.DataFrame) and table.empty
            assert list(table.columns) == [column.name for column in BY_NAME[name].columns]
        assert len(recording.table("stages"))


def test_the_manifest_says_what_was_measured() -> None:
    said = {"on": ["polls"], "off": {"ipis": "no tracepoint"}}
    assert decode(hello(detail=said), tick(1, 1000)).manifest["detail"] == said


def poke(view: Any, index: int, *counters: int) -> None:
    struct.pack_into(f"<{len(counters)}Q", view, index * CELL.size, *counters)


@pytest.mark.parametrize("cell_kind", CELL_KINDS[20:KINDS], ids=lambda kind: f"{kind.group} {kind.name}")
def test_what_every_event_of_a_cell_raises_makes_it_known(cell_kind: CellKind) -> None:
    always = {
        "poll": ("productive", "empty_queue", "head_not_ready"),
        "order": ("episodes", "moves"),
        "preemption": ("calls",),
    }
    for name in always[cell_kind.group]:
        fd, view = memory(maps.BLOCK_BYTES * 4 * 2)
        blocks = maps.Blocks(fd, slots=4, cpus=2, online=[0, 1])
        poke(view, (1 * 2 + 1) * KINDS + cell_kind.number, *(int(c == name) for c in cell_kind.counters))
        assert list(cells_of(blocks.changed([1]))) == [(1, 1, cell_kind.number)], name
        assert blocks.changed([1]) == []


def test_cells_of_detail_are_given_out_when_any_counter_rose() -> None:
    fd, view = memory(maps.DETAIL_BLOCK_BYTES * 4 * 2)
    blocks = maps.DetailBlocks(fd, slots=4, cpus=2, online=[0, 1])
    assert blocks.changed([1]) == []
    ipis, last = kind("ipi", "ipis"), kind("wake", "rx.napi")
    poke(view, 0 * DETAIL_KINDS + ipis - KINDS, 0, 0, 0, 0, 0, 0, 9)  # object 0 on CPU 0
    poke(view, 3 * DETAIL_KINDS + last - KINDS, 0, 5)  # object 1 on CPU 1
    given = cells_of(blocks.changed([1]))
    assert list(given) == [(0, 0, ipis), (1, 1, last)]
    assert CELL.unpack(given[0, 0, ipis])[:8] == (0, 0, 0, 0, 0, 0, 9, 0)
    assert blocks.changed([1]) == [], "nothing happened since"
