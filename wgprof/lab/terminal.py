"""A person's terminal, joined to a shell in the lab's machine."""

from __future__ import annotations

import os
import select
import shutil
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from wgprof.errors import UsageError
from wgprof.lab.channel import Job, connect
from wgprof.lab.machine import Machine

TERMINAL_S = 5.0


def attach(machine: Machine) -> int:
    """Run an interactive shell in the machine until it ends; returns its exit code.

    Raises UsageError without a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("`wgprof lab shell` needs a terminal", "Use `wgprof lab run -- COMMAND` in scripts.")
    size = shutil.get_terminal_size()
    with connect(machine.terminal_socket(), TERMINAL_S, lambda: machine.alive) as connection, raw_terminal():
        job = machine.start(shell_script(size.columns, size.lines, os.environ.get("TERM", "linux")))
        relay(connection, job)
    return job.wait(TERMINAL_S).exit_code


def shell_script(columns: int, lines: int, term: str) -> str:
    """The guest's side: a shell that owns the terminal /dev/hvc0."""
    return f"""
exec </dev/hvc0 >/dev/hvc0 2>&1
stty sane cols {columns:d} rows {lines:d}
TERM={"".join(c for c in term if c.isalnum() or c in "-+.")} PS1='lab# ' exec setsid -c -w bash --norc -i
"""


def relay(connection: socket.socket, job: Job) -> None:
    """Carry bytes both ways until the shell ends or the machine goes away."""
    while not job.done:
        readable, _, _ = select.select([sys.stdin.fileno(), connection], [], [], 0.1)
        if connection in readable:
            data = connection.recv(1 << 16)
            if not data:
                return
            os.write(sys.stdout.fileno(), data)
        if sys.stdin.fileno() in readable:
            typed = os.read(sys.stdin.fileno(), 1 << 10)
            if not typed:
                return
            connection.sendall(typed)


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Pass every key on, Ctrl-C included; the terminal is put back afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
