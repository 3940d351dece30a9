"""The .part file: a cut loses the last frame only, a full disk loses none, foreign files are named as such."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgprof.agent.frames import Kind, encode
from wgprof.errors import RecordingError
from wgprof.recording.part import DiskFull, PartWriter, read_part

FRAMES = [encode(kind, number, bytes(17 * number)) for number, kind in enumerate(Kind)]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size`: what a full disk looks like to a writer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_frames_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof.part"
    with PartWriter(path) as writer:
        for frame in FRAMES:
            writer.append(frame)
    assert (writer.frames, writer.size) == (len(FRAMES), path.stat().st_size)
    reader = read_part(path)
    assert [frame.sequence for frame in reader] == list(range(len(FRAMES)))
    assert (reader.frames, reader.size, reader.dropped_bytes, reader.damage) == (len(FRAMES), writer.size, 0, "")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, len(b"".join(FRAMES))))
def test_a_cut_anywhere_leaves_the_whole_frames_before_it(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.part"
    path.write_bytes(b"".join(FRAMES)[:cut])
    ends = [len(b"".join(FRAMES[: n + 1])) for n in range(len(FRAMES))]
    whole = sum(end <= cut for end in ends)
    reader = read_part(path)
    if whole == 0 and cut:
        with pytest.raises(RecordingError, match="before anything was recorded"):
            list(reader)
        return
    assert len(list(reader)) == whole
    assert reader.size + reader.dropped_bytes == cut
    assert bool(reader.damage) == bool(reader.dropped_bytes)


def test_a_full_disk_keeps_the_frames_before(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof.part"
    writer = PartWriter(path)
    writer.append(FRAMES[0])
    with file_size_limit(len(FRAMES[0]) + 30):
        with pytest.raises(DiskFull) as raised:
            writer.append(encode(Kind.TICK, 1, bytes(5000)))
        assert "the disk is full" in raised.value.sentence and str(path) in raised.value.sentence
        assert "wgprof recover" in raised.value.remedy
    writer.close()
    assert path.read_bytes() == FRAMES[0]


def test_an_earlier_part_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof.part"
    path.write_bytes(FRAMES[0])
    with pytest.raises(RecordingError, match="exists") as raised:
        PartWriter(path)
    assert "wgprof recover" in raised.value.remedy


def test_a_part_that_cannot_be_created_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="could not be written: No such file"):
        PartWriter(tmp_path / "nowhere" / "a.part")


def test_a_part_still_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof.part"
    with PartWriter(path) as writer:
        writer.append(FRAMES[0])
        with pytest.raises(RecordingError, match="still being recorded"):
            list(read_part(path))
    assert len(list(read_part(path))) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04 and so on", "not an unfinished recording"),
        (b"#!/bin/sh\nexit 0 # long enough for a header", "not an unfinished recording of wgprof"),
        (bytes(100), "not an unfinished recording of wgprof"),
        (FRAMES[3][:4] + b"\x09" + FRAMES[3][5:], "another wgprof"),
        (FRAMES[3][:-1], "before anything was recorded"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=says):
        list(read_part(path))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="could not be read: No such file"):
        list(read_part(tmp_path / "a.part"))
    with pytest.raises(RecordingError, match="could not be read: Is a directory"):
        list(read_part(tmp_path))
