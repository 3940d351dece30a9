"""The agent's recorder as a whole, on memory in place of the probes' maps: its frames are what their reader expects."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from bench.ticks import Memory, record
from wgprof.agent.frames import Kind, read_frames
from wgprof.agent.kernel import online_cpus
from wgprof.recording.ticks import Tick, parse_tick


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    stoppers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(stopper) for stopper in stoppers]
    yield
    for stopper, handler in zip(stoppers, before, strict=True):
        signal.signal(stopper, handler)


def ticks_of(memory: Memory, path: Path, count: int) -> list[Tick]:
    with path.open("wb") as file:
        record(memory, count, 100, file)
    frames = list(read_frames(BytesIO(path.read_bytes())))
    assert [frames[0].kind, frames[-1].kind] == [Kind.HELLO, Kind.END]
    return [parse_tick(frame.payload) for frame in frames if frame.kind == Kind.TICK]


def test_a_tick_has_everything_that_is_read(tmp_path: Path) -> None:
    memory = Memory(tunnels=2)
    memory.count()
    first, *others = ticks_of(memory, tmp_path / "frames", 3)
    assert [(item.object, item.kind) for item in first.objects] == [
        (1, "device"),
        (2, "peer"),
        (3, "device"),
        (4, "peer"),
    ]
    assert set(first.cpus) == set(online_cpus()) <= {cpu for (cpu,) in first.outer.softnet or {}}
    assert set(first.softirqs) == {"NET_RX", "NET_TX"}
    assert [name for _, name in first.interfaces] == ["lo"]
    assert first.losses and not any(first.losses.values())
    assert set(np.unique(first.cells["slot"])) == {0, 1, 2, 3, 4}
    assert (first.cells["counters"][:, :4] == (7, 7, 7, 0)).all()
    assert len(others) >= 1
    assert not any(len(tick.cells) or tick.objects for tick in others), "nothing happened since"
    assert [tick.outer.udp is None for tick in (first, *others)] == [False] + [True] * (len(others) - 1) + [False]
