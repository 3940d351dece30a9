"""Spinning on the locks of the rings that all CPUs share."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.histogram import HistogramSums, duration_quantiles_ns
from wgprof.analysis.tables import by_object, only, total, within
from wgprof.analysis.window import Window

LOCKS = ("encrypt-ring.producer", "encrypt-ring.consumer", "decrypt-ring.producer", "decrypt-ring.consumer")
#: Of `histograms`.
METRICS = tuple(f"{lock}.wait" for lock in LOCKS)


@dataclass(frozen=True)
class Contention:
    """A lock of one device's ring in the window.

    Producers take it once a hand-off, consumers once a hand-off and once more to find the ring empty.
    """

    lock: str
    object: int
    waits: int
    waits_per_s: float
    per_handoff: float | None  # waits / hand-offs to the ring
    spin_ce: float
    mean_ns: float | None
    p50_ns: float | None
    p99_ns: float | None
    cpus: tuple[int, ...]  # that waited


def contention_rows(
    contention: pd.DataFrame, arrivals: pd.DataFrame, histograms: HistogramSums, window: Window
) -> list[Contention]:
    """Every lock of every device on which a CPU had to wait."""
    contention, arrivals = within(contention, window), within(arrivals, window)
    rows = []
    for lock in LOCKS:
        met = by_object(only(arrivals, queue=lock.partition(".")[0]))
        for number, mine in by_object(only(contention, lock=lock)).items():
            waits, wait_ns = total(mine, "waits"), total(mine, "wait_ns")
            handoffs = total(met[number], "handoffs") if number in met else 0
            p50, p99 = duration_quantiles_ns(histograms.of(f"{lock}.wait", number), (0.5, 0.99))
            rows.append(
                Contention(
                    lock,
                    number,
                    waits,
                    waits / window.duration_s,
                    waits / handoffs if handoffs else None,
                    wait_ns / 1e9 / window.duration_s,
                    wait_ns / waits if waits else None,
                    p50,
                    p99,
                    tuple(sorted({int(cpu) for cpu in mine["cpu"].unique()})),
                )
            )
    return rows
