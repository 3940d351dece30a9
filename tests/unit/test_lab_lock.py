"""Locks: one holder, who is named; gone with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wgprof.errors import MachineError
from wgprof.lab.lock import Holder, hold, parse_holder
from wgprof.lab.machine import LOCK_WAIT_S, lock_wait_s

HOLDER = """
import sys, pathlib
from wgprof.lab.lock import hold
with hold(pathlib.Path(sys.argv[1]), "the lab", 0, print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_one_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    said: list[str] = []
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(MachineError) as caught, hold(path, "the lab", 0.3, said.append):
            pytest.fail("two held the lock at once")
        assert f"the lab is in use by process {other.pid} (" in caught.value.sentence
        assert caught.value.exit_code == 3
        assert len(said) == 1 and f"process {other.pid}" in said[0], "one message while waiting"
        other.kill()
        other.wait()
        with hold(path, "the lab", 0, said.append):
            assert parse_holder(path.read_text()).pid == os.getpid()
    assert path.read_text() == ""


def test_a_lock_that_is_free_says_nothing(tmp_path: Path) -> None:
    with hold(tmp_path / "new" / "lock", "it", 0, pytest.fail):
        pass


def test_a_lock_is_no_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(MachineError, match="cannot open the lock"), hold(tmp_path / "lock", "it", 0, print):
        pass
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize("text", ["", "\n", "x y", "-3 y", "²", "\x00\x01"])
def test_nonsense_in_a_lock_file_is_another_process(text: str) -> None:
    assert str(parse_holder(text)) == "another process"


def test_a_holders_command_cannot_write_on_the_terminal() -> None:
    assert parse_holder("12 evil\x1b[2Jname\n") == Holder(12, "evil?[2Jname")


def test_the_wait_can_be_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WGPROF_LAB_WAIT", "600")
    assert lock_wait_s() == 600
    monkeypatch.setenv("WGPROF_LAB_WAIT", "long")
    assert lock_wait_s() == LOCK_WAIT_S
