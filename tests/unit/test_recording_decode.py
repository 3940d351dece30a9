"""Frames to tables: differences of what is cumulative, nothing lost, nothing invented, nothing believed."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.frames import PACKET_BYTES, synthetic_frames, synthetic_recording
from tests.support.ticks import ARRIVAL, DEPTH, STAGE, cell, decode, end, hello, tick
from wgprof.agent.frames import Frame, Kind, read_frames
from wgprof.agent.layout import CELL_KINDS
from wgprof.errors import RecordingError
from wgprof.recording import decode as decode_module
from wgprof.recording import parquet
from wgprof.recording.cells import CellStore, parse_cells
from wgprof.recording.decode import Decoded, Decoder
from wgprof.recording.events import EVENT
from wgprof.recording.reader import Recording
from wgprof.recording.schema import BY_NAME, TABLES
from wgprof.recording.untrusted import Damage


def rows(decoded: Decoded, name: str) -> list[dict[str, Any]]:
    table = decoded.tables[name]
    assert isinstance(table, pa.Table)
    return table.to_pylist()


def losses(decoded: Decoded) -> dict[tuple[str, str], int]:
    return {(row["cause"], row["where"]): row["count"] for row in rows(decoded, "losses")}


def test_synthetic_packets_are_conserved() -> None:
    recording = synthetic_recording(seconds=1.0)
    packets = recording.table("stages").groupby("stage")["packets"].sum()
    assert packets["tx.stage"] == packets["tx.encrypt"] == packets["tx.send"] > 0
    assert packets["rx.receive"] == packets["rx.decrypt"] == packets["rx.deliver"] > 0
    interfaces = recording.table("interfaces")
    assert interfaces["tx_packets"].sum() == packets["tx.send"]
    assert interfaces["rx_bytes"].sum() == packets["rx.deliver"] * PACKET_BYTES
    histograms = recording.table("histograms")
    services = histograms[histograms["metric"] == "tx.encrypt.service"]
    assert services["count"].sum() == packets["tx.encrypt"]
    assert recording.table("losses").empty


def test_synthetic_queues_obey_littles_law() -> None:
    recording = synthetic_recording(
        seconds=2.0, peers=1, cpus=1, rate=8000.0, depth_hz=9973, sample_every=1, segments=1
    )
    depths, arrivals = recording.table("depths"), recording.table("arrivals")
    journeys = recording.table("journeys").set_index(["key_index", "nonce"])
    for queue, before, after in (
        ("tx-queue", 1, 3),
        ("rx-queue", 4, 6),
        ("encrypt-ring", 1, 2),
        ("decrypt-ring", 4, 5),
    ):
        put = journeys[journeys["point"] == before]["end_ns"]
        taken = journeys[journeys["point"] == after]
        wait_s = (taken["end_ns"] - taken["service_ns"] - put).mean() / 1e9
        mine = depths[depths["queue"] == queue]
        handoffs = arrivals[arrivals["queue"] == queue]["handoffs"].sum()
        assert mine["depth_sum"].sum() / mine["samples"].sum() == pytest.approx(handoffs / 2.0 * wait_s, rel=0.1)


def test_every_table_has_its_schema_also_without_a_row() -> None:
    for decoded in (decode(hello()), decode(hello(), tick(1, 5), end(2))):
        for table in TABLES:
            found = decoded.tables[table.name]
            assert isinstance(found, pa.Table)
            assert found.schema == table.arrow


def test_cells_become_differences_from_the_first_tick() -> None:
    decoded = decode(
        hello(),
        tick(1, 1000, cell(2, 0, STAGE, [100, 900, 50], {3: 7})),
        tick(2, 1100, cell(2, 0, STAGE, [103, 930, 58], {3: 9, 4: 1}), cell(2, 1, STAGE, [5, 50, 1])),
        tick(3, 1300, cell(2, 1, STAGE, [5, 50, 1])),
        tick(4, 1400, cell(2, 0, STAGE, [104, 931, 59])),
    )
    seen = [
        (r["t_ns"], r["dt_ns"], r["cpu"], r["packets"], r["bytes"], r["service_ns"]) for r in rows(decoded, "stages")
    ]
    assert seen == [(1000, 100, 0, 3, 30, 8), (1000, 100, 1, 5, 50, 1)]
    assert [(r["bucket"], r["count"]) for r in rows(decoded, "histograms")] == [(3, 2), (4, 1)]
    assert losses(decoded) == {("counter-backwards", "tx.encrypt"): 1}  # the last tick's histogram fell


def test_a_counter_that_fell_starts_anew() -> None:
    decoded = decode(
        hello(),
        tick(1, 1000, cell(2, 0, STAGE, [100, 1])),
        tick(2, 1100, cell(2, 0, STAGE, [10, 2])),
        tick(3, 1200, cell(2, 0, STAGE, [14, 3])),
    )
    assert [(r["t_ns"], r["packets"]) for r in rows(decoded, "stages")] == [(1100, 4)]
    assert losses(decoded) == {("counter-backwards", "tx.encrypt"): 1}


def test_a_bucket_may_wrap_at_32_bits() -> None:
    first = [cell(2, 0, STAGE, [1], {5: 2**32 - 2})]
    decoded = decode(hello(), tick(1, 1000, *first), tick(2, 1100, cell(2, 0, STAGE, [6], {5: 3})))
    assert [(r["bucket"], r["count"]) for r in rows(decoded, "histograms")] == [(5, 5)]


def test_maxima_are_not_differences() -> None:
    decoded = decode(
        hello(),
        tick(1, 1000, cell(2, 0, ARRIVAL, [1, 1, 0, 0, 9, 9])),
        tick(2, 1100, cell(2, 0, ARRIVAL, [3, 3, 0, 0, 12, 9])),
    )
    assert [(r["handoffs"], r["depth_sum"], r["depth_max"]) for r in rows(decoded, "arrivals")] == [(2, 3, 9)]


def test_depths_of_all_cpus_are_one_row() -> None:
    decoded = decode(
        hello(),
        tick(1, 1000),
        tick(2, 1100, cell(2, 0, DEPTH, [10, 30, 8, 9]), cell(2, 1, DEPTH, [5, 10, 3, 2]), cell(3, 1, DEPTH, [1])),
        tick(3, 1200, cell(2, 1, DEPTH, [6, 11, 4, 3])),
    )
    seen = [(r["object"], r["samples"], r["depth_sum"], r["depth_max"], r["occupied"]) for r in rows(decoded, "depths")]
    assert seen == [(2, 15, 40, 8, 11), (3, 1, 0, 0, 0), (2, 1, 1, 8, 1)]


def test_an_interface_made_again_is_a_loss_not_a_negative_row() -> None:
    decoded = decode(
        hello(),
        tick(1, 1000, interfaces=[[1, "wg0", 9, 9, 0, 0, 9, 9, 0, 0]]),
        tick(2, 1100, interfaces=[[1, "wg0", 1, 1, 0, 0, 1, 1, 0, 0], [1, "wg1", 7, 7, 0, 0, 7, 7, 0, 0]]),
        tick(3, 1200, interfaces=[[1, "wg0", 3, 1, 0, 0, 1, 1, 0, 0], [1, "wg1", 8, 8, 0, 0, 7, 7, 0, 0]]),
    )
    assert [(r["t_ns"], r["name"], r["rx_packets"]) for r in rows(decoded, "interfaces")] == [
        (1100, "wg0", 2),
        (1100, "wg1", 1),
    ]
    assert losses(decoded) == {("counter-backwards", "interface wg0"): 1}


def test_cpu_times_never_fall_though_idle_may() -> None:
    jiffies = [[1, 1, 5, 100, 10, 0, 2, 0], [1, 2, 6, 99, 10, 0, 2, 0], [1, 2, 6, 101, 10, 0, 4, 0]]
    ticks = [tick(n + 1, 1000 + n, cpu={"3": row}, softirqs={"NET_RX": [0, 0, 0, n]}) for n, row in enumerate(jiffies)]
    decoded = decode(hello(), *ticks)
    seen = [(r["cpu"], r["user_ns"], r["idle_ns"], r["softirq_ns"], r["net_rx"]) for r in rows(decoded, "cpus")]
    assert seen == [(3, 10_000_000, 0, 0, 1), (3, 0, 10_000_000, 20_000_000, 1)]


def test_an_object_nobody_described_has_a_row() -> None:
    decoded = decode(hello(), tick(1, 1000), tick(2, 1100, cell(0, 0, STAGE, [1]), cell(9, 0, STAGE, [1])))
    assert [(r["object"], r["kind"]) for r in rows(decoded, "objects")] == [(9, "peer")]
    assert "never described" in rows(decoded, "log")[0]["message"]


def test_an_object_keeps_its_latest_description_and_its_first_time() -> None:
    old = {"slot": 2, "kind": "peer", "device_slot": 1, "public_key": "K", "first_seen_ns": 5, "threaded": False}
    new = {**old, "endpoint": "192.0.2.7:1", "first_seen_ns": 9, "internal_id": None, "threaded": 1}
    decoded = decode(hello(), tick(1, 1000, objects=[old]), tick(2, 1100, objects=[new]))
    (row,) = rows(decoded, "objects")
    assert (row["endpoint"], row["first_seen_ns"], row["internal_id"], row["threaded"]) == ("192.0.2.7:1", 5, -1, 1)
    assert rows(decoded, "log") == []
    reused = tick(3, 1200, objects=[{**new, "public_key": "other"}])
    decoded = decode(hello(), tick(1, 1000, objects=[old]), reused)
    assert "changed its identity" in rows(decoded, "log")[0]["message"]


def test_losses_come_from_the_last_tick_and_the_end() -> None:
    frames = [hello(), tick(1, 1000, losses={"ring-full tx.send": 1}), tick(2, 1100, losses={"ring-full tx.send": 4})]
    assert losses(decode(*frames)) == {("ring-full", "tx.send"): 4}
    counted = [
        {"cause": "ring-full", "where": "tx.send", "count": 5},
        {"cause": "missed-probe", "where": "x", "count": 0},
    ]
    decoded = decode(*frames, end(3, losses=counted))
    assert losses(decoded) == {("ring-full", "tx.send"): 5}
    assert decoded.manifest["losses"] == {"total": 5, "causes": {"ring-full": 5}}


def test_misses_that_the_agent_does_not_know_stay_unknown() -> None:
    probes = [{"point": "tx.send end", "kind": "kretprobe", "misses": misses} for misses in (-1, 3)]
    assert [row["misses"] for row in rows(decode(hello(), end(1, probes=probes)), "probes")] == [-1, 3]


def test_frames_and_events_that_are_not_there_are_losses() -> None:
    log = Frame(Kind.LOG, 0, b'{"message": "from the recorder"}')
    decoded = decode(hello(), tick(1, 1000), log, tick(4, 1100), end(5, events=3))
    assert losses(decoded) == {("lost-frame", "stream"): 2, ("lost-event", "journeys"): 3}


def test_events_of_unknown_steps_cost_only_themselves() -> None:
    events = np.zeros(4, EVENT)
    events["length"] = 32
    events["point"] = [1, 0, 7, 6]
    decoded = decode(hello(), Frame(Kind.EVENTS, 1, events.tobytes()), end(2, events=4))
    assert [row["point"] for row in rows(decoded, "journeys")] == [1, 6]
    assert losses(decoded) == {("bad-event", "journeys"): 2}


def test_without_an_end_the_manifest_says_so() -> None:
    decoded = decode(hello(), tick(1, 1000), tick(2, 1100))
    assert decoded.manifest["complete"] is False
    assert decoded.manifest["end_reason"] == "recovered"
    assert decode(hello(), end(1, reason="stopped")).manifest["end_reason"] == "stopped"


@pytest.mark.parametrize(
    "frames",
    [
        [tick(0, 1000)],
        [hello(), hello()],
        [hello(layout={"counters": 9})],
        [hello(machine={"user_hz": 0.5})],
        [hello(), tick(1, 1000), tick(2, 1000)],
        [hello(), tick(1, -1)],
        [hello(), tick(1, 2**63)],
        [hello(), tick(1, 1000, cell(2, 0, len(CELL_KINDS), [1]))],
        [hello(), tick(1, 1000, cell(2, 60000, STAGE, [1]))],
        [hello(), tick(1, 1000, cell(2, 0, STAGE, [1]), cell(2, 0, STAGE, [2]))],
        [hello(), tick(1, 1000, cpu={"99999": [0] * 8})],
        [hello(), tick(1, 1000, cpu={"0": [0] * 7})],
        [hello(), tick(1, 1000, cpu={"0": [0] * 7 + [-1]})],
        [hello(), tick(1, 1000, interfaces=[[1, "wg0"]])],
        [hello(), tick(1, 1000, objects=[{"slot": 0, "kind": "peer"}])],
        [hello(), tick(1, 1000, objects=[{"slot": 1, "kind": "router"}])],
        [hello(), tick(1, 1000, losses={"ring-full x": "many"})],
        [hello(), Frame(Kind.TICK, 1, b"\xff\xff\xff\xff{}")],
        [hello(), Frame(Kind.TICK, 1, b"")],
        [hello(), Frame(Kind.EVENTS, 1, bytes(40))],
        [hello(), Frame(Kind.EVENTS, 1, bytes(41))],
        [hello(), Frame(Kind.LOG, 1, b'{"t_ns": 1e400}')],
        [hello(), Frame(Kind.LOG, 1, b"[" * 100_000)],
        [hello(), end(1), tick(2, 1000)],
    ],
)  # fmt: skip
def test_what_no_agent_sends_is_damage(frames: list[Frame]) -> None:
    with pytest.raises(Damage):
        decode(*frames)


def test_cells_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wgprof.recording.cells.MAX_CELLS", 3)
    store = CellStore()
    store.update(parse_cells(tick(1, 1, *(cell(s, 0, STAGE, [1]) for s in range(3))).payload[-3 * 840 :]))
    with pytest.raises(Damage, match="more than 3 cells"):
        store.update(parse_cells(tick(1, 1, cell(9, 0, STAGE, [1])).payload[-840:]))


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "_MAX_LOG", 2)
    log = Frame(Kind.LOG, 0, json.dumps({"message": "\ud800" + "x" * 10_000}).encode())
    decoded = decode(hello(), *[log] * 5)
    assert [len(row["message"]) for row in rows(decoded, "log")] == [4096, 4096]
    assert losses(decoded) == {("table-full", "log"): 3}


_SHORT = list(read_frames(BytesIO(synthetic_frames(seconds=0.2, rate=50.0))))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_value_in_any_place_of_a_frame_is_damage_or_fine(data: st.DataObject) -> None:
    frames = list(_SHORT)
    number = data.draw(st.sampled_from([n for n, frame in enumerate(frames) if frame.kind is not Kind.EVENTS]))
    frame = frames[number]
    skip = 4 if frame.kind is Kind.TICK else 0
    length = int.from_bytes(frame.payload[:4], "little") if skip else len(frame.payload)
    value = json.loads(frame.payload[skip : skip + length])
    place = value
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    if place:
        place[key] = data.draw(_JSON)
    text = json.dumps(value).encode()
    changed = len(text).to_bytes(4, "little") + text + frame.payload[skip + length :] if skip else text
    frames[number] = frame._replace(payload=changed)
    decoder = Decoder()
    try:
        for each in frames:
            decoder.feed(each)
    except Damage:
        pass
    _readable(decoder.finish())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(Kind), st.binary(max_size=2000))
def test_any_payload_is_damage_or_fine(which: Kind, payload: bytes) -> None:
    decoder = Decoder()
    for frame in (hello(), tick(1, 1000), Frame(which, 2, payload)):
        try:
            decoder.feed(frame)
        except Damage:
            assert frame.sequence == 2
    _readable(decoder.finish())


def _readable(decoded: Decoded) -> None:
    """Whatever was fed, the result is a recording that the reader accepts."""
    recording = Recording.from_tables({}, decoded.tables)
    for table in TABLES:
        data = recording.arrow(table.name)
        data.validate(full=True)
        parquet.check_bounds(table, data, table.name)


def test_large_tables_go_to_disk_and_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = list(read_frames(BytesIO(synthetic_frames())))
    kept, spilled = Decoder(), Decoder(tmp_path)
    for frame in frames:
        kept.feed(frame)
    monkeypatch.setattr(parquet, "ROW_GROUP", 200)
    for frame in frames:
        spilled.feed(frame)
    small, large = kept.finish(), spilled.finish()
    in_files = {name for name, table in large.tables.items() if isinstance(table, Path)}
    assert {"journeys", "histograms", "stages"} <= in_files
    one, other = (
        Recording.from_tables(small.manifest, small.tables),
        Recording.from_tables(large.manifest, large.tables),
    )
    for name in BY_NAME:
        assert one.table(name).equals(other.table(name).astype(one.table(name).dtypes)), name


def test_rows_beyond_the_format_are_counted_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wgprof.recording.sink.MAX_ROWS", 1)
    decoded = decode(hello(), tick(1, 1000), tick(2, 1100), tick(3, 1200))
    assert len(rows(decoded, "intervals")) == 1
    assert losses(decoded) == {("table-full", "intervals"): 1}


def test_a_damage_is_a_recording_error() -> None:
    assert issubclass(Damage, RecordingError)
