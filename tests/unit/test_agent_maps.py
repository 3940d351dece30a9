"""How the agent reads mapped memory: only what changed."""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile

import pytest

from wgprof.agent import maps
from wgprof.agent.kernel import parse_cpu_list
from wgprof.agent.layout import CELL, CELL_PREFIX, KINDS


def memory(size: int) -> tuple[int, mmap.mmap]:
    """A file that stands for a map, and our own view of it."""
    fd, name = tempfile.mkstemp()
    os.unlink(name)  # noqa: PTH108
    os.ftruncate(fd, (size + maps.PAGE - 1) // maps.PAGE * maps.PAGE)
    return fd, mmap.mmap(fd, 0)


def cells_of(given: list[bytes]) -> dict[tuple[int, ...], bytes]:
    """The cells in what was given out, in order, by slot, CPU and kind."""
    data, start = b"".join(given), CELL_PREFIX.size
    places = range(0, len(data), start + CELL.size)
    return {CELL_PREFIX.unpack_from(data, at)[:3]: data[at + start : at + start + CELL.size] for at in places}


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

    def seen() -> list[tuple[int, ...]]:
        return list(cells_of(blocks.changed([1, 2])))

    count(1, 0, 3)
    count(1, 1, 4)
    assert seen() == [(1, 0, 3), (1, 1, 4)]
    count(1, 1, 7)
    assert seen() == [(1, 1, 4), (1, 1, 7)], "nothing changed on CPU 0"
    count(2, 0, 0)
    count(1, 1, 4)
    assert seen() == [(1, 1, 4), (1, 1, 7), (2, 0, 0)]
    assert seen() == []


def test_what_went_quiet_is_noticed_when_it_moves_again_and_so_is_what_was_never_used() -> None:
    fd, view = memory(maps.BLOCK_BYTES)
    blocks = maps.Blocks(fd, slots=1, cpus=1, online=[0])
    quads = memoryview(view).cast("Q")
    quads[0] = 1
    assert blocks.changed([]) and not blocks.changed([]) and not blocks.changed([])
    for number, counter in enumerate((0, 4, 5)):  # in cells not in use so far, while it is quiet and while it is not
        for cell in (2 * number, 2 * number + 1):
            quads[cell * CELL.size // 8 + counter] += 1 << 40
            assert blocks.changed([]), (cell, counter)
        assert not blocks.changed([])


@pytest.mark.parametrize("moment", range(3))
@pytest.mark.parametrize("counter", (0, 4, 5))
def test_what_is_counted_while_it_is_taken_for_quiet_is_given_out(
    moment: int, counter: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, view = memory(maps.BLOCK_BYTES)
    blocks = maps.Blocks(fd, slots=1, cpus=1, online=[0])
    quads = memoryview(view).cast("Q")
    quads[0] = quads[4] = quads[5] = 1
    assert blocks.changed([])
    copies = 0

    def copied(data: bytes) -> memoryview:
        """A telltale was copied: at one of these moments something is counted."""
        nonlocal copies
        quads[counter] += copies == moment
        copies += 1
        return memoryview(data)

    monkeypatch.setattr(maps, "memoryview", copied, raising=False)
    given = b"".join(blocks.changed([])) or b"".join(blocks.changed([]))
    assert copies == 3, "it was taken for quiet"
    assert CELL.unpack_from(given, CELL_PREFIX.size)[counter] == 2


def test_losses_are_those_of_all_cpus_since_the_beginning() -> None:
    fd, view = memory(3 * 80)
    struct.pack_into("<QQ", view, 80, 99, 5)  # CPU 1: nested time, then a loss of the first kind
    states = maps.States(fd, 3 * 80, cpus=3)
    assert json.loads(states.as_json()) == states.losses() == dict.fromkeys(maps.LOSS_KEYS, 0)
    struct.pack_into("<QQQ", view, 80, 99, 7, 1)
    struct.pack_into("<QQQQQ", view, 160, 99, 1, 0, 0, 4)
    assert states.losses() == dict(zip(maps.LOSS_KEYS, (3, 1, 0, 4), strict=True))
    assert json.loads(states.as_json()) == states.losses()


def test_endpoints() -> None:
    v4 = struct.pack("<H", 2) + struct.pack(">H", 51820) + bytes([192, 0, 2, 1]) + bytes(20)
    v6 = struct.pack("<H", 10) + struct.pack(">H", 51820) + bytes(4) + bytes.fromhex("20010db8" + "0" * 23 + "1")
    assert maps.format_endpoint(v4) == "192.0.2.1:51820"
    assert maps.format_endpoint(v6) == "[2001:db8::1]:51820"
    assert maps.format_endpoint(bytes(28)) == ""


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-3,7\n") == [0, 1, 2, 3, 7]
    assert parse_cpu_list("") == []
