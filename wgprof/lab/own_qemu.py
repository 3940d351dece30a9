"""A QEMU of the lab's own, where the host's is too old.

QEMU before 8.1 translates guest code without locking its page ("accel/tcg: Always lock pages before
translation" came with 8.1): a CPU can keep executing a breakpoint that the guest's kernel wrote while it
patched itself, long after it was taken out.  Attaching and detaching probes is such patching, and the guest
panics in it ("Oops: int3").  A newer one is unpacked beside the images and run with the libraries it came with.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab.build import explain_failure
from wgprof.lab.image import BUILD_WAIT_S, find_tool
from wgprof.lab.lock import Notify, hold
from wgprof.lab.paths import cache_dir

QEMU = "qemu-system-x86_64"
#: The first that does not execute what is no longer there.
SOUND = (8, 1)
SUITE = "trixie"
PACKAGE = "qemu-system-x86"
#: What is kept of the unpacked packages: the program, its libraries, its firmware.
_KEPT = ("./usr/bin", "./usr/lib", "./usr/share/qemu", "./usr/share/seabios")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def qemu_words() -> list[str]:
    """The words that start QEMU: the host's if it is sound, else the lab's own if there is one, else the host's.

    Raises MachineError if there is none.
    """
    host = host_qemu()
    if is_sound([host]):
        return [host]
    own = own_words(own_dir())
    return own if version_of(own) else [host]


def ensure_qemu(notify: Notify) -> None:
    """See to it that `qemu_words` is a sound QEMU, by fetching one if need be; if that fails, say so and go on.

    Raises MachineError if the host has none at all.
    """
    host = host_qemu()
    if is_sound([host]) or version_of(own_words(own_dir())) or not find_tool("mmdebstrap"):
        return
    found = ".".join(map(str, version_of([host])))
    notify(f"lab: fetching a newer QEMU for the lab (the host's {found} crashes now and then when probes are attached)")
    try:
        with hold(cache_dir() / "qemu.lock", "the lab's QEMU", BUILD_WAIT_S, notify):
            if not version_of(own_words(own_dir())):
                _fetch(own_dir())
    except MachineError as error:
        notify(f"lab: {error.sentence}; going on with the host's QEMU")


def host_qemu() -> str:
    """Where the host's QEMU is.  Raises MachineError if it is not installed."""
    path = find_tool(QEMU)
    if path is None:
        raise MachineError("the lab needs QEMU, which is not installed", f"Install it: sudo apt install {PACKAGE}")
    return path


def is_sound(words: list[str]) -> bool:
    """Whether it can be used as it is; one that does not tell its version is left alone."""
    version = version_of(words)
    return not version or version >= SOUND


def version_of(words: list[str]) -> tuple[int, ...]:
    """Major and minor version of the QEMU that the words start; empty if it does not start or tell."""
    try:
        said = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"version (\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def own_dir() -> Path:
    """Where the lab's own QEMU is or would be."""
    return cache_dir() / f"qemu-{SUITE}"


def own_words(folder: Path) -> list[str]:
    """How an unpacked QEMU is started: by the dynamic linker and with the libraries of its own suite."""
    libraries, share = folder / _LIBRARIES, folder / "usr/share"
    linker = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    return [*linker, str(folder / "usr/bin" / QEMU), "-L", str(share / "qemu"), "-L", str(share / "seabios")]


def _fetch(folder: Path) -> None:
    """Unpack it, as whoever runs this; nothing of it is installed or run as root."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    tar = part / "root.tar"
    try:
        part.mkdir(parents=True)
        fetch = ["mmdebstrap", "--variant=extract", "--format=tar", f"--include={PACKAGE}", SUITE, str(tar)]
        _run([fetch[0], '--aptopt=APT::Install-Recommends "false"', *fetch[1:]])
        _run(["tar", "-x", "--no-same-owner", "-C", str(part), "-f", str(tar), *_KEPT])
        tar.unlink()
        if not is_sound(own_words(part)) or not version_of(own_words(part)):
            raise MachineError("the lab's own QEMU does not start")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise MachineError(f"the lab's own QEMU cannot be kept in {folder.parent}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run(command: list[str]) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise explain_failure("the lab's own QEMU could not be fetched", done.stderr.splitlines())
