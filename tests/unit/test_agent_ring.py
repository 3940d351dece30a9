"""From the ring to the stream: finished records only, each once and in order, wherever the ring wraps."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgprof.agent import maps
from wgprof.agent.drain import Drain
from wgprof.agent.frames import Kind, read_frames
from wgprof.agent.layout import EVENT, EVENT_STRIDE
from wgprof.agent.stream import Stream

SIZE = maps.PAGE
BUSY, DISCARDED = 1 << 31, 1 << 30
FITTING = SIZE // EVENT_STRIDE


class Program:
    """Writes records as the kernel does (kernel/bpf/ringbuf.c), into memory that stands for the map.

    The kernel maps the data twice in a row; here both places are written.
    """

    def __init__(self) -> None:
        self._fd, name = tempfile.mkstemp()
        os.unlink(name)  # noqa: PTH108
        os.ftruncate(self._fd, 2 * maps.PAGE + 2 * SIZE)
        self._view = mmap.mmap(self._fd, 0)
        self._quads = memoryview(self._view).cast("Q")
        self.written = 0
        self.busy: list[int] = []  # numbers of records that are still being written
        self.discarded: set[int] = set()

    def ring(self) -> maps.Ring:
        return maps.Ring(self._fd, SIZE)

    def close(self) -> None:
        self._quads.release()
        self._view.close()
        os.close(self._fd)

    @property
    def consumed(self) -> int:
        return self._quads[0] // EVENT_STRIDE

    def _put(self, position: int, data: bytes) -> None:
        for offset, byte in enumerate(data):
            at = 2 * maps.PAGE + (position + offset) % SIZE
            self._view[at] = self._view[at + SIZE] = byte

    def reserve(self) -> bool:
        """A new record that is being written; False if the ring is full."""
        if self.written - self.consumed == FITTING:
            return False
        position = self.written * EVENT_STRIDE
        record = struct.pack("<II", EVENT.size | BUSY, 0) + EVENT.pack(1, self.written, 2, 3, 0, 1, 1, 0, 0)
        self._put(position, record)
        self.busy.append(self.written)
        self.written += 1
        self._quads[maps.PAGE // 8] = position + EVENT_STRIDE
        return True

    def submit(self, which: int, discard: bool) -> None:
        """Finish one of those being written, in any order: they may be on different CPUs."""
        number = self.busy.pop(which)
        self._put(number * EVENT_STRIDE, struct.pack("<I", EVENT.size | (DISCARDED if discard else 0)))
        if discard:
            self.discarded.add(number)

    def write(self, count: int) -> None:
        for _ in range(count):
            assert self.reserve()
            self.submit(0, discard=False)


def numbers(records: memoryview | bytes) -> list[int]:
    """The nonces of whole records."""
    assert len(records) % EVENT_STRIDE == 0
    return [EVENT.unpack_from(records, at + 8)[1] for at in range(0, len(records), EVENT_STRIDE)]


STEPS = st.one_of(
    st.tuples(st.just("reserve"), st.integers(1, 40)),
    st.tuples(st.just("submit"), st.integers(0, 200)),
    st.tuples(st.just("discard"), st.integers(0, 200)),
    st.tuples(st.just("look"), st.integers(0, 2 * SIZE)),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_every_finished_record_comes_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    program = Program()
    ring = program.ring()
    taken = 0
    for action, number in steps:
        if action == "reserve":
            while number and program.reserve():
                number -= 1  # noqa: PLW2901
        elif action in ("submit", "discard") and program.busy:
            program.submit(number % len(program.busy), action == "discard")
        elif action == "look":
            first_busy = min(program.busy, default=program.written)
            expected = min(first_busy - taken, number // EVENT_STRIDE)
            records = ring.look(number)
            assert numbers(records) == list(range(taken, taken + expected))
            flags = [records[at + 3] & 0xC0 for at in range(0, len(records), EVENT_STRIDE)]
            assert flags == [0x40 if taken + i in program.discarded else 0 for i in range(expected)]
            assert program.consumed == taken, "looking gives no room back"
            ring.release(len(records))
            taken += expected
            assert program.consumed == taken
    assert ring.fill() == (program.written - taken) * EVENT_STRIDE
    program.close()


def test_a_record_in_the_making_ends_the_stretch_until_it_is_finished() -> None:
    program = Program()
    ring = program.ring()
    for _ in range(3):
        program.reserve()
    program.submit(0, discard=False)
    program.submit(1, discard=False)
    assert numbers(ring.look()) == [0]
    program.submit(0, discard=False)
    assert numbers(ring.look()) == [0, 1, 2]


def test_the_drain_sends_what_is_there_and_gives_the_room_back() -> None:
    program = Program()
    with tempfile.TemporaryFile() as file:
        stream = Stream(file.fileno(), compress=False)
        drain = Drain(program.ring(), stream)
        for _ in range(5):  # more than fits: the ring wraps
            program.write(FITTING - 3)
            drain.empty()
        program.reserve()
        drain.empty()  # returns, though a record never gets finished
        file.seek(0)
        frames = list(read_frames(file))
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    assert {frame.kind for frame in frames} == {Kind.EVENTS}
    found = [number for frame in frames for number in numbers(frame.payload)]
    assert found == list(range(5 * (FITTING - 3)))
    assert stream.event_bytes == len(found) * EVENT_STRIDE


def test_little_is_left_for_the_next_tick_and_much_is_taken_at_once() -> None:
    program = Program()
    with tempfile.TemporaryFile() as file:
        drain = Drain(program.ring(), Stream(file.fileno(), compress=False))
        program.write(2)
        drain.look()
        assert program.consumed == 0
        program.write(FITTING // 2)
        drain.look()
        assert program.consumed == FITTING // 2 + 2


def test_naps_get_shorter_the_more_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.5, 1.5, 2.0])  # made; looked; looked, emptied; looked
    monkeypatch.setattr("wgprof.agent.drain.time.monotonic", lambda: next(clock))
    program = Program()
    with tempfile.TemporaryFile() as file:
        drain = Drain(program.ring(), Stream(file.fileno(), compress=False))
        assert drain.nap_s(sample_every=28) == 0.25
        assert drain.nap_s(sample_every=1) == 0.0125, "at any moment every packet may become events"
        assert drain.nap_s(sample_every=4) == 0.05, "of a part of the packets, so many times slower"
        drain.look()
        assert drain.nap_s(sample_every=28) == 0.25, "nothing comes in"
        program.write(FITTING)
        drain.look()  # a ring in half a second
        assert 0.12 < drain.nap_s(sample_every=28) < 0.13, "a quarter of the ring"
        assert drain.nap_s(sample_every=1) == 0.0125
        drain.look()
        assert drain.nap_s(sample_every=28) == 0.25, "and then nothing any more"


def test_a_tick_notes_what_comes_in_as_a_look_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Naps as long as a tick have no look of their own; and one just after a look cannot tell a rate."""
    clock = iter([0.0, 0.5, 0.5, 0.5004, 1.0])  # made; tick, emptied; tick; tick
    monkeypatch.setattr("wgprof.agent.drain.time.monotonic", lambda: next(clock))
    program = Program()
    with tempfile.TemporaryFile() as file:
        drain = Drain(program.ring(), Stream(file.fileno(), compress=False))
        program.write(FITTING)
        drain.empty()
        assert 0.12 < drain.nap_s(sample_every=28) < 0.13
        drain.empty()
        assert 0.12 < drain.nap_s(sample_every=28) < 0.13, "nothing came in, in half a millisecond"
        drain.empty()
        assert drain.nap_s(sample_every=28) == 0.25


@given(st.lists(st.binary(min_size=0, max_size=300_000), max_size=3), st.booleans())
@settings(deadline=None, max_examples=25)
def test_a_pipe_that_takes_little_at_a_time_gets_whole_frames(payloads: list[bytes], compress: bool) -> None:
    reader, writer = os.pipe()
    received: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 4093):
            received.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    stream = Stream(writer, compress)
    for payload in payloads:
        stream.events(memoryview(payload))
    stream.log("info", "agent", "done")
    os.close(writer)
    thread.join()
    os.close(reader)
    *events, last = read_frames(BytesIO(b"".join(received)))
    assert [frame.payload for frame in events] == payloads
    assert last.kind is Kind.LOG and last.sequence == len(payloads)
