"""The recording file: every table round-trips, and a damaged or hostile file ends in one sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.frames import synthetic_recording
from tests.unit.test_recording_part import file_size_limit
from wgprof.errors import RecordingError
from wgprof.recording import reader, upgrade
from wgprof.recording.manifest import KEYS, completed
from wgprof.recording.part import DiskFull
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import BY_NAME, MAX_STRING, TABLES, Column, Table
from wgprof.recording.writer import MANIFEST, member, write_recording

SMALL = synthetic_recording(seconds=0.2, rate=60.0)
ARROW = {table.name: SMALL.arrow(table.name) for table in TABLES}


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Hundreds of files are written here, and none must survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a good file."""
    path = tmp_path_factory.mktemp("good") / "good.wgprof"
    write_recording(path, SMALL.manifest, ARROW)
    return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "a.wgprof"


def everything(path: Path) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    with open_recording(path) as recording:
        return recording.manifest, {table.name: recording.arrow(table.name) for table in TABLES}


def repacked(good: bytes, **members: bytes | None) -> bytes:
    """The same ZIP with members replaced, or left out if None; names have `__` for the dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            data = members.get(info.filename.replace(".", "__"), source.read(info))
            if data is not None:
                target.writestr(info, data)
    return out.getvalue()


def with_manifest(good: bytes, **changes: Any) -> bytes:
    manifest = json.loads(zipfile.ZipFile(io.BytesIO(good)).read(MANIFEST))
    return repacked(good, manifest__json=json.dumps({**manifest, **changes}).encode())


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _values(column: Column, count: int) -> st.SearchStrategy[list[Any]]:
    if not pa.types.is_integer(column.type):
        return st.lists(st.text(max_size=5), min_size=count, max_size=count)
    limits = np.iinfo(str(column.type))
    return st.lists(
        st.integers(column.low, limits.max if column.high is None else column.high), min_size=count, max_size=count
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, pa.Table]:
    table = draw(st.sampled_from(TABLES))
    count = draw(st.integers(0, 4))
    columns = [pa.array(draw(_values(c, count)), c.type) for c in table.columns]
    return table, pa.Table.from_arrays(columns, schema=table.arrow)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=tables())
def test_any_table_round_trips(scratch: Path, drawn: tuple[Table, pa.Table]) -> None:
    table, data = drawn
    write_recording(scratch, {"complete": True}, {table.name: data})
    with open_recording(scratch) as recording:
        found = recording.table(table.name)
    assert found.to_dict("list") == data.to_pydict()
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            assert isinstance(found[column.name].dtype, pd.CategoricalDtype)
        elif pa.types.is_integer(column.type):
            assert found[column.name].dtype == column.type.to_pandas_dtype()


def test_a_recording_round_trips_and_is_the_same_bytes_again(good: bytes, scratch: Path) -> None:
    scratch.write_bytes(good)
    manifest, found = everything(scratch)
    assert found == ARROW
    assert manifest["machine"] == SMALL.manifest["machine"]
    assert manifest["tables"]["stages"]["rows"] == ARROW["stages"].num_rows
    write_recording(scratch, manifest, found)
    assert scratch.read_bytes() == good
    assert zipfile.ZipFile(scratch).namelist()[0] == MANIFEST


def test_it_opens_without_wgprof(good: bytes) -> None:
    data = zipfile.ZipFile(io.BytesIO(good)).read("stages.parquet")
    assert pd.read_parquet(io.BytesIO(data)).shape == (ARROW["stages"].num_rows, len(BY_NAME["stages"].columns))


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_single_damaged_byte_is_harmless_or_one_sentence(good: bytes, scratch: Path, data: st.DataObject) -> None:
    places = st.one_of(st.integers(0, len(good) - 1), st.integers(len(good) - 1500, len(good) - 1), st.integers(0, 80))
    damaged = bytearray(good)
    damaged[data.draw(places)] ^= data.draw(st.integers(1, 255))
    _same_or_one_sentence(bytes(damaged), good, scratch)


def test_a_line_end_in_a_files_name_does_not_end_the_sentence(good: bytes, scratch: Path) -> None:
    _same_or_one_sentence(good.replace(b"log.parquet", b"log\nparquet"), good, scratch)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10**9))
def test_a_truncated_file_is_one_sentence(good: bytes, scratch: Path, cut: int) -> None:
    scratch.write_bytes(good[: cut % len(good)])
    with pytest.raises(RecordingError):
        everything(scratch)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_block_is_harmless_or_one_sentence(good: bytes, scratch: Path, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(good)))
    noise = data.draw(st.binary(min_size=1, max_size=300))
    _same_or_one_sentence(good[:place] + noise + good[place + data.draw(st.integers(0, 300)) :], good, scratch)


def _same_or_one_sentence(damaged: bytes, good: bytes, scratch: Path) -> None:
    scratch.write_bytes(damaged)
    try:
        manifest, found = everything(scratch)
    except RecordingError as error:
        assert "\n" not in error.sentence and str(scratch) in error.sentence
    else:
        assert found == ARROW
        assert manifest == json.loads(zipfile.ZipFile(io.BytesIO(good)).read(MANIFEST))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_damage_behind_a_right_checksum_is_still_one_sentence(good: bytes, scratch: Path, data: st.DataObject) -> None:
    """Somebody who means harm also mends the ZIP's checksums."""
    name = data.draw(st.sampled_from(["stages", "objects", "journeys", "log"]))
    content = bytearray(zipfile.ZipFile(io.BytesIO(good)).read(member(name)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    scratch.write_bytes(repacked(good, **{f"{name}__parquet": bytes(content)}))
    try:
        with open_recording(scratch) as recording:
            recording.table(name)
    except RecordingError as error:
        assert "\n" not in error.sentence


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 99, "writer_version": "7.1"}, "newer wgprof"),
        ({"schema_version": -1}, "not a wgprof recording"),
        ({"schema_version": 0}, "no longer reads"),
        ({"schema_version": "1"}, "not a wgprof recording"),
        ({"magic": "something else"}, "not a wgprof recording"),
        ({"machine": "fast"}, "machine"),
        ({"machine": {"cpus_online": ["a"]}}, "cpus_online"),
        ({"complete": 1}, "complete"),
        ({"tables": {}}, "differ from its manifest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_one_sentence(
    good: bytes, scratch: Path, change: dict[str, Any], says: str
) -> None:
    scratch.write_bytes(with_manifest(good, **change))
    with pytest.raises(RecordingError, match=says):
        open_recording(scratch)


