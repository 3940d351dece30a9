"""Figures as people read them: always with a unit, never with more digits than they deserve."""

from __future__ import annotations

import math

_NOTHING = "–"


def digits(value: float, significant: int = 3) -> str:
    """`value` with about `significant` digits and thousands separated: 1,234 / 12.3 / 0.0123."""
    if not math.isfinite(value):
        return _NOTHING
    if value == 0:
        return "0"
    decimals = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def duration(ns: float | None) -> str:
    """Nanoseconds as ns, us, ms or s."""
    if ns is None or not math.isfinite(ns):
        return _NOTHING
    for limit, divisor, unit in ((1e3, 1.0, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if abs(ns) < limit:
            return f"{digits(ns / divisor)} {unit}"
    return f"{digits(ns / 1e9)} s"


def rate(pps: float | None) -> str:
    """Packets per second."""
    return _NOTHING if pps is None else f"{digits(pps, 4)} packets/s"


def bits(mbit_s: float | None) -> str:
    """Mbit/s, or Gbit/s from 10,000."""
    if mbit_s is None or not math.isfinite(mbit_s):
        return _NOTHING
    if mbit_s >= 10_000:
        return f"{digits(mbit_s / 1000)} Gbit/s"
    return f"{digits(mbit_s)} Mbit/s"


def share(value: float | None) -> str:
    """A fraction as a percentage."""
    if value is None or not math.isfinite(value):
        return _NOTHING
    return f"{value * 100:.1f} %" if abs(value) < 0.0995 else f"{value * 100:.0f} %"


def cores(ce: float | None) -> str:
    """Cores-equivalent: CPU seconds per second."""
    return _NOTHING if ce is None else f"{ce:.2f} CE"


def count(value: float | None) -> str:
    """A number of things."""
    return _NOTHING if value is None else f"{value:,.0f}"


def size(octets: int) -> str:
    """Bytes as B, kB or MB."""
    if octets < 1000:
        return f"{octets} B"
    if octets < 1_000_000:
        return f"{octets / 1000:.1f} kB"
    return f"{octets / 1_000_000:.1f} MB"


def quantity(value: float | None, unit: str) -> str:
    """A value in its unit, as people read it."""
    if value is None:
        return "not known"
    match unit:
        case "share":
            return share(value)
        case "CE":
            return f"{value:.3f} CE" if abs(value) < 0.1 else cores(value)
        case "ns":
            return duration(value)
        case "s":
            return f"{digits(value)} s"
        case "packets/s":
            return rate(value)
        case "Mbit/s":
            return bits(value)
        case "ratio":
            return f"×{digits(value)}"
        case "1/s":
            return f"{digits(value)} a second"
        case "count":
            return digits(value)
        case _:
            return f"{digits(value)} {unit}"
