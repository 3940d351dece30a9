"""wgprof's wheel and those it depends on, for the Python of a lab machine, which has no network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from wgprof.lab.paths import cache_dir

ROOT = Path(__file__).resolve().parents[2]
#: The Python of the default kernel's distribution (Debian trixie).
GUEST_PYTHON = "3.13"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")


class WheelsMissing(Exception):
    """Wheels could not be built or downloaded; the text says why."""


def wheel_folder(target: Path) -> Path:
    """Fills the folder `target` with this checkout's wheel, its dependencies and pip.  Raises WheelsMissing."""
    shutil.copytree(_dependencies(), target)
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)])
    return target


def _dependencies() -> Path:
    """The dependencies' wheels, downloaded once into the lab's cache."""
    wanted = [*tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"], "pip"]
    locked = ROOT / "requirements-dev.txt"
    key = hashlib.sha256("\n".join([GUEST_PYTHON, *wanted, locked.read_text()]).encode()).hexdigest()[:16]
    folder = cache_dir() / f"wheels-{key}"
    if folder.is_dir():
        return folder
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(part)]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={GUEST_PYTHON}"]
    command += [f"--platform={platform}" for platform in _PLATFORMS]
    _run([*command, "--constraint", str(locked), *wanted])
    for older in folder.parent.glob("wheels-*"):
        if older != part:
            shutil.rmtree(older)
    part.rename(folder)
    return folder


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WheelsMissing(f"`{' '.join(command[1:4])}` failed: {(done.stderr or done.stdout).strip()[-500:]}")