def test_a_newer_file_says_which_wgprof_reads_it(good: bytes, scratch: Path) -> None:
    scratch.write_bytes(with_manifest(good, schema_version=2, writer_version="7.1"))
    with pytest.raises(RecordingError) as raised:
        open_recording(scratch)
    assert raised.value.exit_code == 1
    assert raised.value.remedy == "Install wgprof 7.1 or newer."


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a wgprof recording"),
        (b"hello", "not a wgprof recording"),
        (b"WGPF\x01\x06", "not finished"),
        (b"PK\x03\x04 and no more", "damaged"),
        (b"PK\x05\x06" + bytes(18), "not a wgprof recording"),
    ],
)
def test_foreign_files_are_named(scratch: Path, content: bytes, says: str) -> None:
    scratch.write_bytes(content)
    with pytest.raises(RecordingError, match=says):
        open_recording(scratch)


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="does not exist"):
        open_recording(tmp_path / "a.wgprof")
    with pytest.raises(RecordingError, match="could not be read: Is a directory"):
        open_recording(tmp_path)


def test_a_compressed_member_is_refused(good: bytes, scratch: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    with pytest.raises(RecordingError, match="compressed"):
        open_recording(scratch)


def test_members_that_overlap_are_refused(good: bytes, scratch: Path) -> None:
    """A ZIP whose directory names the same bytes many times over claims more than it holds."""
    scratch.write_bytes(good)
    with zipfile.ZipFile(scratch, "a") as archive:
        info = archive.getinfo("journeys.parquet")
        for number in range(30):
            twin = zipfile.ZipInfo(f"{number}.parquet")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, name, getattr(info, name))
            archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(RecordingError, match="larger than itself"):
        open_recording(scratch)


