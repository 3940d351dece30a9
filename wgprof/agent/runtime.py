"""What the probes cost: run time of BPF programs, measured by the kernel for a part of the recording.

bpf(2) BPF_MAP_CREATE, BPF_ENABLE_STATS and BPF_OBJ_GET_INFO_BY_FD; offsets of struct bpf_prog_info from
include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Union

_NR_BPF = {"x86_64": 321, "aarch64": 280}.get(platform.machine(), 321)
_MAP_CREATE = 0
_OBJ_GET_INFO_BY_FD = 15
_ENABLE_STATS = 32
_MAP_TYPE_ARRAY = 2
_MAPPABLE = 1 << 10
_INFO_BYTES = 256
_RUN_TIME_OFFSET = 192  # run_time_ns, run_cnt, recursion_misses

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ProgramStatistics:
    runs: int
    run_ns: int
    recursion_misses: int

    def since(self, before: "ProgramStatistics") -> "ProgramStatistics":
        return ProgramStatistics(
            self.runs - before.runs,
            self.run_ns - before.run_ns,
            self.recursion_misses - before.recursion_misses,
        )


def bpf(command: int, attributes: "Union[bytes, ctypes.Array[ctypes.c_char]]") -> int:
    """bpf(2); the kernel may write into attributes that are a buffer.  Negative on errors, see ctypes.get_errno."""
    buffer = ctypes.create_string_buffer(attributes, len(attributes)) if isinstance(attributes, bytes) else attributes
    return int(_libc.syscall(_NR_BPF, command, buffer, len(buffer)))


def array_map(size: int, mappable: bool) -> int:
    """A descriptor of a new array map of one element of `size` bytes.  Raises OSError."""
    fd = bpf(_MAP_CREATE, struct.pack("<5I", _MAP_TYPE_ARRAY, 4, size, 1, _MAPPABLE if mappable else 0))
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"no map of {size} bytes: {os.strerror(error)}")
    return fd


def program_statistics(fd: int) -> ProgramStatistics:
    """Totals since the program was loaded; zeros if the kernel does not tell."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    attributes = struct.pack("<IIQ", fd, _INFO_BYTES, ctypes.addressof(info))
    if bpf(_OBJ_GET_INFO_BY_FD, attributes) < 0:
        return ProgramStatistics(0, 0, 0)
    run_ns, runs, misses = struct.unpack_from("<QQQ", info.raw, _RUN_TIME_OFFSET)
    return ProgramStatistics(runs, run_ns, misses)


class Meter:
    """Has the kernel measure the run time of programs, for a part of the recording.

    Measuring costs two clock readings a run, so it is off mostly.  Where an administrator has switched
    it on for good (kernel.bpf_stats_enabled), it covers the whole recording.
    """

    def __init__(self, fds: List[int]) -> None:
        self._fds = fds
        self._fd: Optional[int] = None
        self._since_ns = 0
        self.measured_ns = 0
        self._always = _switched_on_for_good()
        self._before = {fd: program_statistics(fd) for fd in fds}
        if self._always:
            self._since_ns = time.monotonic_ns()

    def turn(self, on: bool) -> None:
        """Switches measuring on or off; does nothing if it is so already, or cannot be switched."""
        if self._always or on == (self._fd is not None):
            return
        if on:
            fd = bpf(_ENABLE_STATS, struct.pack("<I", 0))
            if fd >= 0:
                self._fd, self._since_ns = fd, time.monotonic_ns()
        elif self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self.measured_ns += time.monotonic_ns() - self._since_ns

    def finish(self) -> Dict[int, ProgramStatistics]:
        """Ends the measuring; what each program did meanwhile."""
        self.turn(on=False)
        if self._always:
            self.measured_ns = time.monotonic_ns() - self._since_ns
        return {fd: program_statistics(fd).since(self._before[fd]) for fd in self._fds}


def _switched_on_for_good() -> bool:
    try:
        with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as stream:
            return stream.read().strip() == "1"
    except OSError:
        return False
