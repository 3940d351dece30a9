"""The probes' maps as the agent sees them: mapped memory, so that looking costs no system call."""

from __future__ import annotations

import base64
import ipaddress
import mmap
import struct
from typing import Dict, List, Tuple

from wgprof.agent.layout import CELL, CELL_KINDS, COUNTERS, EVENT_STRIDE, KINDS, SLOT_NONE

PAGE = mmap.PAGESIZE
BLOCK_BYTES = CELL.size * KINDS
_CELL_QUADS = CELL.size // 8

#: struct object of probes/layout.h
OBJECT = struct.Struct("<6Q4I16s32s28sI")
_OBJECT_KIND = 48
OBJECT_DEVICE, OBJECT_PEER, OBJECT_GONE = 1, 2, 3
#: struct control: sample_every, filter_names, top_slot, clock_cursor, reserved, names
CONTROL = struct.Struct("<Q4I128s")
_CONTROL_NAMES = 24
NAME_SIZE = 16
MAX_NAMES = 8

#: The losses at the start of struct cpu_state, behind `nested`.
LOSSES: Tuple[Tuple[str, str], ...] = (
    ("ring-full", "journeys"),
    ("unmatched-return", "stages"),
    ("lost-return", "stages"),
    ("no-free-slot", "objects"),
)

STAGES = 6
#: Two counters one of which every event of a cell kind raises: a stage's calls or failures, a
#: server's executions or wake-ups, else the first.  Of softirqs it is the NET_RX and NET_TX runs; the
#: others' time waits for the next of those.
_SERVERS = 4
_QUEUES = 9
_TELLTALES = ((5, 4),) * STAGES + ((0, 5),) * _SERVERS + ((0, 0),) * _QUEUES + ((0, 2),)
#: Kinds that can only change when, or soon before, another of the same block does: those of `_TELLTALES`.
_FOLLOWERS = {
    leader.number: tuple(k.number for k in CELL_KINDS[len(_TELLTALES) : KINDS] if k.name == leader.name)
    for leader in CELL_KINDS[: len(_TELLTALES)]
    if leader.group in ("stage", "execution")
}

#: A record is flagged in the top byte of its first word: 0x80 while it is being written
#: (BPF_RINGBUF_BUSY_BIT), 0x40 if it was taken back (BPF_RINGBUF_DISCARD_BIT).
_RING_FLAGS_AT = 3
_RING_BUSY = 0x80


