"""Which QEMU the lab runs in: the host's where it is sound, else one of its own, else the host's after all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wgprof.errors import MachineError
from wgprof.lab import own_qemu


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def says(version: str) -> str:
    return f'echo "QEMU emulator version {version} (of a distribution)"'


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of the PATH; nothing of the lab's is built yet."""
    monkeypatch.setenv("WGPROF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    return tmp_path / "tools"


def unpacked(version: str) -> None:
    """The lab's own, with a script in the dynamic linker's place."""
    program(Path(own_qemu.own_words(own_qemu.own_dir())[0]), says(version))


@pytest.mark.parametrize("version", ["8.1.0", "10.0.3"])
def test_a_sound_qemu_of_the_hosts_is_used_and_nothing_fetched(tools: Path, version: str) -> None:
    host = program(tools / own_qemu.QEMU, says(version))
    program(tools / "mmdebstrap", "exit 7")
    said: list[str] = []
    own_qemu.ensure_qemu(said.append)
    assert own_qemu.qemu_words() == [str(host)]
    assert said == []


def test_one_that_does_not_tell_its_version_is_left_alone(tools: Path) -> None:
    host = program(tools / own_qemu.QEMU, "exit 1")
    unpacked("10.0.3")
    assert own_qemu.qemu_words() == [str(host)]


def test_an_old_one_gives_way_to_the_labs_own(tools: Path) -> None:
    program(tools / own_qemu.QEMU, says("7.2.22"))
    unpacked("10.0.3")
    words = own_qemu.qemu_words()
    assert own_qemu.version_of(words) == (10, 0)
    assert words[0].startswith(str(own_qemu.own_dir()))


def test_without_the_archive_the_old_one_goes_on_and_the_user_is_told(tools: Path) -> None:
    host = program(tools / own_qemu.QEMU, says("8.0.9"))
    program(tools / "mmdebstrap", "echo 'E: Could not connect to the archive' >&2; exit 25")
    said: list[str] = []
    own_qemu.ensure_qemu(said.append)
    assert own_qemu.qemu_words() == [str(host)]
    assert "the host's 8.0 crashes now and then" in said[0]
    assert said[1].endswith("the package archive cannot be reached; going on with the host's QEMU")
    assert list((own_qemu.own_dir().parent).glob("qemu-*")) == [], "nothing half unpacked is left"


def test_qemu_missing_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_qemu, "find_tool", lambda name: None)
    with pytest.raises(MachineError) as caught:
        own_qemu.ensure_qemu(lambda line: None)
    assert caught.value.exit_code == 3
    assert "apt install qemu-system-x86" in caught.value.remedy
