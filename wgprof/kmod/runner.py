"""Running commands where the module is to be loaded: this machine, or the lab's."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Outcome:
    """What a command left behind; `output` is stdout and stderr together."""

    code: int
    output: str

    @property
    def last_line(self) -> str:
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Runner(Protocol):
    """Anything that can run a shell command as root."""

    def run(self, command: str) -> Outcome: ...


class LocalRunner:
    """This machine."""

    def run(self, command: str) -> Outcome:
        result = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        return Outcome(result.returncode, result.stdout)
