"""Follows a recording while it is written: the last seconds of its `.part`, again and again.

Every tick holds all counters as they stand, so a recording may begin at any tick: what is kept is
the frames since one of half a minute ago, and what is shown is decoded from those alone.  However
long the recording lasts, memory and the time to look at it stay what they are.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from wgprof.agent.frames import HEADER, MAX_PAYLOAD, Frame, FrameError, Kind, open_frame, read_raw
from wgprof.errors import RecordingError
from wgprof.recording.decode import Decoder
from wgprof.recording.reader import Recording
from wgprof.recording.untrusted import Damage, integer, items, mapping, parse_object

#: So much of the recording is kept, and never more than so many bytes of it.
WINDOW_NS = 30_000_000_000
_MOST_BYTES = 192 << 20
_PREFIX = 4  # length of a tick's JSON
_MOST_BEFORE = 1000  # frames before the first tick

Made = TypeVar("Made")


@dataclass
class _Tick:
    """A tick and what came after it until the next one."""

    t_ns: int
    frames: list[Frame]
    objects: list[dict[str, Any]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(len(frame.payload) for frame in self.frames)


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
        self._version = 0
        self._began_ns = 0
        self._first: list[Frame] = []  # what came before the first tick: REQUEST, HELLO, LOGs
        self._ticks: deque[_Tick] = deque()
        self._bytes = 0
        self._objects: dict[int, dict[str, Any]] = {}  # announced in ticks that are gone
        self._damage = ""
        self._made: tuple[int, Made] | None = None

    @property
    def kept_bytes(self) -> int:
        """How much is held of the recording."""
        return self._bytes

    def poll(self) -> int:
        """Take in what has come; a number that grows with every tick.  Raises RecordingError if it cannot be read."""
        with self._reading:
            with contextlib.suppress(FrameError):
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
                frames = [*self._first, *self._as_if_begun_here()]
            made = self._make(self._decoded(frames), self._began_ns)
            self._made = version, made
            return made

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()

    def _new_frames(self) -> list[Frame]:
        """The whole frames after those already read."""
        frames: list[Frame] = []
        try:
            if self._stream is None:
                self._stream = self.path.open("rb")
            while self._whole_frame_follows(self._stream):
                raw = read_raw(self._stream)
                assert raw is not None
                frames.append(open_frame(raw))
        except OSError as error:
            raise RecordingError(f"{self.path.name} could not be read: {error.strerror}", "Was it moved?") from error
        except FrameError as error:
            self._damage = f"{self.path.name} is damaged: {error}"
        return frames

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
        elif frame.kind is Kind.TICK:
            self._take_tick(frame)
        elif self._ticks:
            self._ticks[-1].frames.append(frame)
            self._bytes += len(frame.payload)
        elif len(self._first) < _MOST_BEFORE:
            self._first.append(frame)

    def _take_tick(self, frame: Frame) -> None:
        try:
            value = _json_of(frame)
            tick = _Tick(integer(value.get("t_ns"), "a tick's t_ns", low=1), [frame])
            found = items(value.get("objects", []), "a tick's objects")
            tick.objects = [mapping(thing, "an object") for thing in found]
        except Damage as damage:
            self._damage = f"{self.path.name} is damaged: {damage.sentence}"
            return
        self._began_ns = self._began_ns or tick.t_ns
        self._ticks.append(tick)
        self._bytes += len(frame.payload)
        self._version += 1
        # The first tick kept is where counting begins; the window starts there.
        while len(self._ticks) > 2 and (
            self._ticks[1].t_ns <= tick.t_ns - self._window_ns or self._bytes > _MOST_BYTES
        ):
            gone = self._ticks.popleft()
            self._bytes -= gone.bytes
            self._objects |= {int(str(thing.get("slot", 0))): thing for thing in gone.objects}

    def _as_if_begun_here(self) -> list[Frame]:
        """The frames kept, numbered as if they followed the HELLO; the first tick names every object there is."""
        frames = [frame for tick in self._ticks for frame in tick.frames]
        if not frames:
            return []
        skipped = frames[0].sequence - (self._first[-1].sequence if self._first else -1) - 1
        frames = [frame._replace(sequence=max(frame.sequence - skipped, 0)) for frame in frames]
        if self._objects:
            here = {thing.get("slot"): thing for thing in self._ticks[0].objects}
            frames[0] = _with_objects(frames[0], list((self._objects | here).values()))
        return frames

    def _decoded(self, frames: list[Frame]) -> Recording:
        decoder = Decoder()
        with contextlib.suppress(Damage):  # what came before the damage is there
            for frame in frames:
                decoder.feed(frame)
        if not decoder.started:
            raise RecordingError(f"{self.path.name} holds nothing yet", "The probes are being attached; wait for it.")
        decoded = decoder.finish()
        return Recording.from_tables(decoded.manifest, decoded.tables)


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
