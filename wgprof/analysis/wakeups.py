"""What it takes to get WireGuard's work running: runs, wake-ups and interrupts between CPUs, per packet."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from wgprof.analysis.histogram import HistogramSums, duration_quantiles_ns
from wgprof.analysis.tables import only, total, within
from wgprof.analysis.window import Window

_SERVERS = ("encrypt.work", "tx.work", "decrypt.work", "rx.napi")
#: Of `histograms`.
METRICS = tuple(f"{server}.runqueue" for server in _SERVERS)
#: Column of `ipis` -> what it is.
IPIS = {
    "reschedules": "got: reschedule",
    "calls": "got: function call",
    "sent_stage": "sent in wg_xmit",
    "sent_receive": "sent in wg_packet_receive",
    "sent_work": "sent by WireGuard's workers",
    "sent_poll": "sent in WireGuard's polls",
    "sent_elsewhere": "sent elsewhere",
}


@dataclass(frozen=True)
class Wakeups:
    """A kind of server in the window, all CPUs and objects together.

    `scheduled_per_packet` counts how often it was queued or scheduled, `executions_per_packet` how often it ran.
    What is about threads is None unless it was measured (--detail).
    """

    server: str
    packets: int
    executions: int
    executions_per_packet: float | None
    scheduled_per_packet: float | None
    delay_mean_ns: float | None  # from queued or scheduled to running
    woken: int | None  # executions for which a thread had to be woken
    woken_per_packet: float | None
    runqueue_mean_ns: float | None  # the part of the delay that the woken thread waited for its CPU
    runqueue_p50_ns: float | None
    runqueue_p99_ns: float | None


@dataclass(frozen=True)
class Ipis:
    """Interrupts of one sort in the window; `cpus` has each CPU's number of them."""

    what: str
    count: int
    per_s: float
    per_packet: float | None  # of those that left tx.send and rx.deliver
    cpus: tuple[tuple[int, int], ...]


def wakeup_rows(
    executions: pd.DataFrame, wakeups: pd.DataFrame, histograms: HistogramSums, window: Window, *, measured: bool
) -> list[Wakeups]:
    """The servers that ran; `measured` says whether the table `wakeups` was."""
    executions, wakeups = within(executions, window), within(wakeups, window)
    rows = []
    for server in _SERVERS:
        runs, threads = only(executions, server=server), only(wakeups, server=server)
        executed = total(runs, "executions")
        if not executed:
            continue
        packets, woken, delayed = total(runs, "packets"), total(threads, "woken"), total(runs, "delayed")
        p50, p99 = duration_quantiles_ns(histograms.of(f"{server}.runqueue"), (0.5, 0.99))
        rows.append(
            Wakeups(
                server,
                packets,
                executed,
                _per(executed, packets),
                _per(total(runs, "wakeups"), packets),
                _per(total(runs, "delay_ns"), delayed),
                woken if measured else None,
                _per(woken, packets) if measured else None,
                _per(total(threads, "runqueue_ns"), woken),
                p50,
                p99,
            )
        )
    return rows


def ipi_rows(ipis: pd.DataFrame, stages: pd.DataFrame, window: Window) -> list[Ipis]:
    """A row for each sort of interrupt that came up."""
    ipis, stages = within(ipis, window), within(stages, window)
    packets = sum(total(only(stages, stage=stage), "packets") for stage in ("tx.send", "rx.deliver"))
    rows = []
    for column in IPIS:
        by_cpu = {int(str(cpu)): total(mine, column) for cpu, mine in ipis.groupby("cpu", sort=True)}
        count = sum(by_cpu.values())
        if count:
            cpus = tuple((cpu, number) for cpu, number in by_cpu.items() if number)
            rows.append(Ipis(column, count, count / window.duration_s, _per(count, packets), cpus))
    return rows


def _per(count: int, of: int) -> float | None:
    return count / of if of else None
