"""Follows a recording while it is written: the last seconds of its `.part`, again and again.

Every tick holds all counters as they stand, so a recording may begin at any tick.  Frames are decoded
in stretches of a few seconds, each as a recording that begins at the last tick of the one before; the
tables of the last stretches together are what is shown.  However long the recording lasts, memory and
the time to look at it stay what they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import pyarrow as pa

from wgprof.agent.frames import HEADER, MAX_PAYLOAD, Frame, FrameError, Kind, open_frame, read_raw
from wgprof.errors import RecordingError
from wgprof.recording.decode import Decoded, Decoder
from wgprof.recording.reader import Recording
from wgprof.recording.untrusted import Damage, integer, items, mapping, parse_object

#: So much of the recording is kept, and never more than so many bytes of tables.
WINDOW_NS = 30_000_000_000
_MOST_BYTES = 192 << 20
#: Ticks and bytes of frames of a stretch.
_STRETCH, _STRETCH_BYTES = 30, 16 << 20
#: A stretch ends with a tick; where none comes for so many bytes more, no agent wrote that.
_MOST_BETWEEN = 4 * _STRETCH_BYTES
#: Tables that each stretch has for all that was before, too.
_OF_THE_WHOLE = frozenset({"objects", "probes", "losses"})
_PREFIX = 4  # length of a tick's JSON
_MOST_BEFORE = 1000  # frames before the first tick

Made = TypeVar("Made")


@dataclass
class _Tick:
    """A tick and what came after it until the next one."""

    t_ns: int
    frames: list[Frame]
    objects: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Stretch:
    """A few seconds, decoded."""

    end_ns: int
    decoded: Decoded

    @property
    def bytes(self) -> int:
        return sum(_table(self.decoded, name).nbytes for name in self.decoded.tables)


class Follower(Generic[Made]):
    """Reads what is new of a `.part` at each `poll`, and makes of it what `make` makes; safe to be used by threads.

    `make` gets the last seconds as a recording, and the time of the recording's first tick.
    """

    def __init__(self, path: Path, make: Callable[[Recording, int], Made], window_ns: int = WINDOW_NS) -> None:
        self.path = path
        self.ended = False
        self._make = make
        self._window_ns = window_ns
        self._reading, self._making = threading.Lock(), threading.Lock()
        self._stream: BinaryIO | None = None
        self._opened: os.stat_result | None = None
        self._closed = False
        self._version = 0
        self._began_ns = 0
        self._first: list[Frame] = []  # what came before the first tick: REQUEST, HELLO, LOGs
        self._first_bytes = 0
        self._stretches: deque[_Stretch] = deque()
        self._ticks: list[_Tick] = []  # of the stretch that has not ended
        self._bytes = 0  # of its frames
        self._objects: dict[int, dict[str, Any]] = {}  # announced in the stretches before
        self._damage = ""
        self._made: tuple[int, Made] | None = None

    @property
    def kept_bytes(self) -> int:
        """How much is held of the recording."""
        return self._first_bytes + self._bytes + sum(stretch.bytes for stretch in self._stretches)

    @property
    def outdated(self) -> bool:
        """Whether another file is now where the one that is followed was."""
        try:
            return self._opened is not None and not os.path.samestat(self._opened, self.path.stat())
        except OSError:
            return False  # finished, and nothing new

    def poll(self) -> int:
        """Take in what has come; a number that grows with every tick.

        Raises RecordingError if it cannot be read, or is followed no longer.
        """
        with self._reading:
            if self._closed:
                raise RecordingError(f"{self.path.name} is followed no longer", "Look at it again.")
            for frame in self._new_frames():
                self._take(frame)
            if self._damage:
                raise RecordingError(self._damage, "What came before is kept: `wgprof recover` finishes the file.")
            return self._version

    def latest(self) -> Made:
        """What is made of the last seconds, once for each version.  Raises RecordingError if there is nothing yet."""
        with self._making:
            version = self.poll()
            if self._made is not None and self._made[0] == version:
                return self._made[1]
            with self._reading:
                recording = self._recording()
            made = self._make(recording, self._began_ns)
            self._made = version, made
            return made

    def close(self) -> None:
        """Follow no longer; waits for whoever is just reading."""
        with self._reading:
            self._closed = True
            if self._stream is not None:
                self._stream.close()

    def _new_frames(self) -> Iterator[Frame]:
        """The whole frames after those already read, one at a time, until there is damage."""
        while not self._damage:
            try:
                if self._stream is None:
                    self._stream = self.path.open("rb")
                    self._opened = os.fstat(self._stream.fileno())
                if not self._whole_frame_follows(self._stream):
                    return
                raw = read_raw(self._stream)
                assert raw is not None
                frame = open_frame(raw)
            except OSError as error:
                sentence = f"{self.path.name} could not be read: {error.strerror}"
                raise RecordingError(sentence, "Was it moved?") from error
            except FrameError as error:
                self._say_damaged(str(error))
                return
            yield frame

    @staticmethod
    def _whole_frame_follows(stream: BinaryIO) -> bool:
        """Whether the next frame has been written to its end; one that is damaged counts, for reading it says how."""
        at = stream.tell()
        header = stream.read(HEADER.size)
        end = stream.seek(0, 2)
        stream.seek(at)
        if len(header) < HEADER.size:
            return False
        length = int(HEADER.unpack(header)[5])
        return length > MAX_PAYLOAD or end >= at + HEADER.size + length

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.END:  # its totals are of the whole recording, not of what is kept
            self.ended = True
        elif self._bytes + len(frame.payload) > _MOST_BETWEEN:
            self._say_damaged(f"more than {_MOST_BETWEEN} bytes without a tick that ends a stretch")
        elif frame.kind is Kind.TICK:
            self._take_tick(frame)
        elif self._ticks:
            self._ticks[-1].frames.append(frame)
            self._bytes += len(frame.payload)
        elif len(self._first) < _MOST_BEFORE:
            self._first.append(frame)
            self._first_bytes += len(frame.payload)
            if self._first_bytes > _STRETCH_BYTES:
                self._say_damaged(f"more than {_STRETCH_BYTES} bytes before the first tick")

    def _say_damaged(self, why: str) -> None:
        self._damage = f"{self.path.name} is damaged: {why}"

    def _take_tick(self, frame: Frame) -> None:
        try:
            value = _json_of(frame)
            tick = _Tick(integer(value.get("t_ns"), "a tick's t_ns", low=1), [frame])
            found = items(value.get("objects", []), "a tick's objects")
            tick.objects = [mapping(thing, "an object") for thing in found]
        except Damage as damage:
            self._say_damaged(damage.sentence)
            return
        if not any(first.kind is Kind.HELLO for first in self._first):
            self._say_damaged("a tick before the agent's HELLO")
            return
        self._began_ns = self._began_ns or tick.t_ns
        self._ticks.append(tick)
        self._bytes += len(frame.payload)
        self._version += 1
        if len(self._ticks) > _STRETCH or self._bytes > _STRETCH_BYTES:
            self._end_stretch()

    def _end_stretch(self) -> None:
        """Decode what there is up to the last tick, which is the first of what comes now."""
        *gone, last = self._ticks
        if not gone:
            return
        self._stretches.append(_Stretch(last.t_ns, self._decoded()))
        self._objects |= {int(str(thing.get("slot", 0))): thing for tick in gone for thing in tick.objects}
        self._ticks, self._bytes = [last], sum(len(frame.payload) for frame in last.frames)
        kept = self._stretches
        while kept and (kept[0].end_ns <= last.t_ns - self._window_ns or self.kept_bytes > _MOST_BYTES):
            kept.popleft()

    def _decoded(self) -> Decoded:
        """The stretch so far, as if the recording began with it."""
        decoder = Decoder()
        with contextlib.suppress(Damage):  # what came before the damage is there
            for frame in [*self._first, *self._as_if_begun_here()]:
                decoder.feed(frame)
        if not decoder.started:
            raise RecordingError(f"{self.path.name} holds nothing yet", "The probes are being attached; wait for it.")
        return decoder.finish()

    def _as_if_begun_here(self) -> list[Frame]:
        """The frames of the stretch, numbered as if they followed the HELLO; the first tick names every object."""
        frames = [frame for tick in self._ticks for frame in tick.frames]
        if not frames:
            return []
        skipped = frames[0].sequence - (self._first[-1].sequence if self._first else -1) - 1
        frames = [frame._replace(sequence=max(frame.sequence - skipped, 0)) for frame in frames]
        if self._objects:
            here = {thing.get("slot"): thing for thing in self._ticks[0].objects}
            frames[0] = _with_objects(frames[0], list((self._objects | here).values()))
        return frames

    def _recording(self) -> Recording:
        """All stretches together."""
        now = self._decoded()
        parts = [*(stretch.decoded for stretch in self._stretches), now]
        tables = {
            name: _table(now, name)
            if name in _OF_THE_WHOLE
            else pa.concat_tables([_table(part, name) for part in parts])
            for name in now.tables
        }
        first = self._stretches[0].decoded.manifest if self._stretches else now.manifest
        sampling, others = dict(now.manifest["sampling"]), [part.manifest["sampling"] for part in parts]
        sampling["sample_every_min"] = min(other["sample_every_min"] for other in others)
        sampling["sample_every_max"] = max(other["sample_every_max"] for other in others)
        duration_s = sum(part.manifest["duration_s"] for part in parts)
        manifest = {**first, **now.manifest, "sampling": sampling, "duration_s": duration_s}
        return Recording.from_tables(manifest, tables)


def _table(decoded: Decoded, name: str) -> pa.Table:
    found = decoded.tables[name]
    assert isinstance(found, pa.Table)  # a decoder that has no folder keeps everything in memory
    return found


def _json_of(tick: Frame) -> dict[str, Any]:
    length = int.from_bytes(tick.payload[:_PREFIX], "little")
    return parse_object(tick.payload[_PREFIX : _PREFIX + length], "a tick")


def _with_objects(tick: Frame, objects: list[dict[str, Any]]) -> Frame:
    """The same tick, in which these objects are announced."""
    length = int.from_bytes(tick.payload[:_PREFIX], "little")
    text = json.dumps(_json_of(tick) | {"objects": objects}, separators=(",", ":")).encode()
    return tick._replace(
        payload=len(text).to_bytes(_PREFIX, "little") + text + tick.payload[_PREFIX + length :],
    )
