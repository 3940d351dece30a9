"""This machine as a target: the agent runs under the system's Python, as root or through sudo."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import IO

from wgprof.errors import MachineError
from wgprof.targets.base import AgentProcess, RecordRequest
from wgprof.targets.zipapp import build_agent

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


def python_with_bcc() -> str | None:
    """A Python that can import bcc."""
    for python in _PYTHONS:
        if Path(python).exists():
            done = subprocess.run([python, "-c", "import bcc"], check=False, capture_output=True)
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
        become_root = _become_root()
        # Without bcc any Python will do: the agent itself says what is missing, by this distribution's name.
        python = python_with_bcc() or _PYTHONS[0]
        self._folder = tempfile.TemporaryDirectory(prefix="wgprof-agent-")
        agent = build_agent(Path(self._folder.name) / "agent.pyz")
        # root must be able to read it through sudo, whatever the umask.
        Path(self._folder.name).chmod(0o755)
        agent.chmod(0o644)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the agent
        try:
            self._process = subprocess.Popen(
                [*become_root, python, str(agent), "record", "--request", json.dumps(asdict(request))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # Ctrl-C is for the recorder, which then asks the agent to stop.
                start_new_session=True,
            )
        except OSError as error:
            raise MachineError(f"the agent cannot be started: {error}", "Run wgprof doctor.") from error
        assert self._process.stdout is not None and self._process.stdin is not None
        return AgentProcess(self._process.stdout, self._process.stdin, {"kind": self.name})

    def recording_started(self) -> None:
        """Nothing to do: the traffic here is the machine's own."""

    def results(self) -> dict[str, object]:
        return {}

    def last_words(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        return self._errors.read(64 << 10).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Ends the agent, should it still run; its probes go with it."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                if process.stdin:
                    process.stdin.close()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_S)
            if process.stdout:
                process.stdout.close()
        if self._errors is not None:
            self._errors.close()
            self._errors = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _become_root() -> list[str]:
    """Words in front of a command that has to run as root.  Raises MachineError if that is not possible."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        raise MachineError("recording needs root, and there is no sudo here", "Run wgprof as root.")
    # Asks for the password on the terminal, if it has to; the agent itself must not.
    if subprocess.run([sudo, "-v"], check=False).returncode:
        raise MachineError(
            "recording needs root, and sudo refused", "Run wgprof as root, or as a user whom sudoers allows."
        )
    return [sudo, "-n"]
