"""The probes' maps as the agent sees them: mapped memory, so that looking costs no system call."""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
import mmap
import struct
from typing import Dict, List, Optional, Sequence, Tuple

from wgprof.agent.frames import Payload
from wgprof.agent.layout import CELL, CELL_PREFIX, COUNTERS, DETAIL_KINDS, EVENT_STRIDE, KINDS, SLOT_NONE
from wgprof.agent.sampling import distances, sample_below

PAGE = mmap.PAGESIZE
BLOCK_BYTES = CELL.size * KINDS
DETAIL_BLOCK_BYTES = CELL.size * DETAIL_KINDS
_CELL_QUADS = CELL.size // 8

#: struct object of probes/layout.h
OBJECT = struct.Struct("<7Q4I16s32s28sI")
_OBJECT_KIND = 56
OBJECT_DEVICE, OBJECT_PEER, OBJECT_GONE = 1, 2, 3
#: struct sampling, and struct control: two of it, which one is in force, filter_names, top_slot, clock_cursor, names.
SAMPLING = struct.Struct("<Q4I")
CONTROL = struct.Struct("<24s24s4I128s")
_CONTROL_TURN, _CONTROL_FILTER, _CONTROL_NAMES = 48, 52, 64
NAME_SIZE = 16
MAX_NAMES = 8

#: The losses at the start of struct cpu_state, behind `nested`.
LOSSES: Tuple[Tuple[str, str], ...] = (
    ("ring-full", "journeys"),
    ("unmatched-return", "stages"),
    ("lost-return", "stages"),
    ("no-free-slot", "objects"),
)
LOSS_KEYS = tuple(f"{cause} {where}" for cause, where in LOSSES)

STAGES = 6
#: Counters one of which every event of every cell kind raises: packets, executions, hand-offs, samples, NET_RX runs,
#: what was found, episodes; failures, runs of other softirqs, moves; calls or wake-ups.  NET_TX softirqs wait for the
#: next other one.
_TELLTALES = (0, 4, 5)

#: A record is flagged in the top byte of its first word: 0x80 while it is being written
#: (BPF_RINGBUF_BUSY_BIT), 0x40 if it was taken back (BPF_RINGBUF_DISCARD_BIT).
_RING_FLAGS_AT = 3
_RING_BUSY = 0x80


