"""What the loader puts into compiled programs, instruction by instruction (struct bpf_insn)."""

from __future__ import annotations

import ctypes
import struct

from wgprof.agent.loader import CAST_CALL, complete

INSTRUCTION = struct.Struct("<BBhi")


def program(*instructions: tuple[int, int, int, int]) -> ctypes.Array[ctypes.c_uint8]:
    data = b"".join(INSTRUCTION.pack(*each) for each in instructions)
    return (ctypes.c_uint8 * len(data)).from_buffer_copy(data)


def instructions(code: ctypes.Array[ctypes.c_uint8]) -> list[tuple[int, int, int, int]]:
    return [tuple(each) for each in INSTRUCTION.iter_unpack(bytes(code))]


def test_the_marked_call_becomes_one_of_the_kernels_function() -> None:
    code = program((0xBF, 0x16, 0, 0), (0x85, 0, 0, CAST_CALL), (0x95, 0, 0, 0))
    complete(code, 1234)
    assert instructions(code) == [(0xBF, 0x16, 0, 0), (0x85, 0x20, 0, 1234), (0x95, 0, 0, 0)]


def test_other_calls_and_numbers_stay() -> None:
    code = program((0x85, 0, 0, 5), (0xB7, 1, 0, CAST_CALL))
    before = bytes(code)
    complete(code, 1234)
    assert bytes(code) == before


def test_a_program_bcc_does_not_know_has_no_instructions() -> None:
    complete(program(), 1234)
