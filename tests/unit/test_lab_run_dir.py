"""A folder is its process's as long as that lives, whatever lab another process runs; then anybody removes it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wgprof.lab import qemu
from wgprof.lab.emulator import Emulator
from wgprof.lab.image import LabImage
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.run_dir import RunDir, remove_stale_run_dirs

OWNER = """
import sys
from wgprof.lab.run_dir import RunDir
folder = RunDir()
(folder.path / "console.log").write_text("a machine runs")
print(folder.path, flush=True)
sys.stdin.read()
"""
#: Makes folders and takes away what it thinks stale, as labs that start and end all the time.
BUSY = """
from wgprof.lab.run_dir import RunDir, remove_stale_run_dirs
for _ in range(500):
    with RunDir() as path:
        (path / "file").write_text("")
        remove_stale_run_dirs()
        assert (path / "file").exists(), "taken away while it was in use"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that no lab of this machine is met."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def owner() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_of_two_owners_only_the_dead_ones_folder_is_removed(folder: Path) -> None:
    with owner() as (first, killed), owner() as (_, alive):
        remove_stale_run_dirs()
        assert killed.is_dir() and alive.is_dir()
        first.kill()
        first.wait()
        remove_stale_run_dirs()
        assert not killed.exists()
        assert (alive / "console.log").read_text() == "a machine runs"
    remove_stale_run_dirs()
    assert list(folder.iterdir()) == []


def test_a_folder_is_kept_from_its_own_process_too_until_it_is_removed(folder: Path) -> None:
    mine = RunDir()
    remove_stale_run_dirs()
    assert mine.path.is_dir()
    mine.remove()
    mine.remove()
    assert list(folder.iterdir()) == []


def test_folders_that_are_made_while_others_clean_up_are_left_alone(folder: Path) -> None:
    labs = [subprocess.Popen([sys.executable, "-c", BUSY], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [lab.communicate(timeout=60)[1] for lab in labs]
    assert [lab.returncode for lab in labs] == [0, 0], said
    assert list(folder.iterdir()) == []


def test_nothing_but_folders_is_removed(folder: Path) -> None:
    precious = folder / "precious"
    precious.mkdir()
    (folder / "wgprof-lab-link").symlink_to(precious)
    (folder / "wgprof-lab-file").touch()
    (folder / "wgprof-lab-left").mkdir()
    remove_stale_run_dirs()
    assert sorted(path.name for path in folder.iterdir()) == ["precious", "wgprof-lab-file", "wgprof-lab-link"]


def test_an_emulator_keeps_its_folder_and_what_it_started_does_not_inherit_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is a sleep: its folder is what this is about."""
    image = LabImage("6.12", "6.12", folder / "image")
    image.directory.mkdir()
    image.initrd.write_bytes(b"initrd")
    monkeypatch.setattr(qemu, "command_line", lambda *_: ["sleep", "60"])
    started = Emulator(image, MachineSettings(), "tcg")
    try:
        remove_stale_run_dirs()
        assert (started.run_dir / "initrd").exists()
        held = [fd.resolve() for fd in Path(f"/proc/{started.process.pid}/fd").iterdir()]
        assert started.run_dir not in held, "else its lock would outlive its owner"
    finally:
        started.stop()
    assert not started.run_dir.exists()