def test_a_table_that_claims_absurdly_many_rows_is_refused_unread(good: bytes, scratch: Path) -> None:
    rows = 3_000_000
    one = pa.repeat(1, rows)
    bomb = pa.Table.from_arrays(
        [one.cast(c.type) for c in BY_NAME["journeys"].columns], schema=BY_NAME["journeys"].arrow
    )
    content = parquet_bytes(bomb, compression="zstd")
    assert len(content) < 100_000
    scratch.write_bytes(repacked(good, journeys__parquet=content))
    with open_recording(scratch) as recording, pytest.raises(RecordingError, match="claims 3000000 rows"):
        recording.table("journeys")


def test_a_long_string_is_held_once_and_refused(good: bytes, scratch: Path) -> None:
    table = BY_NAME["log"]
    texts = {"level": ["info"], "topic": ["agent"], "message": ["x" * (MAX_STRING + 1)]}
    data = pa.Table.from_pydict({"t_ns": [1], **texts}, schema=table.arrow)
    scratch.write_bytes(repacked(good, log__parquet=parquet_bytes(data)))
    with open_recording(scratch) as recording, pytest.raises(RecordingError, match="string of more than"):
        recording.table("log")
    texts["message"] = ["x" * MAX_STRING]
    many = pa.Table.from_pydict({"t_ns": [1] * 2000, **{n: t * 2000 for n, t in texts.items()}}, schema=table.arrow)
    scratch.write_bytes(repacked(good, log__parquet=parquet_bytes(many, compression="zstd")))
    with open_recording(scratch) as recording, pytest.raises(RecordingError, match="bytes of text"):
        recording.table("log")


def _stages(**columns: Any) -> pa.Table:
    values = {c.name: [1] if pa.types.is_integer(c.type) else ["tx.send"] for c in BY_NAME["stages"].columns}
    return pa.Table.from_pydict({**values, **columns}, schema=BY_NAME["stages"].arrow)


@pytest.mark.parametrize(
    "table",
    [
        _stages().drop_columns(["calls"]),
        _stages().append_column("more", pa.array([1])),
        _stages().set_column(0, "t_ns", pa.array([1], pa.int32())),
        _stages().set_column(0, "t_ns", pa.array([None], pa.int64())),
        _stages(cpu=[-1]),
        _stages(cpu=[1_000_000]),
        _stages(object=[65536]),
        _stages(dt_ns=[0]),
        _stages(packets=[-5]),
    ],
)
def test_a_table_that_does_not_fit_its_schema_is_refused(good: bytes, scratch: Path, table: pa.Table) -> None:
    rows = {**json.loads(zipfile.ZipFile(io.BytesIO(good)).read(MANIFEST))["tables"], "stages": {"rows": 1, "bytes": 0}}
    content = repacked(with_manifest(good, tables=rows), stages__parquet=parquet_bytes(table))
    scratch.write_bytes(content)
    with open_recording(scratch) as recording:
        with pytest.raises(RecordingError, match="table stages"):
            recording.table("stages")
        assert not recording.table("intervals").empty


def test_nothing_is_unpickled(good: bytes, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    payload = pickle.dumps(pa.int64())
    metadata: dict[bytes | str, bytes | str] = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": payload,
    }
    fields = [f.with_metadata(metadata) if f.name == "t_ns" else f for f in BY_NAME["stages"].arrow]
    hostile = _stages().cast(pa.schema(fields, metadata={b"pandas": payload, b"PANDAS": payload}))
    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, fail)
    rows = {**json.loads(zipfile.ZipFile(io.BytesIO(good)).read(MANIFEST))["tables"], "stages": {"rows": 1, "bytes": 0}}
    scratch.write_bytes(repacked(with_manifest(good, tables=rows), stages__parquet=parquet_bytes(hostile)))
    try:
        with open_recording(scratch) as recording:
            recording.table("stages")
    except RecordingError:
        pass


