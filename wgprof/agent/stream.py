"""The agent's frames, on their way out."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, Sequence

from wgprof.agent.frames import Kind, Payload, encode_json, encode_parts, unsealed_header

#: Copying so many bytes takes less than a second piece of a write does.
_FEW = 1 << 14


class Stream:
    """Writes frames to a file descriptor, each with as few system calls and copies as it takes."""

    def __init__(self, fd: int, compress: bool) -> None:
        self._fd = fd
        self._compress = compress
        self._sequence = 0
        self.event_bytes = 0

    def _write(self, *parts: Payload) -> None:
        self._sequence += 1
        left = list(parts)
        written = os.writev(self._fd, left)
        # A pipe, a device, or a signal, may have cut it short.
        while True:
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if not left:
                return
            left[0] = memoryview(left[0])[written:]
            written = os.writev(self._fd, left)

    def json(self, kind: Kind, value: Dict[str, Any]) -> None:
        self._write(encode_json(kind, self._sequence, value))

    def tick(self, head: bytes, cells: Sequence[bytes]) -> None:
        """`head` is JSON; `cells` are what `Blocks.changed` gave."""
        parts = [len(head).to_bytes(4, "little"), head, *cells]
        if self._compress:
            self._write(*encode_parts(Kind.TICK, self._sequence, b"".join(parts), compress=True))
        else:
            # In one piece: a device, such as a virtual machine's console, takes each piece by itself.
            header = unsealed_header(Kind.TICK, self._sequence, sum(map(len, parts)))
            self._write(b"".join([header, *parts]))

    def perf(self, head: Dict[str, Any], text: bytes) -> None:
        """A frame of a JSON object, its length in front of it, and text, which compresses to a tenth."""
        first = json.dumps(head, separators=(",", ":")).encode()
        payload = len(first).to_bytes(4, "little") + first + text
        self._write(*encode_parts(Kind.PERF, self._sequence, payload, compress=True))

    def events(self, records: Payload) -> None:
        """Ring buffer records, as they lie there; they are not needed any more when this returns."""
        self.event_bytes += len(records)
        if self._compress:
            self._write(*encode_parts(Kind.EVENTS, self._sequence, records, compress=True))
            return
        header = unsealed_header(Kind.EVENTS, self._sequence, len(records))
        if len(records) < _FEW:
            self._write(b"".join([header, records]))
        else:
            self._write(header, records)

    def log(self, level: str, topic: str, message: str) -> None:
        self.json(Kind.LOG, {"t_ns": time.monotonic_ns(), "level": level, "topic": topic, "message": message})
