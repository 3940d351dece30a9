"""What polls do: where they run, how often they come in vain, how many packets they take, what a thread costs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.lab.constructed.draft import Draft, chosen, merged, more, paid, shared_out
from wgprof.analysis.tables import LIMITS, FloatArray, IntArray, ints, total

_NAPI = "rx.napi"
_OF_POLLS = ("rx.napi.delay", "rx.napi.packets", "rx.napi.blocked", "rx.deliver.service")
_DELIVERED = 6


def on_one_cpu(draft: Draft, cpu: int, peers: range | list[int]) -> Draft:
    """The polls of these peers, and the delivery inside them, run on one CPU: S4."""
    tables = {name: draft.table(name) for name in ("stages", "executions", "polls", "heads", "moves", "histograms")}
    kinds = {"stages": ("stage", "rx.deliver"), "histograms": ("metric", _OF_POLLS)}
    spent = []
    for name, frame in tables.items():
        column, values = kinds.get(name, ("server", _NAPI))
        moved = chosen(frame, object=peers, **{column: values})
        moved &= (frame["cpu"] != cpu).to_numpy()
        if name in ("stages", "executions"):
            gone, ns = frame[moved], ints(frame[moved], "service_ns" if name == "stages" else "busy_ns")
            spent += [more(gone, -ns), more(gone.assign(cpu=cpu), ns)]
        if name == "moves":
            tables[name] = frame[~chosen(frame, object=peers, server=_NAPI)]
            continue
        frame.loc[moved, "cpu"] = cpu
        if name == "polls":  # no worker runs there that they could be on top of
            frame.loc[moved, ["nested", "nested_wasted", "nested_wasted_ns"]] = 0
        tables[name] = merged(frame) if len(frame) else frame
    journeys = draft.table("journeys")
    journeys.loc[chosen(journeys, object=peers, point=_DELIVERED), "cpu"] = cpu
    return paid(draft.having({**tables, "journeys": journeys}), pd.concat(spent), "softirq_ns")


def in_vain(draft: Draft, a_packet: float, times_as_long: float = 1.0) -> Draft:
    """So many more polls for every delivered packet find its queue empty: S5.

    Each was asked for while the NAPI was being polled, and the packet it was for was taken by that poll.
    Each takes as long as the measured ones that took nothing, or `times_as_long`.
    """
    runs = draft.table("executions")
    napi = runs[chosen(runs, server=_NAPI)].copy()
    each_ns = times_as_long * total(napi, "empty_ns") / total(napi, "empty")
    polls = shared_out(
        np.full(len(napi), np.iinfo(np.int64).max), (a_packet * ints(napi, "packets")).astype(np.float64)
    )
    ns = np.round(polls * each_ns).astype(np.int64)
    for column in ("executions", "empty", "wakeups"):
        napi[column] += polls
    for column in ("busy_ns", "empty_ns"):
        napi[column] += ns
    runs.loc[napi.index] = napi
    return paid(_counted(draft.having({"executions": runs}), napi, polls), more(napi, ns), "softirq_ns")


def _counted(draft: Draft, napi: pd.DataFrame, polls: IntArray) -> Draft:
    """Polls in vain in the table of polls by what they found, and in the histogram of packets a run."""
    where = napi[["t_ns", "dt_ns", "cpu", "object"]]
    tables = {}
    if len(draft.tables["polls"]):
        rows = where.assign(server=_NAPI, empty_queue=polls, missed=polls, missed_wasted=polls)
        tables["polls"] = _joined(draft.tables["polls"], rows)
    histograms = draft.tables["histograms"]
    if len(histograms):
        rows = where.assign(metric="rx.napi.packets", bucket=0, count=polls)
        tables["histograms"] = _joined(histograms, rows[rows["object"].isin(histograms["object"].unique())])
    return draft.having(tables)


def _joined(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    return merged(pd.concat([frame, rows.reindex(columns=frame.columns, fill_value=0)], ignore_index=True))


def in_batches(draft: Draft, packets: float, times_as_long: float = 1.0, begin: float = 0.0, end: float = 1.0) -> Draft:
    """A productive poll takes so many packets on average, from `begin` to `end`, shares of the recording: S11, S15.

    Setting a poll up takes what it took, or `times_as_long`; delivering a packet takes what it took.
    """
    runs = draft.table("executions")
    starts = ints(draft.tables["intervals"], "t_ns")
    from_ns, to_ns = (starts.min() + share * (starts.max() - starts.min()) for share in (begin, end))
    when = ints(runs, "t_ns")
    napi = runs[chosen(runs, server=_NAPI) & (when >= from_ns) & ((when < to_ns) | (end >= 1))].copy()
    productive = np.maximum(ints(napi, "executions") - ints(napi, "empty"), 0)
    wanted = np.maximum(shared_out(ints(napi, "packets"), ints(napi, "packets") / packets), productive)
    growth = np.divide(wanted, productive, out=np.ones(len(napi)), where=productive > 0)
    ns = np.round((growth * times_as_long - 1) * (ints(napi, "busy_ns") - ints(napi, "empty_ns"))).astype(np.int64)
    napi["busy_ns"] += ns
    napi["wakeups"] += wanted - productive
    # Each of the new ones waits for its CPU as long as the ones before it.
    _scaled(napi, "delay_ns", growth)
    _scaled(napi, "delayed", growth)
    napi["executions"] += wanted - productive
    runs.loc[napi.index] = napi
    threaded = (draft.tables["objects"]["threaded"] == 1).any()
    return paid(draft.having({"executions": runs}), more(napi, ns), "system_ns" if threaded else "softirq_ns")


def _scaled(frame: pd.DataFrame, column: str, by: FloatArray) -> None:
    frame[column] = np.round(ints(frame, column) * by).astype(np.int64)


def lost(draft: Draft, peer: int, clock: int, begin: float) -> Draft:
    """Nobody polls a peer's NAPI any more from `begin`, a share of the recording, on, and its queue is full: S13.

    Call it when the peer's traffic is silent from then on.  `clock` is a peer whose queue was looked at meanwhile.
    """
    depths = draft.tables["depths"]
    looks = depths[chosen(depths, object=clock, queue="rx-queue")]
    starts = ints(draft.tables["intervals"], "t_ns")
    looks = looks[looks["t_ns"] >= starts.min() + begin * (starts.max() - starts.min())]
    samples, full = looks["samples"], LIMITS["rx-queue"]
    stuck = looks.assign(object=peer, depth_sum=samples * full, depth_max=full, occupied=samples)
    return draft.having({"depths": pd.concat([depths, stuck], ignore_index=True)})
