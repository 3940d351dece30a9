"""/proc/net/softnet_stat: what each CPU's receive softirq took in, dropped and left over.

A line a CPU of hexadecimal words, net/core/net-procfs.c.  Kernels appended words over time, so each
is looked for, never expected; where the line does not say its CPU (before 5.10), lines are the
online CPUs in order.  The file stays open, and only lines that changed are taken apart.
"""

from __future__ import annotations

import os
import struct
from typing import List, Optional

from wgprof.agent.files import read_whole

_PATH = "/proc/net/softnet_stat"
#: Words that grow: processed, dropped, time_squeeze, received_rps, flow_limit.
COUNTERS = (0, 1, 2, 9, 10)
_BACKLOG, _CPU = 11, 12


def parse_line(line: bytes, cpu: Optional[int]) -> Optional[List[int]]:
    """A CPU's number, the words of COUNTERS (0 where the kernel has none), and the backlog's length or -1.

    `cpu` is whose line it is if it does not say so itself.  None if that is not known, or too little is said.
    """
    data = bytes.fromhex(line.decode("ascii"))
    words = struct.unpack(f">{len(data) // 4}I", data)  # each has eight digits
    if len(words) > _CPU:
        cpu = words[_CPU]
    if len(words) <= COUNTERS[2] or cpu is None:
        return None
    counters = [words[at] if at < len(words) else 0 for at in COUNTERS]
    return [cpu, *counters, words[_BACKLOG] if len(words) > _BACKLOG else -1]


class Softnet:
    """The file, read again and again."""

    def __init__(self, online: List[int], path: str = _PATH) -> None:
        self._online = online
        self._fd: Optional[int] = None
        #: The lines of the last look, and the rows made of them.
        self._lines: List[bytes] = []
        self._rows: List[bytes] = []
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except OSError:  # a kernel without it: no rows
            self._fd = None

    def read(self) -> bytes:
        """A JSON array of the rows of `parse_line`; none if the file cannot be read."""
        if self._fd is None:
            return b"[]"
        try:
            lines = read_whole(self._fd).splitlines()
        except OSError:
            return b"[]"
        if len(lines) != len(self._lines):  # CPUs went or came
            self._lines, self._rows = [b""] * len(lines), [b""] * len(lines)
        for number, (line, before) in enumerate(zip(lines, self._lines)):
            if line != before:
                row = parse_line(line, self._online[number] if number < len(self._online) else None)
                self._rows[number] = b"" if row is None else repr(row).encode()
        self._lines = lines
        return b"[%b]" % b",".join(filter(None, self._rows))
