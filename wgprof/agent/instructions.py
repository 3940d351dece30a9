"""What is put into compiled programs before the kernel sees them, since bcc cannot write it.

Such a place is marked in the C source by a number; probes/access.h and probes/state.h have the other half.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Dict, List

#: A helper's number that no kernel has: probes/access.h calls it where a kernel function is to be called.
CAST_CALL = 0x77677072
#: Likewise numbers for the addresses of maps of one element.
MEMORY = {
    name: 0x77670001 + number
    for number, name in enumerate(("control", "states", "objects", "slot_cache", "workers", "blocks", "queued_work"))
}
#: struct bpf_insn: code, registers, offset, immediate; BPF_JMP | BPF_CALL, and BPF_PSEUDO_KFUNC_CALL as its source.
_INSTRUCTION = struct.Struct("<BBhi")
_CALL = 0x85
_KERNEL_FUNCTION = 0x20
#: BPF_LD | BPF_IMM | BPF_DW, and BPF_PSEUDO_MAP_VALUE as its source.
_LOAD_64 = 0x18
_MAP_VALUE = 0x20


def memory_flags() -> List[str]:
    """What tells the compiler by which numbers `complete` knows the maps of one element."""
    return [f"-DMEMORY_{name.upper()}={number:#x}" for name, number in MEMORY.items()]


def complete(code: "ctypes.Array[ctypes.c_uint8]", cast_function: int, memory: Dict[int, int]) -> None:
    """Puts into a program's instructions what bcc cannot write.

    That is the call of a kernel function, by its BTF id, and the addresses of maps: `memory` has the descriptor for
    each number of MEMORY.
    """
    for at in range(0, len(code), _INSTRUCTION.size):
        operation, registers, _, number = _INSTRUCTION.unpack_from(code, at)
        if operation == _CALL and number == CAST_CALL:
            _INSTRUCTION.pack_into(code, at, _CALL, _KERNEL_FUNCTION, 0, cast_function)
        elif operation == _LOAD_64 and number in memory:
            # The second half holds the offset in the map's element: 0, as the marks are below 2^32.
            _INSTRUCTION.pack_into(code, at, _LOAD_64, registers | _MAP_VALUE, 0, memory[number])
