"""What the loader puts into compiled programs, instruction by instruction (struct bpf_insn)."""

from __future__ import annotations

import ctypes
import struct

from wgprof.agent.instructions import CAST_CALL, MEMORY, complete

INSTRUCTION = struct.Struct("<BBhi")


def program(*instructions: tuple[int, int, int, int]) -> ctypes.Array[ctypes.c_uint8]:
    data = b"".join(INSTRUCTION.pack(*each) for each in instructions)
    return (ctypes.c_uint8 * len(data)).from_buffer_copy(data)


def instructions(code: ctypes.Array[ctypes.c_uint8]) -> list[tuple[int, int, int, int]]:
    return [(each[0], each[1], each[2], each[3]) for each in INSTRUCTION.iter_unpack(bytes(code))]


def test_the_marked_call_becomes_one_of_the_kernels_function() -> None:
    code = program((0xBF, 0x16, 0, 0), (0x85, 0, 0, CAST_CALL), (0x95, 0, 0, 0))
    complete(code, 1234, {})
    assert instructions(code) == [(0xBF, 0x16, 0, 0), (0x85, 0x20, 0, 1234), (0x95, 0, 0, 0)]


def test_a_marked_number_becomes_the_address_of_its_map() -> None:
    """A load of 64 bits takes two instructions; the second holds the upper half, here the place in the map."""
    code = program((0x18, 3, 0, MEMORY["states"]), (0, 0, 0, 0), (0x18, 4, 0, 99), (0, 0, 0, 0))
    complete(code, 0, {MEMORY["states"]: 7})
    assert instructions(code) == [(0x18, 0x23, 0, 7), (0, 0, 0, 0), (0x18, 4, 0, 99), (0, 0, 0, 0)]


def test_other_calls_and_numbers_stay() -> None:
    code = program((0x85, 0, 0, 5), (0xB7, 1, 0, CAST_CALL))
    before = bytes(code)
    complete(code, 1234, {MEMORY["control"]: 7})
    assert bytes(code) == before


def test_a_program_bcc_does_not_know_has_no_instructions() -> None:
    complete(program(), 1234, {})
