"""Where module builds are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """$WGPROF_CACHE/kmod, else $XDG_CACHE_HOME/wgprof/kmod, else ~/.cache/wgprof/kmod."""
    own = os.environ.get("WGPROF_CACHE")
    if own:
        return Path(own).absolute() / "kmod"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).absolute() / "wgprof" / "kmod"


def chroot_dir(suite: str) -> Path:
    """The build environment of a distribution's suite."""
    return cache_dir() / "chroots" / suite


def modules_dir(release: str) -> Path:
    """All that was built for a kernel."""
    return cache_dir() / "modules" / release


def module_dir(release: str, variant: str, patch_hash: str, source: str = "") -> Path:
    """A finished module (wireguard.ko) and what is known about it (build.json).

    Each state of our rules has its own, so that nobody's module changes while a machine is about to load it;
    so has each folder (`source`) that WireGuard's files were taken from instead of the package.
    """
    name = f"{variant}-{patch_hash}" + (f"-of-{source}" if source else "")
    return modules_dir(release) / name
