"""What the polls of each peer's NAPI did: how much, how often for nothing, on which CPUs, and when not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.estimate import Estimate, share
from wgprof.analysis.mechanics import Mechanics
from wgprof.analysis.names import Names
from wgprof.analysis.spans import Spans
from wgprof.analysis.tables import LIMITS, FloatArray, ints, only, total

#: A NAPI with less than this share of all delivered packets of a span is not active in it.
_ACTIVE_SHARE = 0.01
#: A queue this full is at its limit: the clock's looks are averaged over an interval.
FULL_SHARE = 0.95


@dataclass(frozen=True)
class Napi:
    """One peer's NAPI in the window."""

    object: int
    label: str
    threaded: int  # 1, 0, or -1 unknown
    polls: int
    empty: int  # polls that delivered nothing
    packets: int
    own_ns: float  # CPU time of its polls without the delivery of packets, empty ones included
    empty_ns: float
    deliver_ns: float
    packets_of: FloatArray  # by span
    own_of: FloatArray  # own_ns by span
    busy_on: Mapping[int, FloatArray]  # CPU -> busy time by span, delivery included

    @property
    def productive(self) -> int:
        """Polls that delivered something."""
        return self.polls - self.empty

    @property
    def packets_per_poll(self) -> float | None:
        """Packets a productive poll delivered."""
        return self.packets / self.productive if self.productive else None


@dataclass(frozen=True)
class Head:
    """What one peer's NAPI stood before: packets at the head of its queue that were not decrypted.

    Counted for all packets, where journeys are sampled.
    """

    object: int
    label: str
    stood: Estimate  # share of the time
    episodes: int
    mean_ns: float  # of an episode
    residual_ns: float  # how much longer it stands there, at a random moment at which it does
    not_ready: float  # part of the time it stood until the head was decrypted; the rest is until its poll
    timed: bool  # whether that was measured (--detail); else the rest is as long as its polls are late on average
    in_vain: int  # polls that delivered nothing there: a packet behind the head had asked for each
    delivered: int  # packets
    decrypt_ns: float  # length of a decryption, with what ran on top of it

    @property
    def held_ns(self) -> float:
        """An estimate of how long a packet that is ready meanwhile is held: as if it were so at a random moment."""
        return self.residual_ns * self.not_ready


@dataclass(frozen=True)
class Stall:
    """A full receive queue that nobody polled while other NAPIs ran."""

    object: int
    seconds: float  # the longest run of intervals of it
    intervals: int


def naps(executions: pd.DataFrame, stages: pd.DataFrame, names: Names, spans: Spans) -> tuple[Napi, ...]:
    """Every NAPI that polled, in the order of the peers' numbers."""
    polls, delivered = only(executions, server="rx.napi"), only(stages, stage="rx.deliver")
    empty_of_all = np.zeros(len(spans))
    packets = spans.by(delivered, "object", "packets")
    own = spans.by(polls, "object", "busy_ns")
    service_of = spans.by(delivered, "object", "service_ns")
    found = []
    for number, rows in polls.groupby("object", observed=True):
        peer = int(str(number))
        busy_on = spans.by(rows, "cpu", "busy_ns")
        for cpu, values in spans.by(only(delivered, object=peer), "cpu", "service_ns").items():
            busy_on[cpu] = busy_on.get(cpu, 0.0) + values
        thing = names.things.get(peer)
        found.append(
            Napi(
                peer,
                names.label(peer),
                thing.threaded if thing else -1,
                total(rows, "executions"),
                total(rows, "empty"),
                int(packets.get(peer, empty_of_all).sum()),
                float(own.get(peer, empty_of_all).sum()),
                float(total(rows, "empty_ns")),
                float(service_of.get(peer, empty_of_all).sum()),
                packets.get(peer, empty_of_all),
                own.get(peer, empty_of_all),
                busy_on,
            )
        )
    return tuple(found)


