"""All of what goes on between the stages: polls, heads, moves, preemptions, wake-ups, interrupts and locks.

And whether it agrees with what the stages and servers counted themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from wgprof.analysis import units
from wgprof.analysis.checks import FAIL, OK, Check
from wgprof.analysis.contention import Contention, contention_rows
from wgprof.analysis.names import Names, clean
from wgprof.analysis.order import CLASSES, SERVERS, Heads, Moves, Polls, head_rows, move_rows, poll_rows
from wgprof.analysis.preemption import STAGES, Preemption, preemption_rows
from wgprof.analysis.tables import Tables, by_object, only, total
from wgprof.analysis.wakeups import Ipis, Wakeups, ipi_rows, wakeup_rows
from wgprof.analysis.window import Window

#: Time on top of a stage is measured twice, and differs by what was under way at the two ends of the recording.
_PREEMPTED_SLACK = 0.001
_PREEMPTED_SLACK_NS = 50_000_000


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


def mechanics_of(recording: Tables, window: Window) -> Mechanics:
    """Pure.  Of a recording of an older wgprof only the wake-ups."""
    measured, wanting = measured_tables(recording.manifest)
    executions, histograms = recording.table("executions"), recording.table("histograms")
    stages = recording.table("stages")
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


def mechanics_checks(recording: Tables, names: Names) -> list[Check]:
    """Polls by class add up to the executions, and what ran on top of a stage to its nested time; all the recording."""
    measured, _ = measured_tables(recording.manifest)
    rows = []
    if "polls" in measured:
        rows += [_polls_check(recording, server, names) for server in SERVERS]
    if "preemptions" in measured:
        rows += [_preemption_check(recording, stage) for stage in STAGES]
    return [row for row in rows if row is not None]


def _polls_check(recording: Tables, server: str, names: Names) -> Check | None:
    executions = by_object(only(recording.table("executions"), server=server))
    polls = by_object(only(recording.table("polls"), server=server))
    off = {n: _classified(polls.get(n)) - total(runs, "executions") for n, runs in executions.items()}
    if not off:
        return None
    counted = sum(total(runs, "executions") for runs in executions.values())
    worst = max(off, key=lambda number: abs(off[number]))
    detail = f"{counted:,} executions, of which by class {counted + sum(off.values()):,}"
    if off[worst]:
        detail += f"; {names.label(worst)}: {off[worst]:+,}"
    verdict = FAIL if off[worst] else OK
    return Check("polls by class", server, abs(off[worst]), 0, "executions", verdict, detail, ("polls",))


def _classified(polls: pd.DataFrame | None) -> int:
    if polls is None:
        return 0
    return sum(total(polls, name) for name in CLASSES)


def _preemption_check(recording: Tables, stage: str) -> Check | None:
    steps, mine = only(recording.table("stages"), stage=stage), only(recording.table("preemptions"), stage=stage)
    nested_ns = total(steps, "nested_ns")
    on_top_ns = total(mine, "softirq_ns") + total(mine, "switched_ns")
    if not total(steps, "calls"):
        return None
    bound = _PREEMPTED_SLACK * nested_ns + _PREEMPTED_SLACK_NS
    verdict = OK if abs(on_top_ns - nested_ns) <= bound else FAIL
    detail = f"softirqs and other tasks {units.duration(on_top_ns)}, nested time {units.duration(nested_ns)}"
    return Check("preemption", stage, abs(on_top_ns - nested_ns), bound, "ns", verdict, detail, ("preemptions",))
