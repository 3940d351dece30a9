"""Goodput over the crypto dial, with CPUs that run in parallel (two, on a host that has two cores)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.load import Load, run_load
from bench.savings.place import INLINE, VANILLA, Dial, Place, Way

SHARES = (0.1, 0.3, 0.6)
TUNNELS = (1, 2, 4)
_STREAMS = Load("tcp", ramp_s=1.0)
#: The dial at one step, to find what a packet costs without crypto.
_NOTHING = Dial(steps=1)


@dataclass(frozen=True)
class Point:
    """One measurement.  `share` is what the dial was asked for, 0 with the real cipher."""

    boot: int
    share: float
    steps: int
    tunnels: int
    way: str
    goodput_bps: float
    busy_ce: tuple[float, ...]
    us_per_packet: float  # busy time of all CPUs
    load_average: float  # of the host, over the last minute

    @property
    def ce(self) -> float:
        return sum(self.busy_ce)


@dataclass(frozen=True)
class Setting:
    """The work that stands for a share; the same for all modules and boots."""

    share: float
    steps: int
    crypto_us: float  # of one end, by the module's calibration


def calibrate(place: Place, seconds: float) -> list[Setting]:
    """Find a packet's cost without crypto, then how many steps make crypto the wanted share of the whole."""
    place.use(VANILLA.module, _NOTHING)
    report = run_load(place.machine, replace(_STREAMS, seconds=seconds + _STREAMS.ramp_s))
    rest_ns = round(sum(report.busy_ce) * report.elapsed_ns / report.arrived / 2)
    settings = []
    for share in SHARES:
        place.use(VANILLA.module, Dial(steps=0, permille=round(share * 1000), rest_ns=rest_ns))
        crypto_us = place.parameter("crypto_ns") / 1000
        settings.append(Setting(share, place.parameter("crypto_steps"), crypto_us))
    return settings


def measure(place: Place, boot: int, settings: list[Setting], seconds: float, keep: Callable[[Point], None]) -> None:
    """All points once: vanilla and inline of a share next to each other, in an order that alternates."""
    ways = (VANILLA, INLINE) if boot % 2 else (INLINE, VANILLA)
    for setting in (*settings, Setting(0.0, 0, 0.0)):
        for way in ways:
            place.use(way.module, Dial(setting.steps, round(setting.share * 1000)) if setting.share else None)
            place.switch(way)
            for tunnels in TUNNELS:
                keep(_point(place, boot, setting, way, tunnels, seconds))


def _point(place: Place, boot: int, setting: Setting, way: Way, tunnels: int, seconds: float) -> Point:
    report = run_load(place.machine, replace(_STREAMS, tunnels=tunnels, seconds=seconds + _STREAMS.ramp_s))
    busy_ns = sum(report.busy_ce) * report.elapsed_ns
    return Point(
        boot,
        setting.share,
        setting.steps,
        tunnels,
        way.name,
        report.goodput_bps,
        report.busy_ce,
        busy_ns / report.arrived / 1e3 if report.arrived else 0.0,
        os.getloadavg()[0],
    )
