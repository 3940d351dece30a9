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


def module_dir(release: str, name: str) -> Path:
    """A finished module (wireguard.ko) and what is known about it (build.json)."""
    return cache_dir() / "modules" / release / name
