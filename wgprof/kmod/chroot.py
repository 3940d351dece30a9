"""A chroot with a suite's kernel headers, its kernel source package, a compiler and Coccinelle."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.kmod.paths import chroot_dir
from wgprof.kmod.suite import PACKAGES, Suite
from wgprof.lab.lock import hold

Progress = Callable[[str], None]

_ARCHIVE = "http://deb.debian.org/debian"
_SECURITY = "http://security.debian.org/debian-security"

#: A second process waits for the first one's environment.
CREATE_WAIT_S = 900.0


def sources(suite: Suite) -> list[str]:
    """The lines of sources.list: with updates and security, so that headers match the lab's kernel."""
    lines = [f"deb {_ARCHIVE} {suite.name} main"]
    if suite.has_updates:
        lines += [f"deb {_ARCHIVE} {suite.name}-updates main", f"deb {_SECURITY} {suite.name}-security main"]
    return lines


def create_command(suite: Suite, root: Path) -> list[str]:
    """mmdebstrap's command line."""
    return [
        "mmdebstrap",
        "--variant=minbase",
        # A mirror may be a snapshot, whose Release file has "expired".
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=Apt::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        f"--include={','.join(PACKAGES)}",
        suite.name,
        str(root),
        *sources(suite),
    ]


def ensure(suite: Suite, progress: Progress) -> Path:
    """The suite's chroot, made first if it is missing.  Raises MachineError."""
    root = chroot_dir(suite.name)
    if root.is_dir():
        return root
    if os.geteuid():
        raise MachineError("making a build environment needs root", "Run the same command with sudo.")
    if not shutil.which("mmdebstrap"):
        raise MachineError(
            "a build environment cannot be made without mmdebstrap",
            "sudo apt install mmdebstrap debian-archive-keyring",
        )
    with hold(root.with_suffix(".lock"), f"the build environment of {suite.name}", CREATE_WAIT_S, progress):
        if not root.is_dir():  # another process may have made it meanwhile
            _create(suite, root, progress)
    return root


def _create(suite: Suite, root: Path, progress: Progress) -> None:
    part = root.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    progress(f"making the build environment of {suite.name} (about a minute)")
    result = subprocess.run(
        create_command(suite, part),
        env={**os.environ, "INITRD": "No", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        shutil.rmtree(part, ignore_errors=True)
        errors = [line for line in result.stderr.splitlines() if line.startswith("E:")] or ["mmdebstrap said nothing"]
        raise MachineError(
            f"the build environment of {suite.name} could not be made: {errors[0]}",
            "Check the network and the free space (2 GB), and run it again.",
        )
    part.rename(root)


def enter(root: Path) -> list[str]:
    """What to put before a command to run it inside, with its own /proc (objtool reads it)."""
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, str(root)]
