"""Where the lab keeps what it builds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_dir() -> Path:
    """The lab's cache: $WGPROF_CACHE, else $XDG_CACHE_HOME/wgprof/lab, else ~/.cache/wgprof/lab."""
    own = os.environ.get("WGPROF_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).absolute() / "wgprof" / "lab"


def lab_lock_path() -> Path:
    """The lock of the whole machine: labs of different users compete for the same cores."""
    shared = Path("/run/lock")
    directory = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    return directory / "wgprof-lab.lock"


def guest_dir() -> Path:
    """The folder of scripts that run inside the lab's machine."""
    return Path(__file__).resolve().parent / "guest"
