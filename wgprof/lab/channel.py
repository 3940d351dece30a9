"""The host's side of the guest's port `ctl`: commands that run side by side."""

from __future__ import annotations

import contextlib
import socket
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Bytes a reply may have: a command that prints more is a mistake, not a result.
MAX_REPLY = 256 << 20

#: Bytes that reach the guest as they are; the others are escaped for its `printf %b`.
_PLAIN = frozenset((string.ascii_letters + string.digits + string.punctuation + " ").encode()) - {ord("\\")}


class ChannelClosed(Exception):
    """The guest, or QEMU, went away."""


@dataclass(frozen=True)
class CommandResult:
    """What a command in the guest said and how it ended.  124 is the exit code of one that took too long."""

    stdout: str
    stderr: str
    exit_code: int
    seconds: float


class Job:
    """A command that runs in the guest."""

    def __init__(self, number: int, command: str) -> None:
        self.number = number
        self.command = command
        self.started = time.monotonic()
        self._done = threading.Event()
        self._result: CommandResult | None = None

    def finish(self, result: CommandResult | None) -> None:
        self._result = result
        self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    def wait(self, timeout: float) -> CommandResult:
        """The result.  Raises TimeoutError, or ChannelClosed if the guest went away."""
        if not self._done.wait(timeout):
            raise TimeoutError(f"no answer within {timeout:.0f} s")
        if self._result is None:
            raise ChannelClosed("the machine went away")
        return self._result


def connect(path: Path, timeout: float, alive: Callable[[], bool]) -> socket.socket:
    """Connect to a socket that QEMU is about to make.  Raises ChannelClosed if QEMU ends, TimeoutError."""
    deadline = time.monotonic() + timeout
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
            return connection
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            if not alive():
                raise ChannelClosed("QEMU ended") from error
            if time.monotonic() > deadline:
                raise TimeoutError(f"QEMU made no socket within {timeout:.0f} s") from error
            time.sleep(0.02)


def encode_request(number: int, limit_s: float, command: str) -> bytes:
    """The line that guest/init.sh reads; a limit of 0 is none."""
    plain = {
        ord(c) for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 /.,:;-_+=$\"'|&<>(){}[]*?#!%@~"
    }
    script = "".join(chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in command.strip().encode())
    return f"{number} {limit_s:g} {script}\n".encode()


class ControlChannel:
    """Sends commands over the port `ctl` and hands out replies, which arrive in any order."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._next = 1
        self._closed = False
        self._ready = threading.Event()
        self.greeting = ""
        self._thread = threading.Thread(target=self._pump, name="lab-ctl", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout: float) -> bool:
        """Whether the guest's greeting has arrived within `timeout` seconds."""
        return self._ready.wait(timeout) and bool(self.greeting)

    def start(self, command: str, limit_s: float = 0) -> Job:
        """Run a shell script in the guest, in the background.  Raises ChannelClosed."""
        with self._lock:
            if self._closed:
                raise ChannelClosed("the machine went away")
            job = Job(self._next, command)
            self._next += 1
            self._jobs[job.number] = job
            try:
                self._socket.sendall(encode_request(job.number, limit_s, command))
            except OSError as error:
                raise ChannelClosed("the machine went away") from error
        return job

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)

    def _pump(self) -> None:
        try:
            greeting = self._reader.readline().decode(errors="replace").strip()
            if greeting.startswith("ready "):
                self.greeting = greeting
                self._ready.set()
                while self._take_reply():
                    pass
        except (OSError, ValueError):
            pass  # the connection broke, or the guest talks nonsense: either way it is over
        finally:
            self._give_up()

    def _take_reply(self) -> bool:
        line = self._reader.readline()
        if not line:
            return False
        number, code, out_bytes, err_bytes = (int(word) for word in line.split())
        if not 0 <= out_bytes <= MAX_REPLY or not 0 <= err_bytes <= MAX_REPLY:
            return False
        stdout, stderr = self._reader.read(out_bytes), self._reader.read(err_bytes)
        if len(stdout) + len(stderr) < out_bytes + err_bytes:
            return False
        with self._lock:
            job = self._jobs.pop(number, None)
        if job:
            seconds = time.monotonic() - job.started
            job.finish(CommandResult(stdout.decode(errors="replace"), stderr.decode(errors="replace"), code, seconds))
        return True

    def _give_up(self) -> None:
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
            self._jobs.clear()
        for job in jobs:
            job.finish(None)
        self._ready.set()
