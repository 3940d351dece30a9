"""The lab's images: a stock distribution kernel and its userland on a disk, built once, checked before use."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab import build
from wgprof.lab.fingerprint import Fingerprint
from wgprof.lab.lock import hold
from wgprof.lab.paths import cache_dir
from wgprof.lab.recipe import DEFAULT_KERNEL, RECIPES, Recipe, recipe_for

#: Called with what is being done and how much of the whole is done (0 to 1).
Progress = Callable[[str, float], None]

#: A second process waits for the first one's build.
BUILD_WAIT_S = 900.0
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class LabImage:
    """What it takes to boot: kernel, initial RAM disk (its image-specific part) and disk."""

    kernel: str  # the series it was asked for by
    release: str  # uname -r
    directory: Path

    @property
    def vmlinuz(self) -> Path:
        return self.directory / build.VMLINUZ

    @property
    def initrd(self) -> Path:
        return self.directory / build.INITRD

    @property
    def disk(self) -> Path:
        return self.directory / build.DISK


@dataclass(frozen=True)
class ImageState:
    """A line of `wgprof lab list`."""

    kernel: str
    suite: str
    state: str  # "ready", "damaged: ...", "not built", "half built"
    release: str = ""
    size_bytes: int = 0  # on the disk, holes not counted


def image_dir(recipe: Recipe) -> Path:
    return cache_dir() / f"{recipe.kernel}-{recipe.key()}"


def ensure_image(kernel: str = DEFAULT_KERNEL, *, progress: Progress, rebuild: bool = False) -> LabImage:
    """The image of a kernel series, built first if it is missing or damaged.

    Raises UsageError for an unknown series, MachineError (with a remedy) when it cannot be built
    here.  Only one process builds; others wait.
    """
    recipe = recipe_for(kernel)
    if not rebuild:
        image = _usable(recipe, progress)
        if image:
            return image
    _require_build_host()
    directory = image_dir(recipe)
    lock = cache_dir() / f"{recipe.kernel}.lock"
    with hold(lock, f"the lab image {kernel}", BUILD_WAIT_S, lambda line: progress(line, 0.0)):
        image = None if rebuild else _usable(recipe, progress)  # another process may have built it meanwhile
        if image:
            return image
        started = time.monotonic()
        work = directory.with_name(directory.name + ".work")
        release = build.build(recipe, work, progress)
        _write_manifest(work / build.OUT, recipe, release)
        _replace(work / build.OUT, directory)
        shutil.rmtree(work, ignore_errors=True)
        _remove_older(directory, recipe)
        progress(f"lab image {kernel} ready after {time.monotonic() - started:.0f} s", 1.0)
    return LabImage(kernel, release, directory)


def list_images() -> list[ImageState]:
    """All images the lab knows, whatever their state."""
    return [_state(recipe) for recipe in RECIPES.values()]


def check_image(directory: Path, manifest: dict[str, object]) -> str:
    """Empty if the files are what the manifest says, else the first difference.  Costs well under a second."""
    files = manifest.get("files")
    if not isinstance(files, dict) or not {build.VMLINUZ, build.INITRD, build.DISK} <= files.keys():
        return f"{MANIFEST} lacks its list of files"
    for name, values in files.items():
        try:
            difference = Fingerprint.from_json(values).difference(directory / name)
        except (OSError, TypeError) as error:
            return f"{name}: {error}"
        if difference:
            return f"{name}: {difference}"
    return ""


def _usable(recipe: Recipe, progress: Progress) -> LabImage | None:
    directory = image_dir(recipe)
    manifest = _read_manifest(directory)
    if manifest is None:
        return None
    difference = check_image(directory, manifest)
    if difference:
        progress(f"lab image {recipe.kernel} is damaged ({difference}); building it again", 0.0)
        return None
    return LabImage(recipe.kernel, str(manifest.get("release")), directory)


def _read_manifest(directory: Path) -> dict[str, object] | None:
    try:
        value = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _write_manifest(directory: Path, recipe: Recipe, release: str) -> None:
    files = {name: asdict(Fingerprint.of(directory / name)) for name in (build.VMLINUZ, build.INITRD, build.DISK)}
    manifest = {
        "recipe": asdict(recipe),
        "release": release,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": files,
    }
    path = directory / MANIFEST
    with path.open("w") as stream:
        json.dump(manifest, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def _replace(finished: Path, directory: Path) -> None:
    if directory.exists():
        old = directory.with_name(directory.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        directory.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    finished.rename(directory)


def _remove_older(directory: Path, recipe: Recipe) -> None:
    """Images of the same kernel by older recipes are of no use to anybody."""
    for other in directory.parent.glob(f"{recipe.kernel}-*"):
        if other != directory:
            shutil.rmtree(other, ignore_errors=True)


def _state(recipe: Recipe) -> ImageState:
    directory = image_dir(recipe)
    manifest = _read_manifest(directory)
    if manifest is None:
        half = directory.with_name(directory.name + ".work").exists()
        return ImageState(recipe.kernel, recipe.suite, "half built" if half else "not built")
    difference = check_image(directory, manifest)
    size = sum(path.stat().st_blocks * 512 for path in directory.iterdir())
    state = f"damaged: {difference}" if difference else "ready"
    return ImageState(recipe.kernel, recipe.suite, state, str(manifest.get("release")), size)


def _require_build_host() -> None:
    if platform.machine() != "x86_64":
        raise MachineError(f"the lab needs an x86-64 machine, this one is {platform.machine()}")
    needed = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "tar": "tar"}
    missing = [package for tool, package in needed.items() if not find_tool(tool)]
    if missing:
        raise MachineError(
            f"the lab's image cannot be built without {', '.join(missing)}",
            f"Install it with: sudo apt install {' '.join(missing)} debian-archive-keyring",
        )


def find_tool(name: str) -> str | None:
    """Where a program is; administrators' folders are searched for ordinary users, too."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")