def _map(fd: int, size: int, writable: bool = False) -> mmap.mmap:
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(fd, (size + PAGE - 1) // PAGE * PAGE, mmap.MAP_SHARED, protection)


class Control:
    def __init__(self, fd: int, interfaces: List[str]) -> None:
        self._map = _map(fd, CONTROL.size, writable=True)
        names = b"".join(name.encode()[: NAME_SIZE - 1].ljust(NAME_SIZE, b"\0") for name in interfaces[:MAX_NAMES])
        self._map[_CONTROL_NAMES : _CONTROL_NAMES + len(names)] = names
        # The number last: until then all interfaces are wanted.
        self._map[_CONTROL_FILTER] = min(len(interfaces), MAX_NAMES)

    def sample_every(self, n: int) -> None:
        """Journeys: one nonce in n; 0 for none."""
        # The agent may be interrupted for long between two of its writes, so one byte puts all of it in force.
        turn = 1 - self._map[_CONTROL_TURN]
        SAMPLING.pack_into(self._map, turn * SAMPLING.size, sample_below(n), *distances(max(n, 1)))
        self._map[_CONTROL_TURN] = turn


class Objects:
    """The peers and devices the probes have met."""

    def __init__(self, fd: int, slots: int) -> None:
        self._map = _map(fd, OBJECT.size * slots)
        self._end = OBJECT.size * slots
        self._kinds: Dict[int, int] = {}
        self._seen = b""

    @property
    def slots(self) -> List[int]:
        return list(self._kinds)

    def news(self) -> List[Dict[str, object]]:
        """Objects that are new, or gone, since the last look."""
        # The least byte of each; kinds are small, and little endian.
        kinds = self._map[_OBJECT_KIND : self._end : OBJECT.size]
        if kinds == self._seen:
            return []
        self._seen = kinds
        found = []
        for slot, kind in enumerate(kinds):
            if slot and kind and self._kinds.get(slot) != kind:
                self._kinds[slot] = kind
                found.append(self._read(slot, self._map))
        return found

    @staticmethod
    def _read(slot: int, data: mmap.mmap) -> Dict[str, object]:
        values = OBJECT.unpack_from(data, slot * OBJECT.size)
        _address, identity, _device, netns, first_seen, _scheduled, _queued = values[:7]
        kind, device_slot, ifindex, threaded, name, key, endpoint, _ = values[7:]
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


class Block:
    """An object's cells on a CPU.

    While nothing happens there, a look compares a few counters of each cell with what they were.  Once something has,
    the cells are copied at every look, to be given out if they changed; when they did not, it is left to the counters
    again.
    """

    def __init__(self, memory: memoryview, at: int, owner: Tuple[int, int], kinds: range, telltales: Sequence[int]):
        """`owner` is a slot and a CPU; the cells of `kinds` are in `memory`, from byte `at` on."""
        self.packets = 0  # of all stages, when it was given out last
        self._memory, self._at, self._owner, self._kinds, self._telltales = memory, at, owner, kinds, telltales
        self._quads = memory[at : at + len(kinds) * CELL.size].cast("Q")
        self._views = [self._quads[counter::_CELL_QUADS] for counter in telltales]
        #: What the telltales said when nothing happened; empty while something does.
        self._told = [memoryview(bytes(8 * len(kinds))).cast("Q")] * len(telltales)
        self._given: Optional[bytes] = None
        self._use([])

    def changed(self) -> Optional[bytes]:
        """The cells that were ever used, each behind its prefix, if any of them changed since the last look."""
        if self._told:
            if self._views == self._told:
                return None
            self._told = []
        # Hardly ever is a cell new in use.
        if self._unused.unpack_from(self._memory, self._at) != self._nothing:
            self._find_used()
        cells = b"".join(self._pieces)
        if cells == self._given:
            # In this order: what happens meanwhile is seen by the second copy, or by the next look.
            told = [memoryview(view.tobytes()).cast("Q") for view in self._views]
            cells = b"".join(self._pieces)
            if cells == self._given:
                self._told, self._given = told, None
                return None
        self._given = cells
        self.packets = sum(self._stages.unpack_from(cells))
        return cells

    def _find_used(self) -> None:
        """Notes in which cells anything was ever counted."""
        starts = range(0, len(self._quads), _CELL_QUADS)
        self._use([index for index, at in enumerate(starts) if any(self._quads[at : at + COUNTERS])])

    def _use(self, used: List[int]) -> None:
        self._pieces: List[Payload] = []
        for index in used:
            at = self._at + index * CELL.size
            prefix = CELL_PREFIX.pack(*self._owner, self._kinds[index], 0)
            self._pieces += [prefix, self._memory[at : at + CELL.size]]
        unused = [index * _CELL_QUADS for index in range(len(self._kinds)) if index not in used]
        self._unused = _picker(tuple(first + counter for first in unused for counter in self._telltales))
        self._nothing = (0,) * (len(unused) * len(self._telltales))
        # Those of the stages come first, each behind its prefix.
        stages = sum(self._kinds[index] < STAGES for index in used)
        self._stages = _picker(tuple(1 + number * (1 + _CELL_QUADS) for number in range(stages)))


@functools.lru_cache(maxsize=None)
def _picker(quads: Tuple[int, ...]) -> struct.Struct:
    """Unpacks the quads of these numbers, which rise.  CPUs and objects of a kind have theirs in common."""
    gaps = [number - before - 1 for before, number in zip((-1, *quads), quads)]
    return struct.Struct("<" + "".join(f"{8 * gap}xQ" for gap in gaps))


class Blocks:
    """All cells.

    Given out are the blocks (an object's cells on a CPU) in which something changed, without the cells in which
    nothing was ever counted: who looks ten times a second had better not look closely.
    """

    #: Numbers of the cells in a block.
    _kinds = range(KINDS)
    _telltales: Sequence[int] = _TELLTALES

    def __init__(self, fd: int, slots: int, cpus: int, online: List[int]) -> None:
        self._memory = memoryview(_map(fd, CELL.size * len(self._kinds) * slots * cpus))
        self._cpus, self._online = cpus, online
        self._blocks: Dict[int, List[Block]] = {}
        self._packets = 0

    def changed(self, slots: List[int]) -> List[bytes]:
        """Of every block that changed since the last call, the cells behind their prefixes."""
        parts = []
        for slot in (SLOT_NONE, *slots):
            for block in self._blocks.get(slot) or self._meet(slot):
                before = block.packets
                cells = block.changed()
                if cells is not None:
                    parts.append(cells)
                    self._packets += block.packets - before
        return parts

    def _meet(self, slot: int) -> List[Block]:
        size = len(self._kinds) * CELL.size
        self._blocks[slot] = [
            Block(self._memory, (slot * self._cpus + cpu) * size, (slot, cpu), self._kinds, self._telltales)
            for cpu in self._online
        ]
        return self._blocks[slot]

    def packets(self) -> int:
        """Packets all stages had counted at the last look: what sampling every packet would cost in events."""
        return self._packets


class DetailBlocks(Blocks):
    """The cells of --detail, in a map that does not exist otherwise."""

    _kinds = range(KINDS, KINDS + DETAIL_KINDS)
    _telltales = range(COUNTERS)


class States:
    """Losses, counted by CPU."""

    def __init__(self, fd: int, size: int, cpus: int) -> None:
        self._memory = _map(fd, size)
        causes = len(LOSS_KEYS)
        self._form = struct.Struct("<" + f"8x{causes}Q{size // cpus - 8 - 8 * causes}x" * cpus)
        #: While probes are attached one by one, returns come without starts; that is no loss.
        self._before = self._totals()
        self._said: Tuple[Tuple[int, ...], bytes] = ((), b"")

    def losses(self) -> Dict[str, int]:
        """Losses since this object was made, by cause and place."""
        return {key: now - before for key, now, before in zip(LOSS_KEYS, self._totals(), self._before)}

    def as_json(self) -> bytes:
        """The same as a JSON object."""
        counts = self._form.unpack_from(self._memory)
        if counts != self._said[0]:  # hardly ever
            self._said = counts, json.dumps(self.losses()).encode()
        return self._said[1]

    def _totals(self) -> List[int]:
        counts = self._form.unpack_from(self._memory)
        return [sum(counts[cause :: len(LOSS_KEYS)]) for cause in range(len(LOSS_KEYS))]


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
