"""Where a module is built: a chroot of a distribution's suite, or this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.kmod import chroot
from wgprof.kmod.suite import Suite

#: What must be there to build on this machine, and the package that has it.
_TOOLS = {"spatch": "coccinelle", "make": "make", "gcc": "gcc", "pahole": "dwarves"}


@dataclass(frozen=True)
class Environment:
    """A root folder with kernel headers, the kernel's source package and the tools.  `/` is this machine."""

    root: Path
    release: str

    @property
    def headers(self) -> Path:
        """Seen from inside."""
        return Path("/lib/modules") / self.release / "build"

    @property
    def is_host(self) -> bool:
        return self.root == Path("/")

    @property
    def work(self) -> Path:
        """A folder for builds inside this environment, seen from outside."""
        return self.root / ("var/tmp" if self.is_host else "build")

    def inside(self, path: Path) -> Path:
        """The same path as programs inside see it."""
        return path if self.is_host else Path("/") / path.relative_to(self.root)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a program inside.  Never raises for its exit code."""
        prefix = [] if self.is_host else chroot.enter(self.root)
        environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/"}
        return subprocess.run(
            [*prefix, *command], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


def chroot_environment(suite: Suite, progress: chroot.Progress) -> Environment:
    """The build environment of a suite, made first if it is missing (about a minute, 2 GB)."""
    root = chroot.ensure(suite, progress)
    releases = sorted(path.name for path in (root / "lib/modules").iterdir() if (path / "build").is_symlink())
    if not releases:
        raise MachineError(f"the build environment of {suite.name} has no kernel headers", f"Remove {root} and retry.")
    return Environment(root, releases[-1])


def host_environment() -> Environment:
    """This machine, for the kernel it runs.  Raises MachineError naming the packages that are missing."""
    release = platform.release()
    missing = [package for tool, package in _TOOLS.items() if not shutil.which(tool)]
    if not Path(f"/lib/modules/{release}/build/Makefile").exists():
        missing.append(f"linux-headers-{release}")
    if missing:
        raise MachineError(
            f"a module for this machine's kernel cannot be built without {', '.join(missing)}",
            f"sudo apt install {' '.join(missing)}",
        )
    return Environment(Path("/"), release)
