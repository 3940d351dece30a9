"""The figures of a recording second by second, by names that mean the same in every recording.

Keys and numbers of peers differ from one recording to the next, so these are over all peers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.cores import BUSY_COLUMNS, TRACKS
from wgprof.analysis.estimate import Estimate, mean_of, ratio, share
from wgprof.analysis.journeys import Sampling, join_journeys
from wgprof.analysis.spans import Spans
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import DIRECTIONS, LIMITS, STAGES, FloatArray, Tables, only, within
from wgprof.analysis.waits import wait_spans


@dataclass(frozen=True)
class Series:
    """A figure: `above` / `below`, one element a span."""

    group: str  # throughput, stage, server, wait, queue or cpu
    name: str
    unit: str
    above: FloatArray
    below: FloatArray

    @property
    def estimate(self) -> Estimate | None:
        """Over all spans; None where there is nothing to divide by."""
        return (share if self.unit == "share" else ratio)(self.above, self.below)

    @property
    def values(self) -> FloatArray:
        """Span by span; nan where there is nothing to divide by."""
        return mean_of(self.above, self.below)


def series_of(analysis: Analysis, recording: Tables) -> list[Series]:
    """Every figure that two recordings can be compared by; empty when nothing flowed."""
    if analysis.window is None or analysis.spans is None:
        return []
    spans, window = analysis.spans, analysis.window
    stages, executions = within(recording.table("stages"), window), within(recording.table("executions"), window)
    depths, arrivals = within(recording.table("depths"), window), within(recording.table("arrivals"), window)
    journeys, sampling = join_journeys(recording.table("journeys")), Sampling.of(recording)
    waits = wait_spans(journeys, sampling, spans)
    rows = [
        *_throughput(stages, spans),
        *_cpus(recording.table("cpus"), stages, spans),
        *_stages(stages, spans),
        *_servers(stages, executions, spans),
        *(Series("wait", name, "ns", above, below) for name, (above, below) in waits.items()),
        *_queues(depths, arrivals, spans),
    ]
    return [row for row in rows if row.below.any()]


def _throughput(stages: pd.DataFrame, spans: Spans) -> Iterator[Series]:
    for direction, word in zip(DIRECTIONS, ("transmit", "receive"), strict=True):
        last = only(stages, stage=STAGES[direction][2])
        yield Series("throughput", word, "Mbit/s", spans.total(last, "bytes") * 8 / 1e6, spans.seconds)
        yield Series("throughput", word, "packets/s", spans.total(last, "packets"), spans.seconds)


def _cpus(cpus: pd.DataFrame, stages: pd.DataFrame, spans: Spans) -> Iterator[Series]:
    busy, account = spans.total(cpus, *BUSY_COLUMNS), spans.total(cpus, *BUSY_COLUMNS, "idle_ns")
    number = max(int(cpus["cpu"].nunique()), 1)
    yield Series("cpu", "all CPUs busy", "CE", busy * number, account)
    softirq = spans.total(cpus, "softirq_ns")
    yield Series("cpu", "softirq", "CE", softirq * number, account)
    moved = [spans.total(only(stages, stage=STAGES[d][2]), "packets") for d in DIRECTIONS]
    share = np.divide(busy, account, out=np.zeros(len(spans)), where=account > 0)
    spent = share * spans.seconds * 1e9 * number
    yield Series("cpu", "busy time a packet, all CPUs", "ns", spent, np.maximum(*moved))


def _stages(stages: pd.DataFrame, spans: Spans) -> Iterator[Series]:
    for direction in DIRECTIONS:
        for stage in STAGES[direction]:
            mine = only(stages, stage=stage)
            yield Series("stage", stage, "ns", spans.total(mine, "service_ns"), spans.total(mine, "packets"))


def _servers(stages: pd.DataFrame, executions: pd.DataFrame, spans: Spans) -> Iterator[Series]:
    for of_stages, of_servers in TRACKS.values():
        for server in of_servers:
            runs, steps = only(executions, server=server), stages[stages["stage"].isin(of_stages)]
            ran = spans.total(runs, "executions")
            if not ran.any():
                continue
            busy = spans.total(runs, "busy_ns") + spans.total(steps, "service_ns")
            yield Series("server", f"{server}: busy", "CE", busy, spans.seconds * 1e9)
            yield Series("server", f"{server}: own time a packet", "ns", spans.total(runs, "busy_ns"),
                         spans.total(steps, "packets"))  # fmt: skip
            yield Series("server", f"{server}: runs a packet", "ratio", ran, spans.total(steps, "packets"))
            yield Series("server", f"{server}: empty runs", "share", spans.total(runs, "empty"), ran)


def _queues(depths: pd.DataFrame, arrivals: pd.DataFrame, spans: Spans) -> Iterator[Series]:
    for queue in LIMITS:
        seen, met = only(depths, queue=queue), only(arrivals, queue=queue)
        yield Series("queue", f"{queue}: mean depth", "count", spans.total(seen, "depth_sum"),
                     spans.total(seen, "samples"))  # fmt: skip
        if spans.total(met, "handoffs").any():
            refused = spans.total(met, "refused_packets")
            yield Series("queue", f"{queue}: refused", "share", refused, spans.total(met, "packets"))
