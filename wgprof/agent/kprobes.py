"""Attaches kprobes and kretprobes by tracefs, which does two things that perf_event_open(2) and bcc do not.

It takes a number of instances (Documentation/trace/kprobetrace.rst, MAXACTIVE).  Between a call and its return a
kretprobe keeps one, and a return for which none was free is not seen.  The usual number is twice the CPUs, ten at
least; but a task that is switched out in the middle of a packet keeps its own for as long, and with eight tunnels there
are more such tasks than that.

And it counts what was missed (kprobe_profile): returns without an instance, and probes in an interrupt on top of
another one's handler, which the kernel skips before any program is asked.

Such an event outlives its maker, whose number is in its name: one that was killed leaves it behind, switched off, and
the next recording takes it away.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import re
import struct
import time
from typing import Dict, List, Optional

_FOLDERS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_GROUP = "wgprof"
_EVENT = re.compile(rf"^[pr]\d*:({_GROUP}/\w+_(\d+)) ", re.MULTILINE)
_NR_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}.get(platform.machine(), 298)
#: struct perf_event_attr up to wakeup_events, of include/uapi/linux/perf_event.h, in its first published size.
_ATTRIBUTES = struct.Struct("<IIQQQQQI12x")
_TYPE_TRACEPOINT = 2
_CLOSE_ON_EXEC = 8
_SET_BPF, _ENABLE = 0x40042408, 0x2400
#: How often an event that is still in use is tried to be taken away, and how long between.
_TRIES, _PAUSE_S = 20, 0.05

_libc = ctypes.CDLL(None, use_errno=True)


class Kprobes:
    """The kprobes and kretprobes of one recording."""

    def __init__(self, folder: Optional[str]) -> None:
        """`folder`: of tracefs, see `find_tracefs`; None: there is none, and every attachment is refused."""
        self._folder = folder
        self._events: Dict[str, str] = {}  # program -> event
        self._fds: List[int] = []
        if folder is not None:
            for event in left_behind(_read(os.path.join(folder, "kprobe_events"))):
                self._remove(event, tries=1)

    def attach(self, program: str, program_fd: int, function: str, module: str, instances: Optional[int]) -> None:
        """Runs a program at each call of a function, or at each return if `instances` is a number, 0 for the usual.

        `module` is "vmlinux" for the kernel's own functions.  Raises OSError.
        """
        if self._folder is None:
            raise FileNotFoundError(errno.ENOENT, "tracefs is not mounted")
        event = f"{_GROUP}/{program}_{os.getpid()}"
        kind = "p" if instances is None else f"r{instances or ''}"
        owner = "" if module == "vmlinux" else f"{module}:"
        self._write(f"{kind}:{event} {owner}{function}\n")
        try:
            with open(os.path.join(self._folder, "events", event, "id"), encoding="ascii") as stream:
                fd = _open_event(int(stream.read()))
            try:
                fcntl.ioctl(fd, _SET_BPF, program_fd)
                fcntl.ioctl(fd, _ENABLE, 0)
            except OSError:
                os.close(fd)
                raise
        except OSError:
            self._remove(event)
            raise
        self._fds.append(fd)
        self._events[program] = event

    def missed(self) -> Dict[str, int]:
        """By program, the runs that the kernel left out so far; without those of which it does not tell."""
        if not self._events:
            return {}
        counted = missed_by_event(_read(os.path.join(self._folder or "", "kprobe_profile")))
        names = {program: event.split("/")[1] for program, event in self._events.items()}
        return {program: counted[name] for program, name in names.items() if name in counted}

    def close(self) -> None:
        """Detaches everything and leaves nothing in tracefs."""
        for fd in self._fds:
            os.close(fd)
        for event in self._events.values():
            self._remove(event)
        self._fds, self._events = [], {}

    def _write(self, text: str) -> None:
        # Opened to be written anew, this file would forget the events of everybody; and open("a") seeks, which it
        # does not allow.
        fd = os.open(os.path.join(self._folder or "", "kprobe_events"), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)

    def _remove(self, event: str, tries: int = _TRIES) -> None:
        """Unless somebody uses it, or it is gone."""
        for left in reversed(range(tries)):
            try:
                self._write(f"-:{event}\n")
            except OSError as error:
                if error.errno == errno.EBUSY and left:
                    time.sleep(_PAUSE_S)
                    continue
            return


def find_tracefs() -> Optional[str]:
    """Where tracefs can be written, if anywhere."""
    for folder in _FOLDERS:
        if os.access(os.path.join(folder, "kprobe_events"), os.W_OK):
            return folder
    return None


def _read(path: str) -> str:
    """Nothing where the kernel is locked down, which a look at the permissions does not show."""
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read()
    except OSError:
        return ""


def left_behind(events: str) -> List[str]:
    """Of the text of kprobe_events those of ours whose maker is not there any more."""
    return [event for event, pid in _EVENT.findall(events) if not os.path.exists(f"/proc/{pid}")]


def missed_by_event(profile: str) -> Dict[str, int]:
    """The text of kprobe_profile: a line each of name, hits, misses."""
    missed = {}
    for line in profile.splitlines():
        with contextlib.suppress(ValueError):
            name, _hits, misses = line.split()
            missed[name] = int(misses)
    return missed


def _open_event(number: int) -> int:
    """perf_event_open(2) of a trace event, on all CPUs as far as a program of it goes.  Raises OSError."""
    attributes = _ATTRIBUTES.pack(_TYPE_TRACEPOINT, _ATTRIBUTES.size, number, 1, 0, 0, 0, 1)
    fd = int(_libc.syscall(_NR_PERF_EVENT_OPEN, attributes, -1, 0, -1, _CLOSE_ON_EXEC))
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return fd
