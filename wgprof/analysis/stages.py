"""Rates and service times of the stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.histogram import HistogramSums, duration_quantiles_ns
from wgprof.analysis.tables import DIRECTIONS, STAGES, IntArray, by_object, ints, only, total, within
from wgprof.analysis.window import Window


@dataclass(frozen=True)
class Stage:
    """One stage in the window, for one peer or (`object` None) for all of them."""

    direction: str
    stage: str
    object: int | None
    packets: int
    failed: int
    calls: int
    rate_pps: float
    rate_mbit_s: float
    mean_bytes: float
    service_mean_ns: float | None  # CPU time per packet
    service_p50_ns: float | None  # per call of the stage's function
    service_p99_ns: float | None
    busy_ce: float
    cpus: tuple[int, ...]  # that ran it


def stage_rows(stages: pd.DataFrame, histograms: HistogramSums, window: Window) -> list[Stage]:
    """All stages in order: for each first the sum over all peers, then every peer that used it."""
    stages = within(stages, window)
    rows = []
    for direction in DIRECTIONS:
        for stage in STAGES[direction]:
            mine = only(stages, stage=stage)
            metric = f"{stage}.service"
            rows.append(_row(direction, stage, None, mine, histograms.of(metric), window=window))
            for number, of_peer in by_object(mine).items():
                rows.append(_row(direction, stage, number, of_peer, histograms.of(metric, number), window=window))
    return rows


def _row(
    direction: str, stage: str, number: int | None, mine: pd.DataFrame, times: IntArray, *, window: Window
) -> Stage:
    packets, octets, service_ns = total(mine, "packets"), total(mine, "bytes"), total(mine, "service_ns")
    p50, p99 = duration_quantiles_ns(times, (0.5, 0.99))
    busy = (ints(mine, "packets") > 0) | (ints(mine, "failed") > 0)
    return Stage(
        direction,
        stage,
        number,
        packets,
        total(mine, "failed"),
        total(mine, "calls"),
        packets / window.duration_s,
        octets * 8 / window.duration_s / 1e6,
        octets / packets if packets else 0.0,
        service_ns / packets if packets else None,
        p50,
        p99,
        service_ns / 1e9 / window.duration_s,
        tuple(np.unique(ints(mine, "cpu")[busy]).tolist()),
    )
