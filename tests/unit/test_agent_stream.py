"""Frames leave whole, compressed or unsealed, however little a system call takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from wgprof.agent import stream
from wgprof.agent.frames import Frame, Kind, read_frames
from wgprof.agent.layout import CELL, CELL_PREFIX

HEAD = b'{"t_ns":1}'


def frames_of(path: Path) -> list[Frame]:
    return list(read_frames(BytesIO(path.read_bytes())))


def write_all(path: Path, compress: bool) -> list[bytes]:
    """The payloads that were written."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    out = stream.Stream(fd, compress)
    cells = [CELL_PREFIX.pack(number, 0, 0, 0) + bytes([number % 256]) * CELL.size for number in range(300)]
    out.tick(HEAD, [cells[0] + cells[1], *cells[2:]])
    out.events(memoryview(b"e" * 5000))
    out.events(memoryview(b"v" * 50000))
    out.json(Kind.LOG, {"t_ns": 2})
    os.close(fd)
    tick = len(HEAD).to_bytes(4, "little") + HEAD + b"".join(cells)
    return [tick, b"e" * 5000, b"v" * 50000, b'{"t_ns":2}']


@pytest.mark.parametrize("compress", (False, True))
def test_what_was_written_comes_back(tmp_path: Path, compress: bool) -> None:
    payloads = write_all(tmp_path / "out", compress)
    kinds = (Kind.TICK, Kind.EVENTS, Kind.EVENTS, Kind.LOG)
    assert frames_of(tmp_path / "out") == [
        Frame(kind, number, payload) for number, (kind, payload) in enumerate(zip(kinds, payloads, strict=True))
    ]


def test_a_pipe_that_takes_a_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def a_little(fd: int, pieces: Sequence[bytes]) -> int:
        nonlocal calls
        calls += 1
        return os.write(fd, b"".join(pieces)[: 1 + calls % 9700])

    monkeypatch.setattr("os.writev", a_little)
    payloads = write_all(tmp_path / "out", compress=False)
    assert [frame.payload for frame in frames_of(tmp_path / "out")] == payloads
    assert calls > 20