def mapped(fd: int, size: int, writable: bool = False) -> mmap.mmap:
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(fd, (size + PAGE - 1) // PAGE * PAGE, mmap.MAP_SHARED, protection)


class Control:
    def __init__(self, fd: int, interfaces: List[str]) -> None:
        self._map = mapped(fd, CONTROL.size, writable=True)
        names = b"".join(name.encode()[: NAME_SIZE - 1].ljust(NAME_SIZE, b"\0") for name in interfaces[:MAX_NAMES])
        self._map[_CONTROL_NAMES : _CONTROL_NAMES + len(names)] = names
        # The number last: until then all interfaces are wanted.
        self._map[8:12] = struct.pack("<I", min(len(interfaces), MAX_NAMES))

    def sample_every(self, n: int) -> None:
        """Journeys: every nth nonce; 0 for none."""
        self._map[0:8] = struct.pack("<Q", n)


class Objects:
    """The peers and devices the probes have met."""

    def __init__(self, fd: int, slots: int) -> None:
        self._map = mapped(fd, OBJECT.size * slots)
        self._slots = slots
        self._kinds: Dict[int, int] = {}

    @property
    def slots(self) -> List[int]:
        return list(self._kinds)

    def news(self) -> List[Dict[str, object]]:
        """Objects that are new, or gone, since the last look."""
        found = []
        for slot in range(1, self._slots):
            at = slot * OBJECT.size + _OBJECT_KIND
            kind = self._map[at]  # small, and little endian
            if kind and self._kinds.get(slot) != kind:
                self._kinds[slot] = kind
                found.append(self._read(slot, self._map))
        return found

    @staticmethod
    def _read(slot: int, data: mmap.mmap) -> Dict[str, object]:
        values = OBJECT.unpack_from(data, slot * OBJECT.size)
        _address, identity, _device, netns, first_seen, _scheduled = values[:6]
        kind, device_slot, ifindex, threaded, name, key, endpoint, _ = values[6:]
        peer = kind != OBJECT_DEVICE
        return {
            "slot": slot,
            "kind": "peer" if peer else "device",
            "gone": kind == OBJECT_GONE,
            "device_slot": device_slot,
            "name": name.split(b"\0", 1)[0].decode("utf-8", "replace"),
            "ifindex": ifindex,
            "netns": netns,
            "public_key": base64.b64encode(key).decode() if peer else "",
            "endpoint": format_endpoint(endpoint) if peer else "",
            # A device's address in the kernel stays in the kernel.
            "internal_id": identity if peer else 0,
            "threaded": threaded if peer else -1,
            "first_seen_ns": first_seen,
        }


def format_endpoint(raw: bytes) -> str:
    """address:port of a struct sockaddr_in or sockaddr_in6, empty if it is neither."""
    family, port = struct.unpack_from("<H", raw)[0], struct.unpack_from(">H", raw, 2)[0]
    if family == 2:
        return f"{ipaddress.IPv4Address(raw[4:8])}:{port}"
    if family == 10:
        return f"[{ipaddress.IPv6Address(raw[8:24])}]:{port}"
    return ""


class Blocks:
    """All cells; only those that changed are given out."""

    def __init__(self, fd: int, slots: int, cpus: int, online: List[int]) -> None:
        self._map = mapped(fd, BLOCK_BYTES * slots * cpus)
        self._quads = memoryview(self._map).cast("Q")
        self._cpus = cpus
        self._online = online
        self._last: Dict[int, int] = {}
        self._prefix = struct.Struct("<HHHH")
        self._packets: Dict[int, int] = {}
        #: Packets all stages have counted so far: what sampling every packet would cost in events.
        self.packets = 0

    def changed(self, slots: List[int]) -> bytes:
        """Prefix and bytes of every cell that changed since the last call."""
        parts: List[bytes] = []
        quads, last, data = self._quads, self._last, self._map
        for slot in [SLOT_NONE, *slots]:
            for cpu in self._online:
                index = (slot * self._cpus + cpu) * KINDS
                telltale = index * _CELL_QUADS
                for kind, (one, other) in enumerate(_TELLTALES):
                    value = quads[telltale + one] + quads[telltale + other]
                    if value and last.get(index) != value:
                        last[index] = value
                        start = index * CELL.size
                        parts.append(self._prefix.pack(slot, cpu, kind, 0))
                        parts.append(data[start : start + CELL.size])
                        if kind < STAGES:
                            self.packets += quads[telltale] - self._packets.get(index, 0)
                            self._packets[index] = quads[telltale]
                        for follower in _FOLLOWERS.get(kind, ()):
                            parts.append(self._news(index - kind + follower, slot, cpu, follower))
                    index += 1
                    telltale += _CELL_QUADS
        return b"".join(parts)

    def _news(self, index: int, slot: int, cpu: int, kind: int) -> bytes:
        """Prefix and bytes of a cell if any counter of it rose since the last look."""
        at = index * _CELL_QUADS
        value = sum(self._quads[at : at + COUNTERS])
        if self._last.get(index, 0) == value:
            return b""
        self._last[index] = value
        return self._prefix.pack(slot, cpu, kind, 0) + self._map[at * 8 : at * 8 + CELL.size]


class States:
    """Losses, counted by CPU."""

    def __init__(self, fd: int, cpus: int, state_bytes: int) -> None:
        self._map = mapped(fd, state_bytes * cpus)
        self._quads = memoryview(self._map).cast("Q")
        self._cpus = cpus
        self._stride = state_bytes // 8
        #: While probes are attached one by one, returns come without starts; that is no loss.
        self._before = self._totals()

    def losses(self) -> Dict[str, int]:
        """Losses since this object was made, by cause and place."""
        return {key: count - self._before[key] for key, count in self._totals().items()}

    def _totals(self) -> Dict[str, int]:
        return {
            f"{cause} {where}": sum(self._quads[cpu * self._stride + 1 + index] for cpu in range(self._cpus))
            for index, (cause, where) in enumerate(LOSSES)
        }


class Ring:
    """The ring buffer of journey events, taken in stretches of the mapped memory itself.

    All records have one size, so a whole stretch goes out at once, ring headers included; the reader
    of the recording takes it apart.  A record that is still being written ends the stretch.
    """

    #: So much is looked at in one go: it still lies in the cache when it is written out, and the
    #: program gets its room back before the ring is full.
    STRETCH = 1 << 18

    def __init__(self, fd: int, size: int) -> None:
        self.size = size
        self._consumer = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The data is mapped twice in a row, so that a stretch never has to be put together.
        self._producer = mmap.mmap(fd, PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE)
        self._consumed = memoryview(self._consumer).cast("Q")
        self._records = memoryview(self._producer)
        self._produced = self._records.cast("Q")

    def fill(self) -> int:
        """Bytes waiting."""
        return self._produced[0] - self._consumed[0]

    def look(self, most: int = STRETCH) -> memoryview:
        """Up to `most` bytes of finished records, where they lie; they stay there until `release`."""
        position = self._consumed[0]
        length = min(self._produced[0] - position, most // EVENT_STRIDE * EVENT_STRIDE)
        start = PAGE + position % self.size
        flags = self._producer[start + _RING_FLAGS_AT : start + length : EVENT_STRIDE]
        if not flags.isascii():  # one C loop, where a search in Python would cost more than the writing
            length = EVENT_STRIDE * next(i for i, flag in enumerate(flags) if flag & _RING_BUSY)
        return self._records[start : start + length]

    def release(self, length: int) -> None:
        """Gives the program `length` bytes of room back: those that `look` gave and that have been used."""
        self._consumed[0] += length
