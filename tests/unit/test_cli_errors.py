"""Bad input on the command line: one sentence, a remedy where there is one, the right exit code, never a traceback."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.frames import synthetic_frames, synthetic_recording
from wgprof import cli
from wgprof.errors import MachineError, WgprofError
from wgprof.lab import build, image, kvm, machine
from wgprof.lab.recipe import DEFAULT_KERNEL, recipe_for
from wgprof.recording.finish import finish_part
from wgprof.recording.schema import SCHEMA_VERSION, TABLES
from wgprof.recording.writer import write_recording
from wgprof.targets import local


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    sentence: str
    remedy: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command line in an empty folder and checks the form of what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["wgprof", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err and "This is a bug" not in err, err
        found = re.search(r"^[Ee]rror: (.*)\n((?:  .*\n)*)\Z", err, re.MULTILINE)
        assert found, f"not one sentence and a remedy: {err!r}"
        return Ended(int(ended.value.code or 0), out, found[1], "\n".join(x.strip() for x in found[2].splitlines()))

    return run


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A small good recording."""
    path = tmp_path / "good.wgprof"
    small = synthetic_recording(seconds=0.2, rate=60.0)
    write_recording(path, small.manifest, {table.name: small.arrow(table.name) for table in TABLES})
    return path


# -- words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("record --duration 0", "--duration 0 is not a time to record"),
        ("record --duration -5", "--duration -5 is not a time to record"),
        ("record --duration nan", "--duration nan is not a time to record"),
        ("record --duration inf", "--duration inf is not a time to record"),
        ("record --duration 1e9", "--duration 1e+09 is not a time to record"),
        ("record --duration soon", "Invalid value for '--duration': 'soon' is not a valid float."),
        ("record --interval 5ms", "--interval 5ms is not a time from 10ms to 10000ms"),
        ("record --interval 1s", "--interval 1s is not a time from 10ms to 10000ms"),
        ("record --sample 0", "--sample 0 is neither auto nor a number from 1"),
        ("record --sample many", "--sample many is neither auto nor a number from 1"),
        ("record --target moon", "there is no target 'moon'"),
        ("record --target ssh://gw", "the ssh target is not there yet"),
        ("record --target local --tunnels 2", "--tunnels is for the lab"),
        ("record --target lab --kernel 2.4", "the lab has no kernel '2.4'"),
        ("record --target lab --workload war", "the lab has no workload 'war'"),
        ("record --target lab --tunnels 0", "the lab cannot make 0 tunnels"),
        ("record --target lab --tunnels 65", "the lab cannot make 65 tunnels"),
        ("record --target lab --cpus 0", "the lab cannot have 0 CPUs"),
        ("record --target lab --module fast", "there is no module 'fast'"),
        ("record --target local --module inline", "--module is for the lab"),
        ("record --target local --mtu 512", "--mtu is for the lab"),
        ("record --target lab --mtu 1441", "mtu 1441 is not from 88 to 1440"),
        ("record --target lab --serial-work rx.decrypt:5", "serial-work 'rx.decrypt:5' is neither none nor work"),
        ("record --target lab --serial-work tx.send:5 --mtu 100", "serial-work tx.send:5 cannot be with mtu 100"),
        ("record --target lab --serial-work tx.send:5 --workload idle", "cannot be with workload idle"),
        ("record --target local --lab-crypto 0.3", "--lab-crypto is for the lab"),
        ("record --target lab --lab-crypto 0.3", "--lab-crypto goes with --module"),
        ("record --target lab --module inline --lab-crypto 0.09", "--lab-crypto 0.09 is not a share from 0.1 to 0.6"),
        ("record --target lab --module inline --lab-crypto 30", "--lab-crypto 30 is not a share from 0.1 to 0.6"),
        ("record --target lab --module inline --lab-crypto nan", "--lab-crypto nan is not a share from 0.1 to 0.6"),
        ("record --target lab -o no/such/folder/x.wgprof", "there is no folder"),
        ("record --target lab -o x.wgprof.part", "x.wgprof.part would be taken for a recording that was cut off"),
        ("lab scenario", "which scenario?"),
        ("lab scenario war", "the lab has no scenario 'war'"),
        ("lab scenario idle -o no/such/folder/x.wgprof", "there is no folder"),
        ("lab scenario idle --seed -1", "Invalid value for '--seed'"),
        ("record --target lab -o .", "Invalid value for '-o'"),
        ("record --bogus", "No such option '--bogus'"),
        ("perform", "No such command 'perform'"),
        ("show", "Missing argument 'FILE'"),
        ("recover x.wgprof", "x.wgprof"),
    ],
)
def test_words_that_make_no_sense_are_exit_code_2(run: Run, tmp_path: Path, words: str, sentence: str) -> None:
    ended = run(*words.split())
    assert ended.sentence.startswith(sentence) or sentence in ended.sentence
    assert ended.code == (1 if words.startswith("recover") else 2)
    assert list(tmp_path.iterdir()) == [], "nothing was written"


