"""What ran on top of encryption and decryption: the order of execution turned round.

A softirq that delivers packets takes the CPU from the worker that decrypts the next ones (Mounah et
al., SYSTOR 2025: in 8 % of the calls).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.histogram import HistogramSums, duration_quantiles_ns
from wgprof.analysis.tables import by_object, only, total, within
from wgprof.analysis.window import Window

STAGES = ("tx.encrypt", "rx.decrypt")
#: On top of the workers between packets.
WORKS = ("encrypt.work", "decrypt.work")
#: Of `histograms`.
METRICS = tuple(f"{stage}.preemption" for stage in (*STAGES, *WORKS))


@dataclass(frozen=True)
class Preemption:
    """What ran on top of a stage's calls in the window, of one peer or (`object` None) of all together.

    Or, of encrypt.work and decrypt.work, on top of the worker between its packets.
    """

    stage: str
    object: int | None
    stage_calls: int  # or executions
    calls: int  # of those, the ones on top of which something ran
    share: float
    softirqs: int
    softirq_ce: float
    softirq_mean_ns: float | None
    net_rx_ce: float  # the part of softirq_ce in NET_RX: reception and polls
    switches: int  # another task ran in the middle
    switched_s: float  # seconds a second until the worker ran again
    on_top_mean_ns: float | None  # in all, on top of a call on top of which something ran
    on_top_p50_ns: float | None
    on_top_p99_ns: float | None
    lengthened: float | None  # time on top / the stage's own time


def preemption_rows(
    preemptions: pd.DataFrame,
    stages: pd.DataFrame,
    executions: pd.DataFrame,
    histograms: HistogramSums,
    window: Window,
) -> list[Preemption]:
    """Both stages and both workers: for each first all together, then every peer, or device, that had any."""
    preemptions, stages = within(preemptions, window), within(stages, window)
    executions = within(executions, window)
    # Both by one name, their runs and the time these took.
    works = executions.rename(columns={"server": "stage", "executions": "calls", "busy_ns": "service_ns"})
    base = [frame[["stage", "object", "calls", "service_ns"]].astype({"stage": str}) for frame in (stages, works)]
    stages = pd.concat(base, ignore_index=True)
    rows = []
    for stage in (*STAGES, *WORKS):
        mine, steps = only(preemptions, stage=stage), only(stages, stage=stage)
        if not len(steps):
            continue
        rows.append(_row(stage, None, mine, steps, histograms, window))
        of_peer = by_object(mine)
        for number, its_steps in by_object(steps).items():
            rows.append(_row(stage, number, of_peer.get(number, mine.iloc[:0]), its_steps, histograms, window))
    return rows


def _row(
    stage: str, number: int | None, mine: pd.DataFrame, steps: pd.DataFrame, histograms: HistogramSums, window: Window
) -> Preemption:
    stage_calls, service_ns = total(steps, "calls"), total(steps, "service_ns")
    calls, softirqs, softirq_ns = (total(mine, name) for name in ("calls", "softirqs", "softirq_ns"))
    switched_ns = total(mine, "switched_ns")
    window_ns = window.duration_s * 1e9
    p50, p99 = duration_quantiles_ns(histograms.of(f"{stage}.preemption", number), (0.5, 0.99))
    return Preemption(
        stage,
        number,
        stage_calls,
        calls,
        calls / stage_calls if stage_calls else 0.0,
        softirqs,
        softirq_ns / window_ns,
        softirq_ns / softirqs if softirqs else None,
        total(mine, "net_rx_ns") / window_ns,
        total(mine, "switches"),
        switched_ns / window_ns,
        (softirq_ns + switched_ns) / calls if calls else None,
        p50,
        p99,
        (softirq_ns + switched_ns) / service_ns if service_ns else None,
    )
