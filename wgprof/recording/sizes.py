"""Sizes of files, in words."""

from __future__ import annotations


def human_size(size: int) -> str:
    """Bytes with a decimal unit: `human_size(1_234_567) == "1.2 MB"`."""
    if size < 1000:
        return f"{size} bytes"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"