def test_a_folder_that_cannot_be_written_is_exit_code_1(run: Run) -> None:
    ended = run("record", "--target", "lab", "-o", "/proc/x.wgprof")
    assert ended.sentence.startswith("/proc/x.wgprof.part could not be written: ")
    assert ended.code == 1


# -- files

FOREIGN = {
    "empty": b"",
    "text": b"dear reader\n" * 100,
    "random": bytes(range(256)) * 40,
    "page": b"<!doctype html><html></html>",
}


@pytest.mark.parametrize("command", ["show", "report", "recover"])
@pytest.mark.parametrize("kind", sorted(FOREIGN))
def test_a_foreign_file_is_named(run: Run, tmp_path: Path, command: str, kind: str) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(FOREIGN[kind])
    ended = run(command, str(path))
    assert str(path) in ended.sentence
    assert ended.code == 1
    assert path.read_bytes() == FOREIGN[kind]


@pytest.mark.parametrize("command", ["show", "report", "recover"])
def test_a_file_that_is_not_there_or_is_a_folder_is_named(run: Run, tmp_path: Path, command: str) -> None:
    for path in (tmp_path / "missing.wgprof", tmp_path):
        ended = run(command, str(path))
        assert str(path) in ended.sentence
        assert ended.code == 1


@pytest.mark.parametrize("command", ["show", "report", "recover"])
def test_a_file_that_may_not_be_read_is_named(run: Run, recording: Path, command: str) -> None:
    recording.chmod(0)
    with not_root():
        ended = run(command, str(recording))
    assert str(recording) in ended.sentence and "Permission denied" in ended.sentence
    assert ended.code == 1


