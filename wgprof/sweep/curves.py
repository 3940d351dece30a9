"""Scaling curves of a sweep: throughput over tunnels or CPUs, all else equal, and the laws that fit them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from wgprof.errors import UsageError
from wgprof.model.fits import Fit, fit
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.figures import Row

Axis = Literal["tunnels", "cpus"]
AXES: tuple[Axis, ...] = ("tunnels", "cpus")
LAWS = ("amdahl", "usl")


@dataclass(frozen=True)
class Curve:
    """Configurations that differ along one axis alone, with recordings, in its order."""

    axis: Axis
    rows: tuple[Row, ...]

    @property
    def configuration(self) -> Configuration:
        """One of them: what all have in common is in it."""
        return self.rows[0].configuration

    @property
    def points(self) -> list[tuple[float, float]]:
        """Number of tunnels or CPUs, and goodput in Mbit/s: each repeat is a point."""
        return [(float(_at(row, self.axis)), run.goodput_mbit_s) for row in self.rows for run in row.runs]


@dataclass(frozen=True)
class Fitted:
    """A law fitted to a curve's repeats."""

    curve: Curve
    fit: Fit


def curves_of(rows: Sequence[Row]) -> Iterator[Curve]:
    """Every curve with at least two points."""
    known = [row for row in rows if row.runs]
    for axis in AXES:
        groups: dict[Configuration, list[Row]] = {}
        for row in known:
            c = row.configuration
            rest = replace(c, tunnels=0) if axis == "tunnels" else replace(c, cpus=0)
            groups.setdefault(rest, []).append(row)
        for group in groups.values():
            if len(group) > 1:
                yield Curve(axis, tuple(sorted(group, key=lambda row: _at(row, axis))))


def fits_of(curves: Sequence[Curve]) -> list[Fitted]:
    """Amdahl's and Gunther's laws, where a curve has enough points for them."""
    found = []
    for curve in curves:
        numbers, goodput = zip(*curve.points, strict=True)
        for law in LAWS:
            try:
                found.append(Fitted(curve, fit(law, numbers, goodput)))
            except (UsageError, RuntimeError):
                continue  # too few different numbers, nothing flowed, or no parameters that fit
    return found


def _at(row: Row, axis: Axis) -> int:
    return row.configuration.tunnels if axis == "tunnels" else row.configuration.cpus
