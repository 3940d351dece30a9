"""Whether what goes on between the stages agrees with what stages and servers counted themselves."""

from __future__ import annotations

import pandas as pd

from wgprof.analysis import units
from wgprof.analysis.checks.check import FAIL, OK, Check
from wgprof.analysis.mechanics import measured_tables
from wgprof.analysis.names import Names
from wgprof.analysis.order import CLASSES, SERVERS
from wgprof.analysis.preemption import STAGES
from wgprof.analysis.tables import Tables, by_object, only, total

#: Time on top of a stage is measured twice, and differs by what was under way at the two ends of the recording.
_PREEMPTED_SLACK = 0.001
_PREEMPTED_SLACK_NS = 50_000_000


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
