"""How the agent reads mapped memory: only what changed."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile

from wgprof.agent import maps
from wgprof.agent.kernel import parse_cpu_list
from wgprof.agent.layout import CELL, CELL_PREFIX, KINDS


def memory(size: int) -> tuple[int, mmap.mmap]:
    """A file that stands for a map, and our own view of it."""
    fd, name = tempfile.mkstemp()
    os.unlink(name)  # noqa: PTH108
    os.ftruncate(fd, (size + maps.PAGE - 1) // maps.PAGE * maps.PAGE)
    return fd, mmap.mmap(fd, 0)


def test_only_changed_cells_are_given_out() -> None:
    fd, view = memory(maps.BLOCK_BYTES * 4 * 2)
    blocks = maps.Blocks(fd, slots=4, cpus=2, online=[0, 1])
    assert blocks.changed([1]) == []
    at = ((1 * 2 + 1) * KINDS + 2) * CELL.size
    struct.pack_into("<6Q", view, at, 5, 500, 0, 0, 0, 5)  # tx.send of object 1 on CPU 1
    data = b"".join(blocks.changed([1]))
    assert CELL_PREFIX.unpack_from(data) == (1, 1, 2, 0)
    assert CELL.unpack_from(data, CELL_PREFIX.size)[:2] == (5, 500)
    assert blocks.packets() == 5
    assert blocks.changed([1]) == [], "nothing happened since"
    struct.pack_into("<6Q", view, at, 5, 500, 0, 0, 1, 6)
    assert blocks.changed([1]), "a call that moved nothing is news as well"


def test_of_a_block_that_changed_all_cells_ever_used_go_out_and_no_others() -> None:
    fd, view = memory(maps.BLOCK_BYTES * 4 * 2)
    blocks = maps.Blocks(fd, slots=4, cpus=2, online=[0, 1])

    def count(slot: int, cpu: int, kind: int) -> None:
        at = ((slot * 2 + cpu) * KINDS + kind) * CELL.size
        view[at : at + 8] = struct.pack("<Q", struct.unpack_from("<Q", view, at)[0] + 1)

    def seen() -> list[tuple[int, int, int]]:
        return sorted(CELL_PREFIX.unpack(prefix)[:3] for prefix in blocks.changed([1, 2])[::2])

    count(1, 0, 3)
    count(1, 1, 4)
    assert seen() == [(1, 0, 3), (1, 1, 4)]
    count(1, 1, 7)
    assert seen() == [(1, 1, 4), (1, 1, 7)], "nothing changed on CPU 0"
    count(2, 0, 0)
    count(1, 1, 4)
    assert seen() == [(1, 1, 4), (1, 1, 7), (2, 0, 0)]
    assert seen() == []


def test_losses_are_those_of_all_cpus_since_the_beginning() -> None:
    fd, view = memory(3 * 80)
    struct.pack_into("<QQ", view, 80, 99, 5)  # CPU 1: nested time, then a loss of the first kind
    states = maps.States(fd, 3 * 80, cpus=3)
    assert states.counts() == [0, 0, 0, 0]
    struct.pack_into("<QQQ", view, 80, 99, 7, 1)
    struct.pack_into("<QQQQQ", view, 160, 99, 1, 0, 0, 4)
    assert states.losses() == dict(zip(maps.LOSS_KEYS, (3, 1, 0, 4), strict=True))


def test_endpoints() -> None:
    v4 = struct.pack("<H", 2) + struct.pack(">H", 51820) + bytes([192, 0, 2, 1]) + bytes(20)
    v6 = struct.pack("<H", 10) + struct.pack(">H", 51820) + bytes(4) + bytes.fromhex("20010db8" + "0" * 23 + "1")
    assert maps.format_endpoint(v4) == "192.0.2.1:51820"
    assert maps.format_endpoint(v6) == "[2001:db8::1]:51820"
    assert maps.format_endpoint(bytes(28)) == ""


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-3,7\n") == [0, 1, 2, 3, 7]
    assert parse_cpu_list("") == []
