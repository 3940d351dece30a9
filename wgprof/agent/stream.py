"""The agent's frames, on their way out."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Sequence

from wgprof.agent.frames import Kind, Payload, encode_json, encode_parts, unsealed_header

#: IOV_MAX of include/uapi/linux/uio.h: pieces one system call takes.
_MOST_PIECES = 1024


class Stream:
    """Writes frames to a file descriptor, each with as few system calls and copies as it takes."""

    def __init__(self, fd: int, compress: bool) -> None:
        self._fd = fd
        self._compress = compress
        self._sequence = 0
        self.event_bytes = 0

    def _write(self, parts: Sequence[Payload]) -> None:
        self._sequence += 1
        for start in range(0, len(parts), _MOST_PIECES):
            pieces = parts[start : start + _MOST_PIECES]
            written = os.writev(self._fd, pieces)
            if written != sum(map(len, pieces)):
                self._write_rest(pieces, written)

    def _write_rest(self, pieces: Sequence[Payload], written: int) -> None:
        """A pipe, or a signal, may have cut it short."""
        left = [memoryview(piece) for piece in pieces if piece]
        while left:
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]
            written = os.writev(self._fd, left) if left else 0

    def json(self, kind: Kind, value: Dict[str, Any]) -> None:
        self._write([encode_json(kind, self._sequence, value)])

    def tick(self, head: bytes, cells: Sequence[Payload]) -> None:
        """`head` is JSON; `cells` are what `Blocks.changed` gave, and are read where they lie."""
        self._bulk(Kind.TICK, [len(head).to_bytes(4, "little"), head, *cells])

    def perf(self, head: Dict[str, Any], text: bytes) -> None:
        """A frame of a JSON object, its length in front of it, and text, which compresses to a tenth."""
        first = json.dumps(head, separators=(",", ":")).encode()
        payload = len(first).to_bytes(4, "little") + first + text
        self._write(encode_parts(Kind.PERF, self._sequence, payload, compress=True))

    def events(self, records: Payload) -> None:
        """Ring buffer records, as they lie there; they are not needed any more when this returns."""
        self.event_bytes += len(records)
        self._bulk(Kind.EVENTS, [records])

    def _bulk(self, kind: Kind, parts: List[Payload]) -> None:
        """What there is much of: compressed for a narrow way, else neither that nor sealed."""
        if self._compress:
            self._write(encode_parts(kind, self._sequence, b"".join(parts), compress=True))
        else:
            self._write([unsealed_header(kind, self._sequence, sum(map(len, parts))), *parts])

    def log(self, level: str, topic: str, message: str) -> None:
        self.json(Kind.LOG, {"t_ns": time.monotonic_ns(), "level": level, "topic": topic, "message": message})
