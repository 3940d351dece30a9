"""The agent's frames, on their way out."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict

from wgprof.agent.frames import Kind, Payload, encode_json, encode_parts


class Stream:
    """Writes frames to a file descriptor, each with as few system calls and copies as it takes."""

    def __init__(self, fd: int, compress: bool) -> None:
        self._fd = fd
        self._compress = compress
        self._sequence = 0
        self.event_bytes = 0

    def _write(self, *parts: Payload) -> None:
        self._sequence += 1
        left = [memoryview(part) for part in parts if part]
        while left:
            written = os.writev(self._fd, left)
            # A pipe, or a signal, may have cut it short.
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]

    def json(self, kind: Kind, value: Dict[str, Any]) -> None:
        self._write(encode_json(kind, self._sequence, value))

    def tick(self, head: Dict[str, Any], cells: bytes) -> None:
        self._with_head(Kind.TICK, head, cells, self._compress)

    def perf(self, head: Dict[str, Any], text: bytes) -> None:
        """Text compresses to a tenth; what does not pay for small pieces `encode` leaves alone."""
        self._with_head(Kind.PERF, head, text, compress=True)

    def _with_head(self, kind: Kind, head: Dict[str, Any], rest: bytes, compress: bool) -> None:
        """A frame of a JSON object, its length in front of it, and bytes behind it."""
        text = json.dumps(head, separators=(",", ":")).encode()
        payload = len(text).to_bytes(4, "little") + text + rest
        self._write(*encode_parts(kind, self._sequence, payload, compress))

    def events(self, records: Payload) -> None:
        """Ring buffer records, as they lie there; they are not needed any more when this returns."""
        self.event_bytes += len(records)
        self._write(*encode_parts(Kind.EVENTS, self._sequence, records, self._compress))

    def log(self, level: str, topic: str, message: str) -> None:
        self.json(Kind.LOG, {"t_ns": time.monotonic_ns(), "level": level, "topic": topic, "message": message})
