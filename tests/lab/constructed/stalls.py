"""A worker that decrypts is switched out in mid packet, again and again: S6."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.lab.constructed.draft import Draft, chosen, merged, more, paid
from wgprof.agent.layout import bucket_of
from wgprof.analysis.histogram import DURATION_UNIT_NS
from wgprof.analysis.tables import IntArray, ints, total

_DECRYPTED, _DELIVERED = 5, 6
_KEYS = ["key_index", "nonce"]


@dataclass(frozen=True)
class Stall:
    """The worker of one sampled packet: where, and in which interval it is switched out."""

    cpu: int
    t_ns: int
    dt_ns: int


def preempted(draft: Draft, peer: int, length_ns: int, every: int = 1) -> Draft:
    """In every so manieth interval the worker of one packet of the peer is switched out for so long.

    Its decryption ends later by that; what was delivered meanwhile is delivered, in order, after it, by one poll, and
    the polls that delivered it come in vain.
    """
    steps = steps_of(draft.tables["journeys"], peer)
    intervals = draft.tables["intervals"].sort_values("t_ns", ignore_index=True)
    starts = ints(intervals, "t_ns")
    begun = steps["ready"] - steps["decrypt"]
    stalls, holders = [], []
    for number in range(0, len(starts), every):
        mine = np.flatnonzero((begun >= starts[number]) & (begun < starts[number] + intervals["dt_ns"][number] // 2))
        if mine.size:
            holder = int(mine[np.argmin(begun.to_numpy()[mine])])
            holders.append(holder)
            stalls.append(Stall(int(steps["cpu"][holder]), int(starts[number]), int(intervals["dt_ns"][number])))
    ready = ints(steps, "ready").copy()
    ready[holders] += length_ns
    later = delivered_in_order(steps, ready) - ints(steps, "delivered")
    changed = _journeys(draft, steps, ready, later, peer)
    return _stood(_preemptions(waiting(changed, steps, later, peer), stalls, length_ns, peer), stalls, length_ns, peer)


def without_journeys(draft: Draft) -> Draft:
    """The same, and no packet was sampled."""
    return draft.having({"journeys": draft.tables["journeys"].iloc[:0]})


def steps_of(journeys: pd.DataFrame, peer: int) -> pd.DataFrame:
    """Receive journeys of a peer in the order of its packets."""
    mine = journeys[journeys["object"] == peer]
    decrypted = mine[mine["point"] == _DECRYPTED].reset_index(names="row5")
    delivered = mine[mine["point"] == _DELIVERED].reset_index(names="row6")
    both = decrypted.merge(delivered, on=_KEYS, suffixes=("", "_6")).sort_values(_KEYS, ignore_index=True)
    return both.rename(
        columns={"end_ns": "ready", "service_ns": "decrypt", "end_ns_6": "delivered", "service_ns_6": "delivery"}
    )


def delivered_in_order(steps: pd.DataFrame, ready: IntArray) -> IntArray:
    """When each is delivered, if not before those in front of it are ready, and after them."""
    delivered, delivery = ints(steps, "delivered").copy(), ints(steps, "delivery")
    session, release, free = ints(steps, "key_index"), 0, 0
    for row in range(len(steps)):
        if row and session[row] != session[row - 1]:
            release = free = 0
        release = max(release, int(ready[row]))
        begins = int(delivered[row] - delivery[row])
        if begins < release or begins < free:
            delivered[row] = free = max(release, free) + int(delivery[row])
        else:
            free = 0
    return delivered


def _journeys(draft: Draft, steps: pd.DataFrame, ready: IntArray, later: IntArray, peer: int) -> Draft:
    journeys = draft.table("journeys")
    held = (ready - ints(steps, "ready")).astype(np.int64)
    for column in ("end_ns", "service_ns"):
        journeys.loc[steps["row5"], column] += held
    journeys.loc[steps["row6"], "end_ns"] += later
    return draft.having({"journeys": journeys})


def waiting(draft: Draft, steps: pd.DataFrame, later: IntArray, peer: int) -> Draft:
    """The packets that wait longer are in the peer's queue for as long: L = lambda W."""
    intervals = draft.tables["intervals"].sort_values("t_ns")
    starts = ints(intervals, "t_ns")
    place = np.maximum(np.searchsorted(starts, ints(steps, "delivered"), side="right") - 1, 0)
    waited = np.bincount(place, weights=later, minlength=len(starts))
    sampled = np.bincount(place, minlength=len(starts))
    stages = draft.tables["stages"]
    rows = stages[chosen(stages, object=peer, stage="rx.deliver")]
    packets = rows.groupby("t_ns")["packets"].sum().reindex(starts).fillna(0).to_numpy()
    mean_later = np.divide(waited, sampled, out=np.zeros(len(starts)), where=sampled > 0)
    deeper = pd.Series(mean_later * packets / ints(intervals, "dt_ns"), index=starts)
    tables = {}
    for name, looks in (("depths", "samples"), ("arrivals", "handoffs")):
        frame = draft.table(name)
        mine = chosen(frame, object=peer, queue="rx-queue")
        more_deep = frame.loc[mine, "t_ns"].map(deeper).fillna(0) * frame.loc[mine, looks]
        frame.loc[mine, "depth_sum"] += more_deep.round().astype(np.int64)
        tables[name] = frame
    return draft.having(tables)


