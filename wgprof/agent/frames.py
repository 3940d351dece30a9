"""The frame protocol between the agent and whoever reads it.

A stream is a sequence of frames.  Each frame is a 24 byte header followed by a payload:

    magic      4 bytes   b"WGPF"
    version    u8        protocol version
    kind       u8        one of the Kind values
    flags      u16       bit 0: the payload is zlib compressed; bit 1: the frame is not sealed yet
    sequence   u32       counts up from 0; a gap means lost frames
    length     u32       payload bytes on the wire
    crc        u32       CRC-32 of the header, with this field zero, and of the payload on the wire
    reserved   u32       zero

All integers are little endian.  The same bytes are the `.part` file of a recording, so a
recording that was cut off anywhere is a valid prefix of frames.

The checksum is for what lies on a disk.  A frame on its way through a pipe may come unsealed: its
checksum covers the header alone, and whoever reads it puts in the whole one.

Standard library only: this file travels in the agent's zipapp.
"""

from __future__ import annotations

import json
import struct
import zlib
from enum import IntEnum
from typing import IO, Any, Dict, Iterator, NamedTuple, Optional, Tuple, Union

MAGIC = b"WGPF"
PROTOCOL_VERSION = 1
HEADER = struct.Struct("<4sBBHIIII")
_CRC_AT = 16
FLAG_ZLIB = 1
FLAG_UNSEALED = 2
#: A frame larger than this is damage, not data.
MAX_PAYLOAD = 64 << 20
#: Decompressed payloads are bounded as well: a recording is untrusted input.
MAX_DECOMPRESSED = 256 << 20
#: Below this a compressed payload would not be smaller by enough to matter.
COMPRESS_FROM = 1024


class Kind(IntEnum):
    HELLO = 1  # JSON: who the agent is, the machine, the attach report, the layout of cells
    TICK = 2  # JSON + cells: everything that is counted, once an interval
    EVENTS = 3  # raw ring buffer bytes: journey events
    LOG = 4  # JSON: {"t_ns", "level", "message", "topic"}
    END = 5  # JSON: totals, losses, probe statistics, and why the recording ended
    REQUEST = 6  # JSON: what was asked; written by the recorder, first in a .part
    PERF = 7  # JSON + text: what the perf tool printed in its own window, in pieces


class Frame(NamedTuple):
    kind: Kind
    sequence: int
    payload: bytes

    def json(self) -> Dict[str, Any]:
        """The payload as a JSON object.  Raises FrameError if it is not one."""
        try:
            value = json.loads(self.payload)
        except ValueError as error:
            raise FrameError(f"frame {self.sequence} ({self.kind.name}) is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise FrameError(f"frame {self.sequence} ({self.kind.name}) is not a JSON object")
        return value


class FrameError(Exception):
    """The bytes are not a frame of this protocol."""


class ProtocolMismatch(FrameError):
    """A frame of another protocol version."""


#: What can be a payload without being copied first.
Payload = Union[bytes, memoryview]


def encode(kind: Kind, sequence: int, payload: Payload, compress: bool = False) -> bytes:
    """One frame as bytes."""
    return b"".join(encode_parts(kind, sequence, payload, compress))


def encode_parts(kind: Kind, sequence: int, payload: Payload, compress: bool = False) -> Tuple[bytes, Payload]:
    """One frame as its header and its payload, which is the one given unless it was compressed."""
    flags = 0
    if compress and len(payload) >= COMPRESS_FROM:
        payload = zlib.compress(payload, 1)
        flags = FLAG_ZLIB
    return _header(kind, flags, sequence, len(payload), payload), payload


def unsealed_header(kind: Kind, sequence: int, length: int) -> bytes:
    """The header of a frame whose payload follows as it is, unsealed."""
    return _header(kind, FLAG_UNSEALED, sequence, length, b"")


def _header(kind: int, flags: int, sequence: int, length: int, payload: Payload) -> bytes:
    fields = MAGIC, PROTOCOL_VERSION, kind, flags, sequence, length
    return HEADER.pack(*fields, zlib.crc32(payload, zlib.crc32(HEADER.pack(*fields, 0, 0))), 0)


def _checksum(header: bytes, payload: Payload) -> int:
    blank = header[:_CRC_AT] + bytes(4) + header[_CRC_AT + 4 :]
    return zlib.crc32(payload, zlib.crc32(blank))


def encode_json(kind: Kind, sequence: int, value: Dict[str, Any]) -> bytes:
    return encode(kind, sequence, json.dumps(value, separators=(",", ":")).encode(), compress=True)


def _inflate(payload: bytes, sequence: int) -> bytes:
    machine = zlib.decompressobj()
    try:
        data = machine.decompress(payload, MAX_DECOMPRESSED)
    except zlib.error as error:
        raise FrameError(f"frame {sequence} does not decompress: {error}") from error
    if machine.unconsumed_tail or not machine.eof:
        raise FrameError(f"frame {sequence} decompresses to more than {MAX_DECOMPRESSED} bytes or is cut off")
    return data


def read_raw(stream: IO[bytes]) -> Optional[bytes]:
    """The bytes of the next frame, checked and sealed but not opened; None at a clean end of the stream.

    Raises FrameError if the bytes are damaged or end inside a frame, ProtocolMismatch if they
    are frames of another version.
    """
    header = _read_exactly(stream, HEADER.size)
    if not header:
        return None
    if len(header) < HEADER.size:
        raise FrameError("the stream ends inside a frame header")
    magic, version, kind, flags, sequence, length, crc, _ = HEADER.unpack(header)
    if magic != MAGIC:
        raise FrameError("not a wgprof frame")
    if version != PROTOCOL_VERSION:
        raise ProtocolMismatch(f"frame protocol {version}, this wgprof reads {PROTOCOL_VERSION}")
    if length > MAX_PAYLOAD:
        raise FrameError(f"frame {sequence} claims {length} bytes")
    payload = _read_exactly(stream, length)
    if len(payload) < length:
        raise FrameError(f"the stream ends inside frame {sequence}")
    unsealed = flags & FLAG_UNSEALED
    if _checksum(header, b"" if unsealed else payload) != crc:
        raise FrameError(f"frame {sequence} fails its checksum")
    if unsealed:
        header = _header(kind, flags & ~FLAG_UNSEALED, sequence, length, payload)
    return header + payload


def open_frame(raw: bytes) -> Frame:
    """The frame in bytes that `read_raw` gave.  Raises FrameError."""
    _magic, _version, kind, flags, sequence, _length, _crc, _ = HEADER.unpack_from(raw)
    payload = raw[HEADER.size :]
    if flags & FLAG_ZLIB:
        payload = _inflate(payload, sequence)
    try:
        return Frame(Kind(kind), sequence, payload)
    except ValueError as error:
        raise FrameError(f"frame {sequence} is of unknown kind {kind}") from error


def kind_of(raw: bytes) -> int:
    """The kind number in bytes that `read_raw` gave."""
    return raw[5]


def read_frame(stream: IO[bytes]) -> Optional[Frame]:
    """The next frame, or None at a clean end of the stream.  Raises as `read_raw` and `open_frame`."""
    raw = read_raw(stream)
    return None if raw is None else open_frame(raw)


def read_frames(stream: IO[bytes]) -> Iterator[Frame]:
    """All frames until the end of the stream.  Raises as `read_frame`."""
    while True:
        frame = read_frame(stream)
        if frame is None:
            return
        yield frame


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    parts = []
    missing = size
    while missing:
        part = stream.read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
