"""Locks that say who holds them."""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import MachineError

Notify = Callable[[str], None]

POLL_S = 0.2
HOLDER_BYTES = 1000


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock, as it wrote itself into the lock's file."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})" if self.pid else "another process"


def this_process() -> Holder:
    return Holder(os.getpid(), shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]) if sys.argv else "python")


def parse_holder(text: str) -> Holder:
    """What a lock file says; a file of unknown content yields a holder without a number."""
    pid, _, command = text.strip().partition(" ")
    if not pid.isascii() or not pid.isdigit():
        return Holder(0, "")
    printable = "".join(c if c.isprintable() else "?" for c in command)
    return Holder(int(pid), printable[:120] or "unknown command")


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            if os.fstat(descriptor).st_uid == os.geteuid():
                os.fchmod(descriptor, 0o666)  # other users lock the same file
            return descriptor
    except OSError as error:
        raise MachineError(
            f"cannot open the lock {path}: {error.strerror}", "Make the folder writable or free some space."
        ) from error


def take(descriptor: int) -> bool:
    """Lock what is open, without waiting; whether nobody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def hold(path: Path, what: str, wait_s: float, notify: Notify, remedy: str = "") -> Iterator[None]:
    """Hold the lock `path` around a block; wait up to `wait_s` for `what`, saying who has it.

    The lock goes with the process, whatever way it ends.  Raises MachineError, naming the
    holder, when the time is up.
    """
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + wait_s
        told = False
        while not take(descriptor):
            holder = parse_holder(os.pread(descriptor, HOLDER_BYTES, 0).decode(errors="replace"))
            if time.monotonic() >= deadline:
                raise MachineError(f"{what} is in use by {holder}", remedy or "Wait until it has finished, or end it.")
            if not told:
                notify(f"{what} is in use by {holder}; waiting up to {wait_s:.0f} s")
                told = True
            time.sleep(POLL_S)
        me = this_process()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{me.pid} {me.command}\n".encode()[:HOLDER_BYTES], 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
