"""WireGuard's source, taken from the distribution's linux-source package or from a folder."""

from __future__ import annotations

import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import MachineError, UsageError
from wgprof.kmod.environment import Environment

_INSIDE = "drivers/net/wireguard"
_SELFTEST = "tools/testing/selftests/wireguard/netns.sh"


@dataclass(frozen=True)
class Source:
    """A folder with WireGuard's files, and the version of what they were taken from."""

    folder: Path
    version: str


def find_tarball(environment: Environment) -> Path:
    """The linux-source tarball that fits the environment's kernel.  Raises MachineError."""
    match = re.match(r"\d+\.\d+", environment.release)
    series = match[0] if match else environment.release
    tarball = environment.root / f"usr/src/linux-source-{series}.tar.xz"
    if not tarball.exists():
        raise MachineError(
            f"the source of kernel {series} is not installed",
            f"sudo apt install linux-source-{series}, or name a folder with --source.",
        )
    return tarball


def package_version(environment: Environment, tarball: Path) -> str:
    """The Debian version of the package the tarball is from, or "unknown"."""
    result = environment.run(["dpkg-query", "-W", "-f", "${Version}", tarball.name.removesuffix(".tar.xz")])
    return result.stdout.strip() if result.returncode == 0 and result.stdout.strip() else "unknown"


def take_source(environment: Environment, destination: Path, folder: Path | None = None) -> Source:
    """Put WireGuard's source into `destination`; from `folder`, if given (a kernel tree or drivers/net/wireguard)."""
    shutil.rmtree(destination, ignore_errors=True)
    if folder is not None:
        tree = folder / _INSIDE if (folder / _INSIDE).is_dir() else folder
        if not (tree / "device.c").is_file():
            raise UsageError(f"{folder} holds no WireGuard source", f"It needs {_INSIDE}, or the files of that folder.")
        shutil.copytree(tree, destination)
        return Source(destination, f"folder {folder.name}")
    tarball = find_tarball(environment)
    destination.mkdir(parents=True)
    _extract(tarball, _INSIDE, destination)
    return Source(destination, package_version(environment, tarball))


def take_selftest(environment: Environment, destination: Path) -> Path:
    """The kernel's own test of WireGuard, unmodified, from the same source package."""
    destination.mkdir(parents=True, exist_ok=True)
    _extract(find_tarball(environment), _SELFTEST, destination)
    return destination / "netns.sh"


def _extract(tarball: Path, inside: str, destination: Path) -> None:
    """The file `inside`, or the files below it, flat prefix removed.  Stops reading once they are behind it."""
    found = False
    with tarfile.open(tarball, "r|xz") as archive:
        for member in archive:
            path = member.name.split("/", 1)[-1]
            if path == inside:
                relative = path.rsplit("/", 1)[-1]
            elif path.startswith(inside + "/"):
                relative = path.removeprefix(inside + "/")
            elif found:
                return
            else:
                continue
            found = True
            if member.isfile():
                target = destination / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                stream = archive.extractfile(member)
                assert stream is not None
                target.write_bytes(stream.read())
                target.chmod(member.mode & 0o777)
    if not found:
        raise MachineError(f"{tarball.name} does not contain {inside}")
