"""This machine as a target: the agent runs under the system's Python, as root or through sudo."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import IO

from wgprof.errors import MachineError
from wgprof.targets.base import AgentProcess, RecordRequest
from wgprof.targets.zipapp import build_agent

#: Always with -I: root must not import what lies in the current folder or in a user's own packages.
#: bcc comes with the distribution and follows its Python, not that of a virtual environment.
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
_NET = Path("/sys/class/net")
_GRACE_S = 5.0


def wireguard_interfaces() -> list[str]:
    """The WireGuard interfaces of this network namespace; needs no privileges."""
    found = []
    for uevent in sorted(_NET.glob("*/uevent")):
        with contextlib.suppress(OSError):
            if "DEVTYPE=wireguard" in uevent.read_text().split():
                found.append(uevent.parent.name)
    return found


@functools.cache
def python_with_bcc() -> str | None:
    """A Python that can import bcc, and not another package of that name."""
    for python in _PYTHONS:
        if Path(python).exists():
            done = subprocess.run([python, "-I", "-c", "from bcc import BPF"], check=False, capture_output=True)
            if done.returncode == 0:
                return python
    return None


def why_not() -> str | None:
    """Why this machine cannot be profiled, in a few words; None if it can, as far as can be seen unprivileged."""
    if not wireguard_interfaces():
        return "this machine has no WireGuard interface"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "this kernel has no type information (BTF)"
    if python_with_bcc() is None:
        return "bcc is not installed (apt install python3-bpfcc)"
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        return "not root, and there is no sudo"
    return None


class LocalTarget:
    """Implements wgprof.targets.base.Target on this machine."""

    name = "local"

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def start(self, request: RecordRequest) -> AgentProcess:
        """Starts the agent.  Raises MachineError."""
        # Without bcc any Python will do: the agent itself says what is missing, by this distribution's name.
        python = python_with_bcc() or _PYTHONS[0]
        become_root = _become_root(python)
        self._folder = tempfile.TemporaryDirectory(prefix="wgprof-agent-")
        agent = build_agent(Path(self._folder.name) / "agent.pyz")
        # root must be able to read it through sudo, whatever the umask.
        Path(self._folder.name).chmod(0o755)
        agent.chmod(0o644)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the agent
        try:
            self._process = subprocess.Popen(
                [*become_root, python, "-I", str(agent), "record", "--request", json.dumps(asdict(request))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # Ctrl-C is for the recorder, which then asks the agent to stop.  The terminal stays that of
                # the recorder: sudo remembers by terminal who has given a password.
                process_group=0,
            )
        except OSError as error:
            raise MachineError(f"the agent cannot be started: {error}", "Run wgprof doctor.") from error
        assert self._process.stdout is not None and self._process.stdin is not None
        return AgentProcess(self._process.stdout, self._process.stdin, {"kind": self.name})

    def recording_started(self) -> None:
        """Nothing to do: the traffic here is the machine's own."""

    def sampling_started(self) -> None:
        """As above."""

    def stopping(self) -> None:
        """Nothing to do, likewise."""

    def results(self) -> dict[str, object]:
        return {}

    def last_words(self) -> str:
        """What the agent wrote to its standard error, and the signal that killed it."""
        if self._errors is None or self._process is None:
            return ""
        self._errors.seek(0)
        words = self._errors.read(64 << 10).decode("utf-8", "replace").strip()
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_GRACE_S)
            if code < 0:
                words += f"\nkilled by signal {-code} ({signal.strsignal(-code)})"
        return words

    def never_recorded(self, sentence: str) -> MachineError:
        return MachineError(sentence, "Run `wgprof doctor`: it says what is missing.")

    def close(self) -> None:
        """Ends the agent, should it still run; its probes go with it."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._errors is not None:
            self._errors.close()
            self._errors = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _end(process: subprocess.Popen[bytes]) -> None:
    """First by the end of its input, then by signals."""
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()
    for harder in (process.terminate, process.kill, None):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            break
        with contextlib.suppress(PermissionError):  # root's, behind sudo; it ends when it next writes
            if harder:
                harder()
    if process.returncode is not None and process.stdout:
        # Not while it runs: the thread that reads from it holds the stream's lock.
        process.stdout.close()


def _become_root(python: str) -> list[str]:
    """Words in front of a command that runs `python` as root.  Raises MachineError if that is not possible."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        raise MachineError("recording needs root, and there is no sudo here", "Run wgprof as root.")
    without_asking = [sudo, "-n"]
    if subprocess.run([*without_asking, python, "--version"], check=False, capture_output=True).returncode == 0:
        return without_asking
    # Asks for the password on the terminal, if it has to; the agent itself must not.
    if subprocess.run([sudo, "-v"], check=False).returncode:
        raise MachineError(
            "recording needs root, and sudo refused", "Run wgprof as root, or as a user whom sudoers allows."
        )
    return without_asking