@contextmanager
def not_root() -> Iterator[None]:
    """root reads everything."""
    me = os.geteuid()
    os.seteuid(me or 65534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.mark.parametrize("command", ["show", "report"])
def test_a_truncated_file_is_one_sentence(run: Run, recording: Path, command: str) -> None:
    whole = recording.read_bytes()
    for share in (0.02, 0.5, 0.99):
        recording.write_bytes(whole[: int(len(whole) * share)])
        ended = run(command, str(recording))
        assert str(recording) in ended.sentence
        assert ended.code == 1


@pytest.mark.parametrize("command", ["show", "report"])
def test_a_newer_file_asks_for_a_newer_wgprof(run: Run, recording: Path, command: str) -> None:
    newer = io.BytesIO()
    with zipfile.ZipFile(recording) as source, zipfile.ZipFile(newer, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == "manifest.json":
                old = f'"schema_version": {SCHEMA_VERSION}'.encode()
                assert old in data
                data = data.replace(old, f'"schema_version": {SCHEMA_VERSION + 1}'.encode())
            target.writestr(info, data)
    recording.write_bytes(newer.getvalue())
    ended = run(command, str(recording))
    assert "newer" in ended.sentence or "newer" in ended.remedy
    assert ended.code == 1


def test_recover_of_a_finished_recording_points_to_show(run: Run, recording: Path) -> None:
    ended = run("recover", str(recording))
    assert "is not an unfinished recording" in ended.sentence
    assert "wgprof show" in ended.remedy


def test_a_recording_that_was_cut_off_points_to_recover(run: Run, tmp_path: Path) -> None:
    """Somebody shows the .part, or records over it."""
    part = tmp_path / "x.wgprof.part"
    part.write_bytes(synthetic_frames(seconds=0.3, end=False))
    for words in (("show", str(part)), ("report", str(part)), ("record", "--target", "lab", "-o", "x.wgprof")):
        ended = run(*words)
        assert "wgprof recover" in ended.remedy, words
        assert ended.code == 1
    finish_part(part, tmp_path / "x.wgprof")


# -- machines


@pytest.fixture
def lab_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab with a lock of its own and an image that no emulator will ever boot."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("WGPROF_CACHE", str(cache))
    monkeypatch.setattr(machine, "lab_lock_path", lambda: tmp_path / "lab.lock")
    # Who holds the lock removes what earlier machines left in this folder; another's running machine is no such thing.
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(kvm, "usable", lambda *_: False)
    directory = image.image_dir(recipe_for(DEFAULT_KERNEL))
    directory.mkdir(parents=True)
    for name in (build.VMLINUZ, build.INITRD, build.DISK):
        (directory / name).write_bytes(name.encode())
    image._write_manifest(directory, recipe_for(DEFAULT_KERNEL), "6.12.0-test")
    return cache


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The first folder of the PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield folder


def tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_without_qemu_its_package_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, lab_cache: Path) -> None:
    monkeypatch.setattr("wgprof.lab.own_qemu.find_tool", lambda name: None)
    ended = run("record", "--target", "lab")
    assert ended.sentence == "the lab needs QEMU, which is not installed"
    assert ended.remedy == "Install it: sudo apt install qemu-system-x86"
    assert ended.code == 3


def test_without_what_builds_an_image_the_packages_are_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tools: Path
) -> None:
    monkeypatch.setenv("WGPROF_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(image, "find_tool", lambda name: None)
    tool(tools, "qemu-system-x86_64", "exit 1")
    ended = run("record", "--target", "lab")
    assert ended.sentence.startswith("the lab's image cannot be built without mmdebstrap")
    assert "apt install mmdebstrap" in ended.remedy
    assert ended.code == 3


def test_a_guest_that_does_not_boot_is_tried_again_and_its_console_shown(
    run: Run, lab_cache: Path, tools: Path
) -> None:
    """An emulator that writes a panic on the console and ends."""
    console = r"""
[ "$1" != --version ] || exit 1
for word; do case $word in file:*) console=${word#file:} ;; esac; done
echo x >>"$0.runs"
printf '[ 0.5] one of the last lines\r\n[ 0.6] Kernel panic - not syncing: no luck\r\n' >"$console"
"""
    tool(tools, "qemu-system-x86_64", console)
    ended = run("record", "--target", "lab")
    assert re.fullmatch(r"the lab's machine did not boot in 3 attempts: .*", ended.sentence)
    assert "one of the last lines" in ended.remedy
    assert re.search(r"The whole log: .*\.log", ended.remedy)
    assert ended.code == 3
    assert (tools / "qemu-system-x86_64.runs").read_text() == "x\n" * 3


def test_a_second_lab_is_told_which_process_has_the_first(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lab_cache: Path, tools: Path
) -> None:
    monkeypatch.setenv("WGPROF_LAB_WAIT", "0")
    tool(tools, "qemu-system-x86_64", "exit 1")
    script = (
        "import pathlib, sys\nfrom wgprof.lab.lock import hold\n"
        "with hold(pathlib.Path(sys.argv[1]), 'the lab', 0, print):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lab.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        ended = run("record", "--target", "lab")
        holder.kill()
    assert f"the lab is in use by process {holder.pid} (" in ended.sentence
    assert "WGPROF_LAB_WAIT" in ended.remedy
    assert ended.code == 3


# -- becoming root


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tools: Path) -> Path:
    """Not root, on a machine with a bcc; the folder takes a sudo."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(local, "python_with_bcc", lambda: "/usr/bin/python3")
    return tools


def test_without_sudo_only_root_can_record(run: Run, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    ended = run("record", "--target", "local")
    assert (ended.sentence, ended.remedy) == ("recording needs root, and there is no sudo here", "Run wgprof as root.")
    assert ended.code == 3


def test_a_sudo_that_refuses_is_named(run: Run, nobody: Path) -> None:
    tool(nobody, "sudo", "exit 1")
    ended = run("record", "--target", "local")
    assert ended.sentence == "recording needs root, and sudo refused"
    assert ended.code == 3


def test_a_password_is_asked_for_only_if_need_be(nobody: Path) -> None:
    tool(nobody, "sudo", f'echo "$*" >>{nobody}/asked; [ "$1" = -v ]')
    words = local._become_root("python")
    assert words[1:] == ["-n"]
    assert (nobody / "asked").read_text() == "-n python --version\n-v\n"
    (nobody / "asked").unlink()
    tool(nobody, "sudo", f'echo "$*" >>{nobody}/asked; [ "$1" = -n ]')
    assert local._become_root("python") == [str(nobody / "sudo"), "-n"]
    assert (nobody / "asked").read_text() == "-n python --version\n"


def test_an_agent_that_cannot_even_start_is_a_machine_that_cannot(run: Run, nobody: Path) -> None:
    """sudo lets nothing but its test run, and says so."""
    tool(nobody, "sudo", 'case "$*" in *--version) exit 0 ;; esac; echo "sudo: not that one" >&2; exit 1')
    ended = run("record", "--target", "local")
    assert ended.sentence == "the agent died; it said: sudo: not that one"
    assert "doctor" in ended.remedy
    assert ended.code == 3


def test_auto_says_why_it_takes_the_lab(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr("wgprof.targets.choose.why_not", lambda: "this machine has no WireGuard interface")
    from wgprof.targets.choose import choose_target
    from wgprof.targets.lab import LabSettings

    assert choose_target("auto", LabSettings(), said.append).name == "lab"
    assert said == [
        "Using the lab (a QEMU machine with a real kernel and tunnel): this machine has no WireGuard interface."
    ]


def test_exit_codes_are_those_of_the_contract() -> None:
    assert (WgprofError.exit_code, MachineError.exit_code) == (1, 3)
