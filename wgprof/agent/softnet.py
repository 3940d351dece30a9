"""/proc/net/softnet_stat: what each CPU's receive softirq took in, dropped and left over.

A line a CPU of hexadecimal words, net/core/net-procfs.c.  Kernels appended words over time, so each
is looked for, never expected; where the line does not say its CPU (before 5.10), lines are the
online CPUs in order.  The file stays open: a look costs tens of microseconds.
"""

from __future__ import annotations

import os
from typing import List, Optional

from wgprof.agent.files import read_whole

_PATH = "/proc/net/softnet_stat"
#: Words that grow: processed, dropped, time_squeeze, received_rps, flow_limit.
COUNTERS = (0, 1, 2, 9, 10)
_BACKLOG, _CPU = 11, 12


def parse_softnet(text: str, online: List[int]) -> List[List[int]]:
    """A row a CPU: its number, the words of COUNTERS (0 where the kernel has none), and the backlog's length or -1."""
    rows = []
    for number, line in enumerate(text.splitlines()):
        words = line.split()
        if len(words) <= COUNTERS[2]:
            continue
        if len(words) > _CPU:
            cpu = int(words[_CPU], 16)
        elif number < len(online):
            cpu = online[number]
        else:
            continue
        counters = [int(words[at], 16) if at < len(words) else 0 for at in COUNTERS]
        rows.append([cpu, *counters, int(words[_BACKLOG], 16) if len(words) > _BACKLOG else -1])
    return rows


class Softnet:
    """The file, read again and again."""

    def __init__(self, online: List[int], path: str = _PATH) -> None:
        self._online = online
        self._fd: Optional[int] = None
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except OSError:  # a kernel without it: no rows
            self._fd = None

    def read(self) -> List[List[int]]:
        """The rows of `parse_softnet`; none if the file cannot be read."""
        if self._fd is None:
            return []
        try:
            return parse_softnet(read_whole(self._fd).decode("ascii"), self._online)
        except OSError:
            return []