def test_a_table_the_manifest_lists_but_is_not_there_is_damage(good: bytes, scratch: Path) -> None:
    scratch.write_bytes(repacked(good, stages__parquet=None))
    with pytest.raises(RecordingError, match=r"stages\.parquet"):
        open_recording(scratch)


def test_tables_an_older_writer_did_not_have_are_empty(good: bytes, scratch: Path) -> None:
    listed = json.loads(zipfile.ZipFile(io.BytesIO(good)).read(MANIFEST))["tables"]
    del listed["stages"]
    scratch.write_bytes(repacked(with_manifest(good, tables=listed), stages__parquet=None))
    with open_recording(scratch) as recording:
        assert list(recording.table("stages").columns) == [c.name for c in BY_NAME["stages"].columns]
        assert recording.table("stages").empty


def test_an_older_file_is_upgraded_step_by_step(good: bytes, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if version 0 had no nested_ns and called the machine's kernel its release."""
    index = BY_NAME["stages"].arrow.get_field_index("nested_ns")
    old = ARROW["stages"].remove_column(index)

    def manifest(value: dict[str, Any]) -> dict[str, Any]:
        return {**value, "machine": {"kernel": value["machine"]["release"]}}

    def table(name: str, data: pa.Table | None) -> pa.Table:
        assert name == "stages" and data is not None
        field = BY_NAME["stages"].arrow.field(index)
        return data.add_column(index, field, pa.array([0] * data.num_rows, pa.int64()))

    monkeypatch.setitem(upgrade.STEPS, 0, upgrade.Step({"stages": old.schema}, manifest, table))
    changed = with_manifest(good, schema_version=0, machine={"release": "6.12"})
    scratch.write_bytes(repacked(changed, stages__parquet=parquet_bytes(old)))
    with open_recording(scratch) as recording:
        assert recording.manifest["machine"]["kernel"] == "6.12"
        assert recording.arrow("stages").schema == BY_NAME["stages"].arrow
        assert recording.table("stages")["nested_ns"].sum() == 0
        assert recording.arrow("depths") == ARROW["depths"]


def test_a_full_disk_leaves_the_old_file_and_no_other(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof"
    path.write_bytes(b"old")
    with file_size_limit(5000), pytest.raises(DiskFull, match="the disk is full"):
        write_recording(path, SMALL.manifest, ARROW)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wgprof"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="could not be written: No such file"):
        write_recording(tmp_path / "nowhere" / "a.wgprof", {}, {})


def test_what_is_handed_out_may_be_changed() -> None:
    frame = SMALL.table("stages")
    frame["packets"] = 0
    frame.loc[0, "bytes"] = -1
    assert SMALL.table("stages")["packets"].sum() > 0
    assert SMALL.table("stages")["bytes"].min() >= 0
    with pytest.raises(KeyError):
        SMALL.table("nonsense")


def test_tables_in_memory_are_held_to_the_schema() -> None:
    frame = SMALL.table("stages")
    assert Recording.from_tables({}, {"stages": frame}).table("stages").equals(frame)
    with pytest.raises(RecordingError):
        Recording.from_tables({}, {"stages": frame.drop(columns="cpu")})


def test_every_key_of_the_manifest_is_always_there() -> None:
    whole = completed({})
    for key in KEYS:
        place: Any = whole
        for name in key.name.partition("[]")[0].split("."):
            place = place[name]
    assert completed({"interfaces": [{}]})["interfaces"][0]["mtu"] == 0
    assert completed({"machine": {"kernel": 5}, "nonsense": 1}, lenient=True)["machine"]["kernel"] == ""


def test_the_reader_bounds_members(good: bytes, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch.write_bytes(good)
    monkeypatch.setattr(reader, "MAX_MANIFEST", 100)
    with pytest.raises(RecordingError, match="bytes long"):
        open_recording(scratch)
