"""Softnet, UDP and sockets: from the agent's running totals to rows that add up to them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ticks import decode, hello, tick
from wgprof.recording.decode import Decoded
from wgprof.recording.untrusted import Damage

WRAP = 1 << 32
FIRST_NS, STEP_NS = 1_000_000_000, 100_000_000


def decoded(*ticks: dict[str, Any]) -> Decoded:
    frames = [tick(n + 1, FIRST_NS + n * STEP_NS, **values) for n, values in enumerate(ticks)]
    return decode(hello(), *frames)


def rows(found: Decoded, name: str) -> list[dict[str, Any]]:
    table = found.tables[name]
    assert isinstance(table, pa.Table)
    return table.to_pylist()


@given(
    start=st.lists(st.integers(0, WRAP - 1), min_size=5, max_size=5),
    gains=st.lists(st.lists(st.integers(0, WRAP // 2 - 1), min_size=5, max_size=5), min_size=1, max_size=6),
)
def test_softnet_rows_are_the_gains_whether_or_not_the_counters_wrapped(
    start: list[int], gains: list[list[int]]
) -> None:
    totals = [start]
    for gain in gains:
        totals.append([(a + b) % WRAP for a, b in zip(totals[-1], gain, strict=True)])
    found = decoded(*({"softnet": [[2, *total, n]]} for n, total in enumerate(totals)))
    names = ("processed", "dropped", "time_squeeze", "received_rps", "flow_limit")
    assert [[row[name] for name in names] for row in rows(found, "softnet")] == gains
    assert [row["backlog"] for row in rows(found, "softnet")] == list(range(1, len(totals)))
    assert {row["cpu"] for row in rows(found, "softnet")} == {2}


def test_a_softnet_counter_that_fell_is_said_and_not_taken_for_a_wrap() -> None:
    found = decoded({"softnet": [[0, 500, 0, 0, 0, 0, -1]]}, {"softnet": [[0, 400, 0, 0, 0, 0, -1]]})
    assert rows(found, "softnet") == []
    assert [(r["cause"], r["where"], r["count"]) for r in rows(found, "losses")] == [
        ("counter-backwards", "softnet 0", 1)
    ]


@given(looked=st.lists(st.booleans(), min_size=1, max_size=12), gain=st.integers(1, 1000))
def test_udp_rows_cover_all_the_time_since_the_look_before(looked: list[bool], gain: int) -> None:
    ticks: list[dict[str, Any]] = [{"udp": [[9, 0, 0, 0, 0, 0]]}]
    for number, is_looked in enumerate(looked, start=1):
        ticks.append({"udp": [[9, number * gain, 0, 0, 0, 0]]} if is_looked else {})
    got = rows(decoded(*ticks), "udp")
    last = max((n for n, is_looked in enumerate(looked, start=1) if is_looked), default=0)
    assert sum(row["received"] for row in got) == last * gain
    assert sum(row["dt_ns"] for row in got) == last * STEP_NS
    assert all(row["t_ns"] >= FIRST_NS for row in got)


def test_what_did_not_move_has_no_row_and_what_is_new_begins_at_zero() -> None:
    udp = {"udp": [[9, 5, 0, 0, 0, 0]]}
    found = decoded(
        {**udp, "sockets": [[9, 51820, 0, 0]]},
        {**udp, "sockets": [[9, 51820, 0, 0], [9, 51821, 7, 0]]},
        {**udp, "sockets": [[9, 51820, 3, 0], [9, 51821, 7, 640]]},
    )
    assert rows(found, "udp") == []
    assert [(r["port"], r["drops"], r["rx_queue"]) for r in rows(found, "sockets")] == [(51820, 3, 0), (51821, 0, 640)]


@pytest.mark.parametrize(
    "bad",
    [
        {"softnet": [[0, 1, 2]]},
        {"softnet": [[9999, 0, 0, 0, 0, 0, 0]]},
        {"softnet": [[0, 0, 0, 0, 0, 0, -2]]},
        {"softnet": [[0, -1, 0, 0, 0, 0, 0]]},
        {"softnet": 7},
        {"udp": [[1, 0, 0, 0, 0, -1]]},
        {"udp": [["a", 0, 0, 0, 0, 0]]},
        {"sockets": [[1, 70_000, 0, 0]]},
    ],
)
def test_a_tick_that_no_agent_writes_is_damage(bad: dict[str, Any]) -> None:
    with pytest.raises(Damage):
        decoded({}, bad)


def test_an_older_agent_says_nothing_and_has_no_rows() -> None:
    found = decoded({}, {})
    assert [rows(found, name) for name in ("softnet", "udp", "sockets")] == [[], [], []]


def test_the_description_of_the_outer_path_is_in_the_manifest() -> None:
    outer = [{"name": "eth0", "carries": ["wg0"], "rps_cpus": ["3"], "rss_hash": {"udp4": "src-ip dst-ip"}}]
    found = decode(hello(outer=outer, outer_notes=["eth0: its driver does not tell rings"]), tick(1, 5))
    assert found.manifest["outer"] == outer
    assert found.manifest["outer_notes"] == ["eth0: its driver does not tell rings"]
