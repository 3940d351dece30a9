"""What delivery does: it takes longer where the packet was decrypted on another node."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from tests.lab.constructed.crypto import times
from tests.lab.constructed.draft import Draft, chosen, merged, more, paid, shared_out
from tests.lab.constructed.stalls import delivered_in_order, steps_of, waiting
from wgprof.analysis.tables import BoolArray, FloatArray, ints

_DECRYPT, _DELIVER = "rx.decrypt", "rx.deliver"


def across_nodes(draft: Draft, other: Collection[int], sampled: Collection[int], factor: float) -> Draft:
    """The CPUs `other` are a node of their own; what was decrypted on one takes longer to deliver on the other: S10.

    `sampled`: the peers that have journeys.
    """
    near = [cpu for cpu in draft.cpus if cpu not in other]
    machine = {**draft.manifest["machine"], "numa_nodes": {"0": near, "1": sorted(other)}}
    changed = draft.having(machine=machine)
    for peer in sampled:
        changed = _journeys(changed, peer, other, factor)
    stages, histograms = changed.table("stages"), changed.tables["histograms"]
    part = _far_part(stages, other)
    rows = chosen(stages, stage=_DELIVER)
    longer = np.round((factor - 1) * ints(stages[rows], "service_ns") * _of(part, stages[rows], other)).astype(np.int64)
    stages.loc[rows, "service_ns"] += longer
    tables = {"stages": stages, "histograms": _histograms(histograms, part, other, factor)}
    return paid(changed.having(tables), more(stages[rows], longer), "softirq_ns")


def _journeys(draft: Draft, peer: int, other: Collection[int], factor: float) -> Draft:
    """Far deliveries begin earlier where there is time for it, and else end later."""
    journeys, steps = draft.table("journeys"), steps_of(draft.tables["journeys"], peer)
    far = (steps["cpu"].isin(list(other)) != steps["cpu_6"].isin(list(other))).to_numpy()
    took = ints(steps, "delivery")
    takes = np.where(far, np.round(took * factor), took).astype(np.int64)
    ended = delivered_in_order(steps.assign(delivery=takes), ints(steps, "ready"))
    journeys.loc[steps["row6"], "end_ns"] = ended
    journeys.loc[steps["row6"], "service_ns"] = takes
    later = ended - takes - (ints(steps, "delivered") - took)
    return waiting(draft.having({"journeys": journeys}), steps, later, peer)


def _far_part(stages: pd.DataFrame, other: Collection[int]) -> pd.Series:
    """By interval and peer, the part of the packets that were decrypted on the other node."""
    decrypted = stages[chosen(stages, stage=_DECRYPT)]
    there = decrypted["packets"] * decrypted["cpu"].isin(list(other))
    keys = [decrypted["t_ns"], decrypted["object"]]
    return (there.groupby(keys).sum() / decrypted["packets"].groupby(keys).sum()).fillna(0.0)


def _of(part: pd.Series, rows: pd.DataFrame, other: Collection[int]) -> FloatArray:
    """The part of what these rows delivered that had been decrypted on the node that is not theirs."""
    there = part.reindex(pd.MultiIndex.from_frame(rows[["t_ns", "object"]])).fillna(0.0).to_numpy()
    is_other: BoolArray = rows["cpu"].isin(list(other)).to_numpy()
    return np.where(is_other, 1 - there, there)


def _histograms(frame: pd.DataFrame, part: pd.Series, other: Collection[int], factor: float) -> pd.DataFrame:
    rows = frame[chosen(frame, metric=f"{_DELIVER}.service")]
    count = ints(rows, "count")
    far = shared_out(count, count * _of(part, rows, other))
    slow = rows.assign(count=far, bucket=np.asarray([times(b, factor) for b in rows["bucket"]], dtype=np.int32))
    rest = frame.drop(rows.index)
    return merged(pd.concat([rest, rows.assign(count=count - far), slow[far > 0]], ignore_index=True))
