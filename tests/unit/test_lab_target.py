"""What the lab makes of an agent that died before it recorded."""

from __future__ import annotations

from typing import cast

import pytest

from wgprof.errors import MachineError
from wgprof.lab.machine import EmulatorFailure, Machine
from wgprof.targets.lab import LabTarget


class Panicked:
    """A machine whose guest panicked a moment ago: QEMU has not ended yet."""

    alive = True

    def __init__(self, error: MachineError | None) -> None:
        self._error = error

    def agent_errors(self) -> str:
        if self._error is not None:
            raise self._error
        return "Traceback: no bcc"


def target(error: MachineError | None) -> LabTarget:
    it = LabTarget()
    it.machine = cast(Machine, Panicked(error))
    return it


def test_a_guest_that_panicked_is_the_emulators_fault_even_while_qemu_is_still_ending() -> None:
    lab = target(EmulatorFailure("the lab's machine died: Kernel panic", "its console"))
    assert "Kernel panic" in lab.last_words()
    with pytest.raises(EmulatorFailure, match="the agent died"):
        raise lab.never_recorded("the agent died")


def test_an_agent_that_died_in_a_sound_machine_is_not() -> None:
    lab = target(None)
    lab.last_words()
    assert not isinstance(lab.never_recorded("the agent died"), EmulatorFailure)
