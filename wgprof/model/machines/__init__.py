"""Machine descriptions that come with wgprof."""

from __future__ import annotations

from pathlib import Path

#: Public costs, and the gateway of the published experiments (docs/predict.md).
SHIPPED = ("xeon-e5-2660v3", "papers-gateway")


def shipped(name: str) -> Path:
    """The file of a description that comes with wgprof."""
    return Path(__file__).parent / f"{name}.toml"
