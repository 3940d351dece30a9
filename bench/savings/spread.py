"""Repeated measurements, shown as their middle and what they lie between."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of some values, the lowest and the highest of them, and how many there were."""

    median: float
    lowest: float
    highest: float
    count: int

    def text(self, digits: int = 0) -> str:
        return f"{self.median:,.{digits}f} ({self.lowest:,.{digits}f}..{self.highest:,.{digits}f})"


def spread(values: list[float]) -> Spread | None:
    """None of no values."""
    return Spread(statistics.median(values), min(values), max(values), len(values)) if values else None


def text(values: list[float], digits: int = 0) -> str:
    """For a table's cell; a dash if there is nothing."""
    found = spread(values)
    return found.text(digits) if found else "-"
