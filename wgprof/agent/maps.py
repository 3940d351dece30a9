"""The probes' maps as the agent sees them: mapped memory, so that looking costs no system call."""

from __future__ import annotations

import base64
import ipaddress
import json
import mmap
import struct
from typing import Dict, List, Sequence, Tuple

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
#: Their packets, at the start of a CPU's first telltales.
_STAGES = struct.Struct(f"<{STAGES}Q")
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


class Blocks:
    """All cells.

    Given out are the blocks (an object's cells on a CPU) in which something changed, without the cells in which
    nothing was ever counted, as the memory they lie in: who looks ten times a second had better not look closely,
    nor copy.
    """

    #: Numbers of the cells in a block.
    _kinds = range(KINDS)
    _telltales: Sequence[int] = _TELLTALES

    def __init__(self, fd: int, slots: int, cpus: int, online: List[int]) -> None:
        self._map = _map(fd, CELL.size * len(self._kinds) * slots * cpus)
        self._bytes = memoryview(self._map)
        self._quads = self._bytes.cast("Q")
        self._block_quads = len(self._kinds) * _CELL_QUADS
        self._slot_quads = cpus * self._block_quads
        self._span = (max(online) + 1) * self._block_quads
        #: Each CPU, and where its bytes are in a slot's telltales.
        length = 8 * len(self._kinds)
        self._cpus = [(cpu, slice(cpu * length, (cpu + 1) * length)) for cpu in online]
        self._packets = 0
        #: Of each slot: where its telltales are, and what they said last.
        self._told: Dict[int, Tuple[List[memoryview], List[bytes]]] = {}
        #: Of each slot: the bits that telltales have of cells in which nothing was ever counted.
        self._unused: Dict[int, int] = {}
        #: Of each slot and CPU: the cells to give out.
        self._pieces: Dict[Tuple[int, int], List[Payload]] = {}

    def changed(self, slots: List[int]) -> List[Payload]:
        """Prefix and memory of the cells of every block that changed since the last call, in turn."""
        parts: List[Payload] = []
        for slot in (SLOT_NONE, *slots):
            views, before = self._told.get(slot) or self._meet(slot)
            # Strided copies, compared as a whole: an idle peer costs no more than that.
            told = [view.tobytes() for view in views]
            if told == before:
                continue
            self._told[slot] = views, told
            said = 0
            for text in told:
                said |= int.from_bytes(text, "little")
            # Looking at each cell takes long, and hardly ever is one new in use.
            if said & self._unused.get(slot, -1):
                self._find_used(slot)
            for cpu, place in self._cpus:
                for now, then in zip(told, before):
                    if now[place] != then[place]:
                        break
                else:
                    continue
                start = place.start
                self._packets += sum(_STAGES.unpack_from(told[0], start)) - sum(_STAGES.unpack_from(before[0], start))
                parts += self._pieces[slot, cpu]
        return parts

    def _meet(self, slot: int) -> Tuple[List[memoryview], List[bytes]]:
        start = slot * self._slot_quads
        views = [self._quads[start + counter : start + self._span : _CELL_QUADS] for counter in self._telltales]
        self._told[slot] = views, [bytes(8 * len(view)) for view in views]
        return self._told[slot]

    def _find_used(self, slot: int) -> None:
        """Notes the cells of an object in which something was ever counted, each behind its prefix."""
        unused = 0
        for cpu, place in self._cpus:
            pieces = self._pieces[slot, cpu] = []
            first = slot * self._slot_quads + cpu * self._block_quads
            for index, kind in enumerate(self._kinds):
                at = first + index * _CELL_QUADS
                if any(self._quads[at : at + COUNTERS]):
                    pieces += [CELL_PREFIX.pack(slot, cpu, kind, 0), self._bytes[at * 8 : at * 8 + CELL.size]]
                else:
                    unused |= (1 << 64) - 1 << 8 * (place.start + 8 * index)
        self._unused[slot] = unused

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
