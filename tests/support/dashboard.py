"""`wgprof dashboard` as a user starts it, in a process of its own; and recordings that are being written."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from wgprof.agent.frames import Kind, kind_of, read_raw

ROOT = Path(__file__).resolve().parents[2]
CAPTURED = ROOT / "tests" / "captures" / "recordings"
_PATIENCE_S = 120


@dataclass(frozen=True)
class Served:
    """A dashboard that listens: `url` as it was printed."""

    url: str
    process: subprocess.Popen[str]
    errors: IO[str]

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it as Ctrl-C does: its exit code and what it wrote to standard error."""
        self.process.send_signal(number)
        self.process.communicate(timeout=_PATIENCE_S)
        return self.process.returncode, _all_of(self.errors)


@contextlib.contextmanager
def serving(*words: str | Path, cwd: Path = ROOT, browser: str = "") -> Iterator[Served]:
    """`wgprof dashboard WORDS --port 0`, until the block ends; it opens `browser`, a command, or none."""
    command = [sys.executable, "-m", "wgprof", "dashboard", *map(str, words), "--port", "0"]
    environment = {**os.environ, "BROWSER": browser}
    if not browser:
        command.append("--no-browser")
    # Errors to a file: a pipe that nobody reads would fill up and hold the server.
    with tempfile.TemporaryFile("w+") as errors, _running(command, cwd, environment, errors) as process:
        line = _first_line(process)
        if not line.startswith("Serving "):
            process.kill()
            process.wait(_PATIENCE_S)
            raise AssertionError(f"it did not serve: {line}{_all_of(errors)}")
        yield Served(line.split()[1], process, errors)


@contextlib.contextmanager
def _running(
    command: list[str], cwd: Path, environment: dict[str, str], errors: IO[str]
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=errors)
    try:
        yield process
    finally:
        process.kill()  # nothing is done to one that has ended
        process.communicate(timeout=_PATIENCE_S)


def _first_line(process: subprocess.Popen[str]) -> str:
    """What it prints first; empty if it ends without, or takes too long."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda read: lines.put(read()), args=(process.stdout.readline,), daemon=True).start()
    try:
        return lines.get(timeout=_PATIENCE_S)
    except queue.Empty:
        return ""


def _all_of(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


class Growing:
    """A `.part` that grows tick by tick, of the frames of a recording."""

    def __init__(self, path: Path, frames: bytes) -> None:
        self.path = path
        stream = BytesIO(frames)
        self._frames = list(iter(lambda: read_raw(stream), None))
        self.ticks = 0

    def grow(self, ticks: int) -> None:
        """Append frames until so many ticks more are in the file."""
        wanted = self.ticks + ticks
        with self.path.open("ab", buffering=0) as file:
            while self.ticks < wanted and self._frames:
                frame = self._frames.pop(0)
                assert frame is not None
                file.write(frame)
                self.ticks += kind_of(frame) == Kind.TICK

    def cut(self, size: int) -> None:
        """Append the beginning of the next frame only, as one that is just being written."""
        with self.path.open("ab", buffering=0) as file:
            head, rest = (self._frames[0] or b"")[:size], (self._frames[0] or b"")[size:]
            file.write(head)
            self._rest = rest

    def complete(self) -> None:
        """Append the rest of the frame that was cut."""
        with self.path.open("ab", buffering=0) as file:
            file.write(self._rest)
        self.ticks += kind_of(self._frames[0] or b"") == Kind.TICK
        self._frames.pop(0)
