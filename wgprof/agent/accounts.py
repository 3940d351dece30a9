"""The kernel's own accounts: CPU times, softirq counts, the agent's memory.  Files stay open."""

from __future__ import annotations

import mmap
import os
from typing import Dict, List


class Accounts:
    def __init__(self) -> None:
        self._stat = os.open("/proc/stat", os.O_RDONLY)
        self._softirqs = os.open("/proc/softirqs", os.O_RDONLY)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)

    def cpu_times(self) -> Dict[str, List[int]]:
        """user, nice, system, idle, iowait, irq, softirq, steal in USER_HZ, by CPU."""
        times = {}
        # The CPUs come first; what follows is long and of no interest.
        text = os.pread(self._stat, 1 << 16, 0)
        for line in text[: text.find(b"intr")].decode("ascii").splitlines()[1:]:
            name, *values = line.split()
            times[name[3:]] = [int(value) for value in values[:8]]
        return times

    def softirqs(self) -> Dict[str, List[int]]:
        counts = {}
        for line in os.pread(self._softirqs, 1 << 16, 0).decode("ascii").splitlines()[1:]:
            name, *values = line.split()
            if name in ("NET_RX:", "NET_TX:"):
                counts[name[:-1]] = [int(value) for value in values]
        return counts

    def resident_bytes(self) -> int:
        return int(os.pread(self._statm, 256, 0).split()[1]) * mmap.PAGESIZE
