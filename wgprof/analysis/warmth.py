"""Which part of the window is fit to be averaged: not idle, not just started, not just after a handshake.

Traffic that has just begun meets cold caches, empty queues and a TCP that still probes for its rate, and
a handshake makes packets wait for a session.  Averages over such a window describe the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.journeys import Journeys
from wgprof.analysis.names import Names
from wgprof.analysis.tables import BoolArray, IntArray, ints
from wgprof.analysis.window import Window

#: After a start, or a handshake, traffic is cold for so long.
COLD_NS = 1_000_000_000
#: Traffic that pauses for so long starts anew.
PAUSE_NS = 1_000_000_000


@dataclass(frozen=True)
class Warmth:
    """Shares are of the window; times are the recording's clock."""

    moved_bytes: int | None  # by the interfaces' own counters; None if there are none
    idle: float  # share in which no byte moved
    cold: float  # share within COLD_NS of a start or a handshake
    starts_ns: tuple[int, ...]
    handshakes_ns: tuple[int, ...]  # new sessions of peers that had one before
    warm: tuple[tuple[int, int], ...]  # the rest: from, to


def warmth(
    intervals: pd.DataFrame, interfaces: pd.DataFrame, journeys: Journeys, names: Names, window: Window
) -> Warmth:
    """Judge a window by the byte counters of the WireGuard interfaces and by the sessions of the journeys."""
    t_ns, dt_ns = ints(intervals, "t_ns"), ints(intervals, "dt_ns")
    order = np.argsort(t_ns)
    t_ns, dt_ns = t_ns[order], dt_ns[order]
    inside = (t_ns >= window.start_ns) & (t_ns < window.end_ns)
    t_ns, dt_ns = t_ns[inside], dt_ns[inside]
    moved = _moved(t_ns, interfaces, names)
    total_ns = int(dt_ns.sum())
    if moved is None or not total_ns:
        return Warmth(None if moved is None else int(moved.sum()), 0.0, 0.0, (), (), ())
    active = moved > 0
    starts, handshakes = _starts(t_ns, dt_ns, active), _handshakes(journeys, window)
    cold = np.zeros(t_ns.size, dtype=bool)
    for moment in (*starts, *handshakes):
        cold |= (t_ns + dt_ns > moment) & (t_ns < moment + COLD_NS)
    return Warmth(
        int(moved.sum()),
        float(dt_ns[~active].sum() / total_ns),
        float(dt_ns[cold].sum() / total_ns),
        starts,
        handshakes,
        _spans(t_ns, dt_ns, active & ~cold),
    )


def _moved(t_ns: IntArray, interfaces: pd.DataFrame, names: Names) -> IntArray | None:
    """Bytes in and out of the WireGuard interfaces in each interval; None if their counters are not there."""
    ours = {(device.netns, device.name) for device in names.devices()}
    keys = zip(ints(interfaces, "netns").tolist(), map(str, interfaces["name"]), strict=True)
    mine = interfaces[np.fromiter((key in ours for key in keys), dtype=bool, count=len(interfaces))]
    if not len(mine):
        return None
    moved = np.zeros(t_ns.size, dtype=np.int64)
    at = np.searchsorted(t_ns, ints(mine, "t_ns"))
    known = (at < t_ns.size) & (t_ns[np.minimum(at, max(t_ns.size - 1, 0))] == ints(mine, "t_ns"))
    np.add.at(moved, at[known], (ints(mine, "rx_bytes") + ints(mine, "tx_bytes"))[known])
    return moved


def _starts(t_ns: IntArray, dt_ns: IntArray, active: BoolArray) -> tuple[int, ...]:
    """When traffic began, and when it began again after a pause."""
    at = np.flatnonzero(active)
    if not at.size:
        return ()
    pause_ns = t_ns[at[1:]] - (t_ns + dt_ns)[at[:-1]]
    again = at[1:][pause_ns >= PAUSE_NS]
    return (int(t_ns[at[0]]), *(int(t_ns[number]) for number in again))


def _handshakes(journeys: Journeys, window: Window) -> tuple[int, ...]:
    """When the first packet of a later session of a peer was seen; both directions' together, within COLD_NS."""
    if not len(journeys):
        return ()
    first = np.where(journeys.seen, journeys.end_ns, np.iinfo(np.int64).max).min(axis=0)
    frame = pd.DataFrame({"way": journeys.direction, "peer": journeys.object, "key": journeys.key_index, "at": first})
    sessions = frame.groupby(["way", "peer", "key"])["at"].min().sort_values()
    later = sessions[sessions.groupby(level=["way", "peer"]).cumcount() > 0]
    found: list[int] = []
    for moment in (int(at) for at in later):
        if window.start_ns <= moment < window.end_ns and (not found or moment - found[-1] > COLD_NS):
            found.append(moment)
    return tuple(found)


def _spans(t_ns: IntArray, dt_ns: IntArray, keep: BoolArray) -> tuple[tuple[int, int], ...]:
    """Runs of kept intervals."""
    spans: list[tuple[int, int]] = []
    for begin, end in zip(t_ns[keep].tolist(), (t_ns + dt_ns)[keep].tolist(), strict=True):
        if spans and spans[-1][1] == begin:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
    return tuple(spans)