def _preemptions(draft: Draft, stalls: list[Stall], length_ns: int, peer: int) -> Draft:
    """On top of the decryption something else ran, a thread outside WireGuard."""
    rows = pd.DataFrame([{"t_ns": s.t_ns, "dt_ns": s.dt_ns, "cpu": s.cpu, "object": peer} for s in stalls])
    on_top = rows.assign(stage="rx.decrypt", calls=1, switches=1, switched_ns=length_ns)
    nested = rows.assign(stage="rx.decrypt", nested_ns=length_ns)
    long = rows.assign(metric="rx.decrypt.preemption", bucket=bucket_of(length_ns // DURATION_UNIT_NS), count=1)
    tables = {name: _with(draft, name, new) for name, new in
              (("preemptions", on_top), ("stages", nested), ("histograms", long))}  # fmt: skip
    return paid(draft.having(tables), more(rows, np.full(len(rows), length_ns)), "system_ns")


def _stood(draft: Draft, stalls: list[Stall], length_ns: int, peer: int) -> Draft:
    """The peer's NAPI stands before it, and is polled in vain for every packet that is ready behind it."""
    runs = draft.table("executions")
    napi = chosen(runs, object=peer, server="rx.napi")
    each_ns = total(runs[napi], "empty_ns") / max(total(runs[napi], "empty"), 1)
    rows, vain = [], []
    for stall in stalls:
        here = np.flatnonzero(napi & (runs["t_ns"] == stall.t_ns).to_numpy())
        productive = (runs["executions"] - runs["empty"]).to_numpy()[here]
        share = min(length_ns / stall.dt_ns, 1.0)
        for row, number in zip(here.tolist(), np.floor(productive * share).astype(int).tolist(), strict=True):
            vain.append((row, number))
        rows.append({"t_ns": stall.t_ns, "dt_ns": stall.dt_ns, "cpu": stall.cpu, "object": peer})
    at, number = (np.asarray(values, dtype=np.int64) for values in zip(*vain, strict=True))
    runs.loc[at, "empty"] += number
    runs.loc[at, "empty_ns"] += np.round(number * each_ns).astype(np.int64)
    polls = runs.loc[at, ["t_ns", "dt_ns", "cpu", "object"]].assign(
        server="rx.napi", head_not_ready=number, productive=-number
    )
    where = pd.DataFrame(rows)
    stood = where.assign(server="rx.napi", episodes=1, blocked_ns=length_ns)
    long = where.assign(metric="rx.napi.blocked", bucket=bucket_of(length_ns // DURATION_UNIT_NS), count=1)
    changed = draft.having({"executions": runs})
    return changed.having({name: _with(changed, name, new) for name, new in
                           (("polls", polls), ("heads", stood), ("histograms", long))})  # fmt: skip


def _with(draft: Draft, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    frame = draft.tables[name]
    return merged(pd.concat([frame, rows.reindex(columns=frame.columns, fill_value=0)], ignore_index=True))
