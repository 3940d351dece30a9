"""From .part to recording: a prefix after any cut, and the .part goes only when the recording is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.documents import objects
from tests.support.frames import synthetic_frames
from tests.unit.test_recording_part import file_size_limit
from wgprof.agent.frames import HEADER, Kind, encode, encode_json, read_frames
from wgprof.cli.recover import command
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.finish import finish_part, output_of
from wgprof.recording.part import DiskFull
from wgprof.recording.reader import open_recording

STREAM = synthetic_frames(seconds=0.3, rate=60.0)
FRAMES = list(read_frames(BytesIO(STREAM)))
#: Tables to which every frame can only add rows at the end.
GROWING = ("intervals", "stages", "executions", "arrivals", "depths", "histograms", "journeys", "cpus", "interfaces")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "a.wgprof.part"
    path.write_bytes(STREAM)
    return path


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Hundreds of files are written here, and none must survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "a.wgprof.part"
    path.write_bytes(STREAM)
    return finish_part(path, output_of(path)).path


def test_a_part_becomes_a_recording_and_is_removed(part: Path) -> None:
    done = finish_part(part, output_of(part), {"goodput_bps": 1e8})
    assert not part.exists()
    assert [path.name for path in part.parent.iterdir()] == ["a.wgprof"]
    assert (done.path.name, done.frames, done.dropped_bytes, done.complete) == ("a.wgprof", len(FRAMES), 0, True)
    assert done.size == done.path.stat().st_size
    with open_recording(done.path) as recording:
        assert len(recording.table("journeys")) == done.journeys > 0
        manifest = recording.manifest
    assert manifest["results"] == {"goodput_bps": 1e8}
    assert manifest["part"] == {"frames": len(FRAMES), "bytes": len(STREAM), "dropped_bytes": 0}
    assert (manifest["complete"], manifest["end_reason"], manifest["message"]) == (True, "duration", "")
    assert manifest["duration_s"] == pytest.approx(0.3)
    assert manifest["created"] == "2023-11-14T22:13:20Z"


@settings(max_examples=35, deadline=None)
@given(cut=st.integers(0, len(STREAM) - 1))
def test_a_cut_anywhere_recovers_to_a_prefix(whole: Path, tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.wgprof.part"
    path.write_bytes(STREAM[:cut])
    started = sum(len(encode_json(frame.kind, frame.sequence, frame.json())) for frame in FRAMES[:2])
    if cut < started:  # REQUEST and HELLO
        with pytest.raises(RecordingError, match="before anything was recorded"):
            finish_part(path, output_of(path))
        assert path.exists()
        return
    done = finish_part(path, output_of(path))
    assert not done.complete and done.end_reason == "recovered"
    with open_recording(done.path) as recording, open_recording(whole) as full:
        for name in GROWING:
            found = recording.table(name)
            assert found.equals(full.table(name).head(len(found)).astype(found.dtypes)), name


@settings(max_examples=35, deadline=None)
@given(data=st.data())
def test_a_damaged_byte_anywhere_recovers_what_came_before(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.wgprof.part"
    damaged = bytearray(STREAM)
    place = data.draw(st.integers(0, len(STREAM) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        done = finish_part(path, output_of(path))
    except RecordingError:
        assert place < 3000 and path.exists()  # REQUEST or HELLO
        return
    with open_recording(done.path) as recording, open_recording(whole) as full:
        if done.dropped_bytes:
            assert not done.complete and done.message
            found = recording.table("intervals")
            assert found.equals(full.table("intervals").head(len(found)).astype(found.dtypes))


def test_a_frame_no_agent_sends_ends_the_recording_there(part: Path) -> None:
    good = b"".join(encode(frame.kind, frame.sequence, frame.payload) for frame in FRAMES[:-3])
    rest = encode(Kind.EVENTS, 99, b"not an event") + encode(Kind.END, 100, b"{}")
    part.write_bytes(good + rest)
    done = finish_part(part, output_of(part))
    assert (done.frames, done.dropped_bytes) == (len(FRAMES) - 3, len(rest))
    assert not done.complete and "inside an event" in done.message


def test_the_recorder_may_know_better_why_it_ended(part: Path) -> None:
    part.write_bytes(synthetic_frames(seconds=0.2, rate=60.0, end=False))
    done = finish_part(part, output_of(part), interrupted=True, end_reason="disconnected", message="agent: killed")
    assert (done.complete, done.end_reason, done.message) == (False, "disconnected", "agent: killed")
    with open_recording(done.path) as recording:
        assert recording.manifest["interrupted"] is True


def test_the_agent_itself_knows_best(part: Path) -> None:
    assert finish_part(part, output_of(part), end_reason="disconnected").end_reason == "duration"


def test_a_full_disk_keeps_the_part(part: Path) -> None:
    with file_size_limit(3000), pytest.raises(DiskFull) as raised:
        finish_part(part, output_of(part))
    assert f"wgprof recover {part}" in raised.value.remedy
    assert [path.name for path in part.parent.iterdir()] == [part.name]
    assert part.read_bytes() == STREAM
    finish_part(part, output_of(part))


def test_a_full_disk_while_tables_go_to_it_keeps_the_part(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wgprof.recording.parquet.ROW_GROUP", 20)
    with file_size_limit(1000), pytest.raises(DiskFull):
        finish_part(part, output_of(part))
    assert [path.name for path in part.parent.iterdir()] == [part.name]


def test_an_empty_part_has_nothing_to_recover(part: Path) -> None:
    part.write_bytes(b"")
    with pytest.raises(RecordingError, match="before anything was recorded"):
        finish_part(part, output_of(part))


def test_an_agent_of_another_version_is_one_sentence(part: Path) -> None:
    hello = FRAMES[1].json() | {"layout": {"counters": 9}}
    part.write_bytes(encode_json(Kind.HELLO, 0, hello))
    with pytest.raises(RecordingError, match="another version"):
        finish_part(part, output_of(part))
    assert part.exists()


def test_the_output_is_named_after_the_part() -> None:
    assert output_of(Path("x/a.wgprof.part")) == Path("x/a.wgprof")
    assert output_of(Path("x/a.frames")) == Path("x/a.wgprof")


def recover(*arguments: str) -> tuple[str, str]:
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout, done.stderr


def test_recover_says_what_it_wrote(part: Path) -> None:
    part.write_bytes(STREAM[:-10])
    stdout, stderr = recover(str(part))
    out = part.with_suffix("")
    assert stdout.startswith(f"Wrote {out} (") and stdout.count("\n") == 1
    assert "dropped" in stderr and "frames" in stderr
    assert out.exists() and not part.exists()


def test_recover_speaks_json(part: Path, tmp_path: Path) -> None:
    out = tmp_path / "other.wgprof"
    stdout, stderr = recover(str(part), "-o", str(out), "--json")
    said = json.loads(stdout)
    assert said["version"] == 1 and said["path"] == str(out) and said["complete"] is True
    assert said["bytes"] == out.stat().st_size and said["frames"] == len(FRAMES)
    assert f"Wrote {out} (" in stderr


def test_recover_does_not_overwrite_unasked(part: Path) -> None:
    out = part.with_suffix("")
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already"):
        recover(str(part))
    assert out.read_bytes() == b"precious" and part.exists()


def test_recover_of_a_finished_recording_leaves_it_alone(whole: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(RecordingError, match="not an unfinished recording") as raised:
        recover(str(whole))
    assert "wgprof show" in raised.value.remedy
    assert whole.read_bytes() == before


def test_recover_of_a_renamed_part_does_not_remove_the_result(part: Path) -> None:
    renamed = part.rename(part.with_suffix(""))
    recover(str(renamed))
    with open_recording(renamed) as recording:
        assert recording.manifest["complete"]


def test_recover_needs_a_part() -> None:
    with pytest.raises(RecordingError, match="No such file"):
        recover("nowhere.wgprof.part")
    with pytest.raises(click.UsageError):
        recover()


def test_headers_are_what_the_cut_test_thinks() -> None:
    lengths = [len(encode(frame.kind, frame.sequence, frame.payload)) for frame in FRAMES]
    assert min(lengths) > HEADER.size


def texts_of(path: Path) -> str:
    with open_recording(path) as recording:
        return json.dumps(recording.manifest) + str(recording.table("objects").to_dict("list"))


@pytest.mark.parametrize("asked", ["now", "when it was recorded"])
def test_a_part_is_finished_anonymised(part: Path, asked: str) -> None:
    """By `recover --anonymize`, and without it if that was asked of the recorder that was killed."""
    secrets = [peer["public_key"] for peer in objects(2)[1:]] + ["192.0.2."]
    if asked != "now":
        first, *others = FRAMES
        what = json.loads(first.payload)
        what["request"]["anonymize"] = True
        rest = b"".join(encode(frame.kind, frame.sequence, frame.payload) for frame in others)
        part.write_bytes(encode_json(Kind.REQUEST, 0, what) + rest)
    result = CliRunner().invoke(command, [str(part), *(["--anonymize"] if asked == "now" else [])])
    assert result.exit_code == 0, result.output
    assert not part.exists()
    text = texts_of(output_of(part))
    assert '"anonymized": true' in text
    assert "peer-1" in text
    assert not [secret for secret in secrets if secret in text]


def test_a_part_is_not_anonymised_unasked(whole: Path) -> None:
    assert objects(1)[1]["public_key"] in texts_of(whole)
