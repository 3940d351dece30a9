"""Goodput over the crypto dial, with CPUs that run in parallel (two, on a host that has two cores)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.load import Load, run_watched
from bench.savings.place import INLINE, VANILLA, Dial, Place, Way

SHARES = (0.1, 0.3, 0.6)
TUNNELS = (1, 2, 4)
_STREAMS = Load("tcp", ramp_s=1.0)
#: The dial at one step, to find what a packet costs without crypto.
_NOTHING = Dial(steps=1)


@dataclass(frozen=True)
class Point:
    """One measurement.  `share` is what the dial was asked for, 0 with the real cipher."""

    repeat: int
    share: float
    steps: int
    tunnels: int
    way: str
    goodput_bps: float
    busy_ce: tuple[float, ...]
    host_ce: float  # what the host gave the guest's CPUs; less than busy_ce if others wanted it
    us_per_packet: float  # host CPU time
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
    """Find a packet's cost without crypto, then how many steps make crypto the wanted share of the whole.

    The last setting is the real cipher.
    """
    place.use(VANILLA.module, _NOTHING)
    report, host_ce = run_watched(place.machine, replace(_STREAMS, seconds=seconds + _STREAMS.ramp_s))
    rest_ns = round(host_ce * report.elapsed_ns / report.arrived / 2)
    settings = []
    for share in SHARES:
        place.use(VANILLA.module, Dial(steps=0, permille=round(share * 1000), rest_ns=rest_ns))
        crypto_us = place.parameter("crypto_ns") / 1000
        settings.append(Setting(share, place.parameter("crypto_steps"), crypto_us))
    return [*settings, Setting(0.0, 0, 0.0)]


def measure(place: Place, repeat: int, setting: Setting, seconds: float, keep: Callable[[Point], None]) -> None:
    """One setting on vanilla and inline, in an order that alternates from repeat to repeat."""
    for way in (VANILLA, INLINE) if repeat % 2 else (INLINE, VANILLA):
        place.use(way.module, Dial(setting.steps, round(setting.share * 1000)) if setting.share else None)
        place.switch(way)
        for tunnels in TUNNELS:
            keep(_point(place, repeat, setting, way, tunnels, seconds))


def _point(place: Place, repeat: int, setting: Setting, way: Way, tunnels: int, seconds: float) -> Point:
    load = replace(_STREAMS, tunnels=tunnels, seconds=seconds + _STREAMS.ramp_s)
    report, host_ce = run_watched(place.machine, load)
    return Point(
        repeat,
        setting.share,
        setting.steps,
        tunnels,
        way.name,
        report.goodput_bps,
        report.busy_ce,
        host_ce,
        host_ce * report.elapsed_ns / report.arrived / 1e3 if report.arrived else 0.0,
        os.getloadavg()[0],
    )
