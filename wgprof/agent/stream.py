"""The agent's frames, on their way out."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Sequence

from wgprof.agent.frames import Kind, Payload, encode_json, encode_parts, unsealed_header
from wgprof.agent.layout import CELL, CELL_PREFIX


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

    def tick(self, head: bytes, cells: Sequence[Payload]) -> None:
        """`head` is JSON; `cells` are what `Blocks.changed` gave: prefixes and cells in turn, read where they lie."""
        parts: List[Payload] = [len(head).to_bytes(4, "little"), head, *cells]
        if self._compress:
            self._write(*encode_parts(Kind.TICK, self._sequence, b"".join(parts), compress=True))
        else:
            # In one piece: a device, such as a virtual machine's console, takes each piece by itself.
            length = 4 + len(head) + len(cells) // 2 * (CELL_PREFIX.size + CELL.size)
            self._write(b"".join([unsealed_header(Kind.TICK, self._sequence, length), *parts]))

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
        else:
            self._write(unsealed_header(Kind.EVENTS, self._sequence, len(records)), records)

    def log(self, level: str, topic: str, message: str) -> None:
        self.json(Kind.LOG, {"t_ns": time.monotonic_ns(), "level": level, "topic": topic, "message": message})
