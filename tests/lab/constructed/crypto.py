"""What decryption does: spinning for its ring's lock, memory of another node, a worker that is preempted."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from tests.lab.constructed.draft import Draft, chosen, merged, more, paid
from wgprof.agent.layout import bucket_bounds, bucket_of
from wgprof.analysis.histogram import DURATION_UNIT_NS
from wgprof.analysis.tables import IntArray, ints

_WHERE = ["t_ns", "dt_ns", "cpu", "object"]
_DECRYPTED = 5


def spinning(draft: Draft, end: str, wait_ns: int) -> Draft:
    """For each packet a CPU spins so long for the lock of the decrypt ring: S7.

    `end`: consumer, in the workers, or producer, in the receive softirq.  The time is in the worker or stage in which
    it is spent.
    """
    name, kind, column = {"consumer": ("executions", "decrypt.work", "busy_ns"),
                          "producer": ("stages", "rx.receive", "service_ns")}[end]  # fmt: skip
    frame = draft.table(name)
    rows = chosen(frame, **{"server" if name == "executions" else "stage": kind}) & (frame["packets"] > 0).to_numpy()
    waits = ints(frame[rows], "packets")
    frame.loc[rows, column] += waits * wait_ns
    of = frame[rows][_WHERE]
    devices = draft.tables["objects"].set_index("object")["device"]
    of = of.assign(object=of["object"].map(devices).to_numpy())
    lock = f"decrypt-ring.{end}"
    contention = merged(of.assign(lock=lock, waits=waits, wait_ns=waits * wait_ns))
    histogram = of.assign(metric=f"{lock}.wait", bucket=_bucket(wait_ns), count=waits)
    detail = draft.manifest["detail"]
    off = {table: why for table, why in detail["off"].items() if table != "contention"}
    changed = draft.having(
        {name: frame, "contention": contention,
         "histograms": pd.concat([draft.tables["histograms"], histogram], ignore_index=True)},
        detail={"on": [*detail["on"], "contention"], "off": off},
    )  # fmt: skip
    account = "system_ns" if end == "consumer" else "softirq_ns"
    return paid(changed, more(frame[rows], waits * wait_ns), account)


def _bucket(ns: int) -> int:
    return bucket_of(ns // DURATION_UNIT_NS)


def on_two_nodes(draft: Draft, far: Collection[int], factor: float) -> Draft:
    """The CPUs `far` are a node of their own, and decrypting a packet there takes `factor` times as long: S10."""
    stages, journeys = draft.table("stages"), draft.table("journeys")
    there = chosen(stages, cpu=list(far), stage="rx.decrypt")
    longer = np.round((factor - 1) * ints(stages[there], "service_ns")).astype(np.int64)
    stages.loc[there, "service_ns"] += longer
    steps = chosen(journeys, cpu=list(far), point=_DECRYPTED)
    journeys.loc[steps, "service_ns"] += _room(journeys, steps, factor)
    histograms = draft.table("histograms")
    slow = chosen(histograms, cpu=list(far), metric="rx.decrypt.service")
    buckets = [times(bucket, factor) for bucket in histograms.loc[slow, "bucket"]]
    histograms.loc[slow, "bucket"] = np.asarray(buckets, dtype=np.int32)
    near = [cpu for cpu in draft.cpus if cpu not in far]
    machine = {**draft.manifest["machine"], "numa_nodes": {"0": near, "1": sorted(far)}}
    tables = {"stages": stages, "journeys": journeys, "histograms": merged(histograms)}
    return paid(draft.having(tables, machine=machine), more(stages[there], longer), "system_ns")


def _room(journeys: pd.DataFrame, steps: np.ndarray, factor: float) -> IntArray:
    """How much longer the steps are: they begin earlier, but not before the packet was handed over."""
    mine = journeys[steps]
    keys = ["object", "key_index", "nonce"]
    received = journeys[journeys["point"] == _DECRYPTED - 1].drop_duplicates(keys).set_index(keys)["end_ns"]
    handed = received.reindex(pd.MultiIndex.from_frame(mine[keys])).to_numpy()
    begun = ints(mine, "end_ns") - ints(mine, "service_ns")
    room = np.where(np.isnan(handed), 0, begun - np.nan_to_num(handed))
    wanted = (factor - 1) * ints(mine, "service_ns")
    longer: IntArray = np.maximum(np.minimum(room, wanted), 0).astype(np.int64)
    return longer


def times(bucket: int, factor: float) -> int:
    """The bucket of a time so many times as long."""
    low, above = bucket_bounds(int(bucket))
    return bucket_of(int((low + above) / 2 * factor))
