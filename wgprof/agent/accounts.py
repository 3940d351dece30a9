"""The kernel's own accounts: CPU times, softirq counts, the agent's memory.  Files stay open.

They come as JSON: the numbers pass through as the kernel wrote them, since whoever looks ten times a second
should not do what the reader of the recording can do once.
"""

from __future__ import annotations

import mmap
import os

_SOFTIRQS = (b"NET_TX:", b"NET_RX:")


class Accounts:
    def __init__(self) -> None:
        self._stat = os.open("/proc/stat", os.O_RDONLY)
        self._softirqs = os.open("/proc/softirqs", os.O_RDONLY)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)

    def cpu_times(self) -> bytes:
        """user, nice, system, idle, iowait, irq, softirq, steal in USER_HZ, by CPU: {"0": [..], ..}"""
        # The CPUs come first, behind their sum; what follows is long and of no interest.
        text = os.pread(self._stat, 1 << 16, 0)
        rows = text[: text.find(b"\nintr")].split(b"\ncpu")
        # "0 user .. steal guest guest_nice"
        parts = [row.rsplit(b" ", 2)[0].replace(b" ", b",").partition(b",") for row in rows[1:]]
        return b"{%b}" % b",".join([b'"%b":[%b]' % (cpu, times) for cpu, _, times in parts])

    def softirqs(self) -> bytes:
        """How often those of the network ran, by CPU: {"NET_RX": [..], "NET_TX": [..]}"""
        text = os.pread(self._softirqs, 1 << 16, 0)
        rows = []
        for name in _SOFTIRQS:
            start = text.find(name)
            counts = text[start : text.find(b"\n", start)].split()[1:]
            rows.append(b'"%b":[%b]' % (name[:-1], b",".join(counts)))
        return b"{%b}" % b",".join(rows)

    def resident_bytes(self) -> int:
        return int(os.pread(self._statm, 256, 0).split()[1]) * mmap.PAGESIZE
