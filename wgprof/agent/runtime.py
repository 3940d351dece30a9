"""What the probes cost: run time of BPF programs, measured by the kernel for a part of the recording.

bpf(2) BPF_ENABLE_STATS and BPF_OBJ_GET_INFO_BY_FD; offsets of struct bpf_prog_info from
include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from dataclasses import dataclass
from typing import Optional

_NR_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), 321)
_OBJ_GET_INFO_BY_FD = 15
_ENABLE_STATS = 32
_INFO_BYTES = 256
_RUN_TIME_OFFSET = 192  # run_time_ns, run_cnt, recursion_misses

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ProgramStatistics:
    runs: int
    run_ns: int
    recursion_misses: int


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return int(_libc.syscall(_NR_BPF, command, buffer, len(attributes)))


def program_statistics(fd: int) -> ProgramStatistics:
    """Totals since the program was loaded; zeros if the kernel does not tell."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    attributes = struct.pack("<IIQ", fd, _INFO_BYTES, ctypes.addressof(info))
    if _bpf(_OBJ_GET_INFO_BY_FD, attributes) < 0:
        return ProgramStatistics(0, 0, 0)
    run_ns, runs, misses = struct.unpack_from("<QQQ", info.raw, _RUN_TIME_OFFSET)
    return ProgramStatistics(runs, run_ns, misses)


class Meter:
    """Switches the measuring of run time on and off; it costs two clock readings a run, so it is off mostly."""

    def __init__(self) -> None:
        self._fd: Optional[int] = None

    def on(self) -> bool:
        """False if the kernel cannot measure."""
        if self._fd is None:
            fd = _bpf(_ENABLE_STATS, struct.pack("<I", 0))
            self._fd = fd if fd >= 0 else None
        return self._fd is not None

    def off(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
