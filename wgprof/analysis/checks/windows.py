"""Is the window fit to be averaged: did traffic flow, steadily?"""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.checks.check import FAIL, OK, UNKNOWN, Check
from wgprof.analysis.warmth import Warmth
from wgprof.analysis.window import Window

#: Shares of the window: up to the first its averages stand, above the second they are rejected.
_IDLE = (0.1, 0.5)
_COLD = (0.25, 0.5)
#: What averages over an unsteady window say little about.
_TAINTS = ("rates", "utilisation", "caps", "waits", "depths")


def window_checks(warmth: Warmth, window: Window) -> list[Check]:
    """Bytes that moved, the idle and the cold share of the window."""
    if warmth.moved_bytes is None:
        detail = "the interfaces' byte counters are not known"
        return [Check("window", "traffic", None, None, "bytes", UNKNOWN, detail, _TAINTS)]
    if not warmth.moved_bytes:
        detail = "packets passed the stages, but the interfaces' byte counters did not move"
        return [Check("window", "traffic", 0, None, "bytes", FAIL, detail, _TAINTS)]
    rows = [
        Check("window", "traffic", warmth.moved_bytes, None, "bytes", OK, f"{units.size(warmth.moved_bytes)} moved")
    ]
    idle = f"no byte moved in {units.share(warmth.idle)} of it"
    rows.append(Check("window", "idle", warmth.idle, _IDLE[0], "share", _verdict(warmth.idle, _IDLE), idle, _TAINTS))
    events = [f"traffic began at {_at(at, window)}" for at in warmth.starts_ns[:3]]
    events += [f"new sessions at {_at(at, window)}" for at in warmth.handshakes_ns[:3]]
    more = len(warmth.starts_ns) + len(warmth.handshakes_ns) - len(events)
    cold = f"{units.share(warmth.cold)} of it within a second of a start or a handshake: {', '.join(events)}"
    cold += f" and {more} more" if more else ""
    rows.append(Check("window", "cold", warmth.cold, _COLD[0], "share", _verdict(warmth.cold, _COLD), cold, _TAINTS))
    return rows


def idle_checks(moved_bytes: int | None) -> list[Check]:
    """Of a recording in which no packet passed a stage: did the interfaces see none either?"""
    if moved_bytes:
        detail = f"the interfaces moved {units.size(moved_bytes)}, of which no stage saw a packet"
        return [Check("window", "traffic", moved_bytes, 0, "bytes", FAIL, detail, ("packets", *_TAINTS))]
    detail = "no packet passed: there is nothing to average" + (" and no byte moved" if moved_bytes == 0 else "")
    return [Check("window", "traffic", moved_bytes, 0, "bytes", UNKNOWN, detail, _TAINTS)]


def _verdict(share: float, bounds: tuple[float, float]) -> str:
    return OK if share <= bounds[0] else UNKNOWN if share <= bounds[1] else FAIL


def _at(moment_ns: int, window: Window) -> str:
    return f"{max(moment_ns - window.recorded_start_ns, 0) / 1e9:.1f} s"
