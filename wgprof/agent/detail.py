"""What the probes count with --detail alone, in a map of its own that does not exist otherwise."""

from __future__ import annotations

from typing import Dict, List

from wgprof.agent.layout import CELL, CELL_KINDS, CELL_PREFIX, COUNTERS, DETAIL_KINDS, KINDS, SLOT_NONE
from wgprof.agent.maps import mapped

BLOCK_BYTES = CELL.size * DETAIL_KINDS
_CELL_QUADS = CELL.size // 8
_NUMBERS = [kind.number for kind in CELL_KINDS[KINDS:]]


class DetailBlocks:
    """The cells of --detail; only those that changed are given out."""

    def __init__(self, fd: int, slots: int, cpus: int, online: List[int]) -> None:
        self._map = mapped(fd, BLOCK_BYTES * slots * cpus)
        self._quads = memoryview(self._map).cast("Q")
        self._cpus = cpus
        self._online = online
        self._last: Dict[int, int] = {}

    def changed(self, slots: List[int]) -> bytes:
        """Prefix and bytes of every cell of which a counter rose since the last call."""
        parts: List[bytes] = []
        for slot in [SLOT_NONE, *slots]:
            for cpu in self._online:
                first = (slot * self._cpus + cpu) * DETAIL_KINDS
                for index, number in enumerate(_NUMBERS, first):
                    at = index * _CELL_QUADS
                    value = sum(self._quads[at : at + COUNTERS])
                    if value and self._last.get(index) != value:
                        self._last[index] = value
                        parts.append(CELL_PREFIX.pack(slot, cpu, number, 0))
                        parts.append(self._map[at * 8 : at * 8 + CELL.size])
        return b"".join(parts)