def heads(
    found: pd.DataFrame,
    executions: pd.DataFrame,
    stages: pd.DataFrame,
    mechanics: Mechanics,
    names: Names,
    spans: Spans,
) -> tuple[Head, ...] | None:
    """Every NAPI that ever stood before such a head; None where that was not measured."""
    if not {"heads", "polls"} <= mechanics.measured:
        return None
    in_vain = {row.object: row.head_not_ready for row in mechanics.polls if row.server == "rx.napi"}
    shares = {
        peer: share(blocked_ns, spans.seconds * 1e9)
        for peer, blocked_ns in spans.by(only(found, server="rx.napi"), "object", "blocked_ns").items()
    }
    rows = []
    for row in mechanics.heads:
        stood = shares.get(row.object) if row.object is not None else None
        if row.server != "rx.napi" or row.object is None or stood is None or not row.residual_ns or not row.mean_ns:
            continue
        polls, decrypted = only(executions, server="rx.napi", object=row.object), only(stages, object=row.object)
        delivered, decrypted = only(decrypted, stage="rx.deliver"), only(decrypted, stage="rx.decrypt")
        delay_ns = total(polls, "delay_ns") / max(total(polls, "delayed"), 1)
        late = row.ready_share if row.ready_share is not None else min(delay_ns / row.mean_ns, 1.0)
        length_ns = total(decrypted, "service_ns") + total(decrypted, "nested_ns")
        rows.append(
            Head(
                row.object,
                names.label(row.object),
                stood,
                row.episodes,
                row.mean_ns,
                row.residual_ns,
                1 - late,
                row.ready_share is not None,
                in_vain.get(row.object, 0),
                total(delivered, "packets"),
                length_ns / max(total(decrypted, "calls"), 1),
            )
        )
    return tuple(rows)


@dataclass(frozen=True)
class Spread:
    """Over how many CPUs the polls of the active NAPIs went, one element a span.

    `effective` is the inverse Simpson index (Simpson 1949) of busy time by CPU: 1 when one CPU did it all, k when k
    did the same.
    """

    active: FloatArray
    effective: FloatArray
    hottest: FloatArray  # the CPU with most of it; -1 in spans without polls


def spread(found: tuple[Napi, ...], spans: int) -> Spread:
    """How far the polls spread, span by span."""
    delivered = np.sum([napi.packets_of for napi in found], axis=0) if found else np.zeros(spans)
    active = np.zeros(spans)
    for napi in found:
        active += (napi.packets_of > _ACTIVE_SHARE * delivered) & (delivered > 0)
    cpus = sorted({cpu for napi in found for cpu in napi.busy_on})
    busy = np.zeros((max(len(cpus), 1), spans))
    for napi in found:
        for cpu, values in napi.busy_on.items():
            busy[cpus.index(cpu)] += values
    whole = busy.sum(axis=0)
    squares = (busy**2).sum(axis=0)
    effective = np.divide(whole**2, squares, out=np.zeros(spans), where=squares > 0)
    hottest = np.where(whole > 0, np.asarray(cpus or [-1])[busy.argmax(axis=0)], -1).astype(np.float64)
    return Spread(active, effective, hottest)


def stalls(depths: pd.DataFrame, executions: pd.DataFrame, spans: Spans) -> tuple[Stall, ...]:
    """Queues at their limit, interval by interval, while that NAPI did not run and others did; the longest first."""
    seen = only(depths, queue="rx-queue")
    polls = only(executions, server="rx.napi")
    polls = polls[polls["executions"] > 0]
    intervals = spans.starts_ns
    if not intervals.size or not len(polls) or not len(seen):
        return ()
    ran = {int(str(peer)): np.isin(intervals, ints(rows, "t_ns")) for peer, rows in polls.groupby("object")}
    lengths = np.diff(intervals, append=intervals[-1] + np.median(np.diff(intervals, prepend=intervals[0])))
    found = []
    for number, rows in seen.groupby("object"):
        peer = int(str(number))
        full = rows[ints(rows, "depth_sum") >= FULL_SHARE * LIMITS["rx-queue"] * np.maximum(ints(rows, "samples"), 1)]
        others = np.any([values for other, values in ran.items() if other != peer], axis=0)
        stuck = np.isin(intervals, ints(full, "t_ns")) & ~ran.get(peer, np.zeros(intervals.size, dtype=bool)) & others
        if stuck.any():
            found.append(Stall(peer, _longest(stuck, lengths) / 1e9, int(stuck.sum())))
    return tuple(sorted(found, key=lambda stall: -stall.seconds))


def _longest(stuck: np.ndarray, lengths: np.ndarray) -> float:
    """The longest time of consecutive true elements."""
    best = current = 0.0
    for is_stuck, length in zip(stuck.tolist(), lengths.tolist(), strict=True):
        current = current + length if is_stuck else 0.0
        best = max(best, current)
    return best
