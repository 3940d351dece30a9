"""Where the files that are not Python live: in the wheel beside the package, in a checkout at the top."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """The folder `probes`, `kmod` or `reports`.  Raises FileNotFoundError in a broken installation."""
    for candidate in (_PACKAGE / "_resources" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"this installation of wgprof lacks its folder {name!r}")
