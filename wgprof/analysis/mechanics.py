"""All of what goes on between the stages: polls, heads, moves, preemptions, wake-ups, interrupts and locks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wgprof.analysis import contention, order, preemption, wakeups
from wgprof.analysis.contention import Contention, contention_rows
from wgprof.analysis.histogram import HistogramSums
from wgprof.analysis.names import clean
from wgprof.analysis.order import Heads, Moves, Polls, head_rows, move_rows, poll_rows
from wgprof.analysis.preemption import Preemption, preemption_rows
from wgprof.analysis.tables import Tables
from wgprof.analysis.wakeups import Ipis, Wakeups, ipi_rows, wakeup_rows
from wgprof.analysis.window import Window

#: The histograms that are looked at.
METRICS = (*order.METRICS, *preemption.METRICS, *wakeups.METRICS, *contention.METRICS)


@dataclass(frozen=True)
class Mechanics:
    """Lists are empty where nothing happened; `measured`: the measured tables; `wanting`: why not the others."""

    measured: frozenset[str] = frozenset()
    wanting: Mapping[str, str] = field(default_factory=dict)
    polls: list[Polls] = field(default_factory=list)
    heads: list[Heads] = field(default_factory=list)
    moves: list[Moves] = field(default_factory=list)
    preemptions: list[Preemption] = field(default_factory=list)
    wakeups: list[Wakeups] = field(default_factory=list)
    contention: list[Contention] = field(default_factory=list)
    ipis: list[Ipis] = field(default_factory=list)


def mechanics_of(recording: Tables, histograms: HistogramSums, window: Window) -> Mechanics:
    """Pure; `histograms` has METRICS.  Of a recording of an older wgprof only the wake-ups."""
    measured, wanting = measured_tables(recording.manifest)
    executions, stages = recording.table("executions"), recording.table("stages")
    return Mechanics(
        measured,
        wanting,
        poll_rows(recording.table("polls"), executions, histograms, window),
        head_rows(recording.table("heads"), histograms, window),
        move_rows(recording.table("moves"), executions, window) if "moves" in measured else [],
        preemption_rows(recording.table("preemptions"), stages, executions, histograms, window)
        if "preemptions" in measured
        else [],
        wakeup_rows(executions, recording.table("wakeups"), histograms, window, measured="wakeups" in measured),
        contention_rows(recording.table("contention"), recording.table("arrivals"), histograms, window),
        ipi_rows(recording.table("ipis"), stages, window),
    )


def measured_tables(manifest: Mapping[str, Any]) -> tuple[frozenset[str], dict[str, str]]:
    """The tables that were measured; those that were not, or not in full, with the reason."""
    detail = manifest.get("detail")
    detail = detail if isinstance(detail, Mapping) else {}
    on, off = detail.get("on"), detail.get("off")
    return (
        frozenset(name for name in on if isinstance(name, str)) if isinstance(on, list) else frozenset(),
        {clean(name, 20): clean(why, 200) for name, why in off.items()} if isinstance(off, Mapping) else {},
    )
