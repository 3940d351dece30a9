"""Time: does what was measured fit into the time there was, and did the clocks run evenly?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from wgprof.analysis import units
from wgprof.analysis.checks.check import FAIL, OK, UNKNOWN, Check
from wgprof.analysis.cores import BUSY_COLUMNS, Measured
from wgprof.analysis.journeys import Journeys
from wgprof.analysis.names import clean
from wgprof.analysis.tables import ints, only, total

#: Measured CPU time may exceed the kernel's account by this share and by two of its ticks.
_BUSY_SLACK = 0.05
_BUSY_SLACK_TICKS = 2
#: The kernel's account of a CPU may leave out this share of the time that passed, and two of its ticks.
_ACCOUNT_SLACK = 0.2
#: An emulated CPU must have had at least this share of the host time it was busy for.
_LEAST_GIVEN = 0.9
#: An interval is long from so many times the length asked for, and this share of the time may lie in long ones.
_LONG = 2
_MOST_IN_LONG = 0.5
#: Missed looks may change a mean depth by this share; depths below one are not judged.
_MOST_SHIFT = 0.1
_LEAST_DEPTH = 1.0
#: What the kernel's clock counts -> why times are doubtful then.
_POOR_SOURCES = {
    "jiffies": (FAIL, "it moves only with the timer interrupt"),
    "hpet": (UNKNOWN, "reading it takes about a microsecond, which is in every time"),
    "acpi_pm": (UNKNOWN, "reading it takes microseconds, which are in every time"),
    "refined-jiffies": (FAIL, "it moves only with the timer interrupt"),
}


def busy_checks(cpus: pd.DataFrame, stages: pd.DataFrame, executions: pd.DataFrame, user_hz: int) -> list[Check]:
    """On each CPU the measured time must fit into the kernel's non-idle time; the whole recording."""
    rows = []
    tick_ns = 1e9 / max(user_hz, 1)
    numbers = {int(c) for frame in (cpus, stages, executions) for c in frame["cpu"].unique()}
    measured_on = Measured(stages, executions)
    for cpu in sorted(numbers):
        account = only(cpus, cpu=cpu)
        measured = sum(measured_on.cpu(cpu, account).values())
        if not len(account):
            verdict, busy = UNKNOWN, 0
            detail = f"measured {units.duration(measured)}; the kernel's account of this CPU is missing"
        else:
            busy = sum(total(account, column) for column in BUSY_COLUMNS)
            allowed = busy * (1 + _BUSY_SLACK) + _BUSY_SLACK_TICKS * tick_ns
            verdict = OK if measured <= allowed else FAIL
            detail = f"measured {units.duration(measured)} of {units.duration(busy)} non-idle"
        value = measured / busy if busy else None
        rows.append(
            Check("busy time", f"CPU {cpu}", value, 1 + _BUSY_SLACK, "share", verdict, detail, ("utilisation",))
        )
    return rows


def account_checks(cpus: pd.DataFrame, intervals: pd.DataFrame, user_hz: int) -> list[Check]:
    """How much of the time that passed the kernel's account of a CPU leaves out, idle time with it; the worst CPU.

    Where timer ticks are lost, so is the time they would have accounted for.
    """
    passed_ns = int(ints(intervals, "dt_ns").sum())
    numbers = sorted({int(c) for c in cpus["cpu"].unique()})
    if not numbers or passed_ns <= 0:
        return []
    columns = (*BUSY_COLUMNS, "idle_ns")
    shares = {n: sum(total(only(cpus, cpu=n), column) for column in columns) / passed_ns for n in numbers}
    worst = min(numbers, key=lambda number: shares[number])
    bound = _ACCOUNT_SLACK + _BUSY_SLACK_TICKS * 1e9 / max(user_hz, 1) / passed_ns
    value = max(1 - shares[worst], 0.0)
    detail = f"{units.share(value)} of the time of CPU {worst} is not accounted for; no CPU lacks more"
    verdict = OK if value <= bound else FAIL
    return [Check("CPU account", "all CPUs", value, bound, "share", verdict, detail, ("utilisation", "caps"))]


def clock_checks(manifest: dict[str, Any], intervals: pd.DataFrame, journeys: Journeys) -> list[Check]:
    """Ticks in time, intervals without gaps, journeys that run forward, a clock that is fit for it."""
    rows = [_ticks_check(manifest, intervals), _intervals_check(intervals)]
    return [row for row in rows if row] + [_journeys_check(journeys), _source_check(manifest)]


def _ticks_check(manifest: dict[str, Any], intervals: pd.DataFrame) -> Check | None:
    dt_ns, late_ns = ints(intervals, "dt_ns"), ints(intervals, "tick_late_ns")
    asked = manifest.get("asked")
    asked_ms = asked.get("interval_ms") if isinstance(asked, dict) else None
    if not dt_ns.size:
        return None
    usual_ns = asked_ms * 1e6 if isinstance(asked_ms, int) and asked_ms > 0 else float(np.median(dt_ns))
    in_long = float(dt_ns[dt_ns > _LONG * usual_ns].sum() / dt_ns.sum())
    detail = f"late by {units.duration(float(np.median(late_ns)))}, at most {units.duration(int(late_ns.max()))}"
    detail += f"; {units.share(in_long)} of the time in intervals longer than {units.duration(_LONG * usual_ns)}"
    verdict = OK if in_long <= _MOST_IN_LONG else FAIL
    return Check("clock", "ticks", in_long, _MOST_IN_LONG, "share", verdict, detail, ("time series",))


def _intervals_check(intervals: pd.DataFrame) -> Check | None:
    t_ns, dt_ns = ints(intervals, "t_ns"), ints(intervals, "dt_ns")
    if not t_ns.size:
        return None
    breaks = int(np.count_nonzero(t_ns[1:] != t_ns[:-1] + dt_ns[:-1]))
    detail = f"{t_ns.size:,} intervals, {breaks:,} do not begin where the one before them ends"
    verdict = FAIL if breaks else OK
    return Check("clock", "intervals", breaks, 0, "intervals", verdict, detail, ("rates", "time series"))


def _journeys_check(journeys: Journeys) -> Check:
    backwards = waits = 0
    for gap in (0, 1):
        known = journeys.seen[gap] & journeys.seen[gap + 1]
        backwards += int(np.count_nonzero(known & (journeys.start_ns[gap + 1] < journeys.start_ns[gap])))
        waits += int(np.count_nonzero(known))
    detail = f"{backwards:,} of {waits:,} steps of sampled packets began before the step before them"
    verdict = FAIL if backwards else OK if waits else UNKNOWN
    return Check("clock", "journeys", backwards, 0, "steps", verdict, detail, ("waits", "delays"))


def _source_check(manifest: dict[str, Any]) -> Check:
    machine = manifest.get("machine")
    source = clean(machine.get("clocksource") or "") if isinstance(machine, dict) else ""
    taints = ("service times", "waits")
    if not source:
        return Check("clock", "source", None, None, "", UNKNOWN, "what the kernel's clock counts is not known", taints)
    verdict, why = _POOR_SOURCES.get(source, (OK, ""))
    return Check("clock", "source", None, None, "", verdict, f"{source}: {why}" if why else source, taints)


def depth_clock_checks(depths: pd.DataFrame, asked_hz: object) -> list[Check]:
    """Mean depths with every look alike, against those with every interval alike: missed looks must not matter.

    A look is missed when the CPU whose timer looks is taken away, and a queue may grow just then.
    """
    worst: tuple[float, str] | None = None
    most_hz = 0.0
    seen = depths[ints(depths, "samples") > 0]
    for (queue, _), rows in seen.groupby(["queue", "object"], observed=True):
        looks, sums, dt_ns = ints(rows, "samples"), ints(rows, "depth_sum"), ints(rows, "dt_ns")
        even = float((sums / looks * dt_ns).sum() / dt_ns.sum())
        most_hz = max(most_hz, float(looks.sum() / dt_ns.sum() * 1e9))
        if even < _LEAST_DEPTH:
            continue
        shift = abs(float(sums.sum() / looks.sum()) - even) / even
        worst = max(worst or (0.0, ""), (shift, str(queue)))
    if worst is None:
        return []
    detail = f"looked at a queue {most_hz:.0f} times a second at most"
    if isinstance(asked_hz, int) and asked_hz > 0:
        detail += f" (the clock's {asked_hz}; many peers take turns)"
    detail += f"; missed looks change a mean depth ({worst[1]}) by {units.share(worst[0])}"
    verdict = OK if worst[0] <= _MOST_SHIFT else FAIL
    return [Check("depth clock", "all queues", worst[0], _MOST_SHIFT, "share", verdict, detail, ("depths",))]


def lab_checks(manifest: dict[str, Any], cpus: pd.DataFrame, seconds: float) -> list[Check]:
    """In the lab: were the emulated CPUs given as much of the host as they thought they had?

    The guest cannot see that its CPUs waited for a host core; the host can see what it gave them.
    """
    target, results = manifest.get("target"), manifest.get("results")
    if not isinstance(target, dict) or target.get("kind") != "lab" or seconds <= 0:
        return []
    said = results if isinstance(results, dict) else {}
    vcpus, host_cores, given_s = (_number(said.get(key)) for key in ("vcpus", "host_cores", "host_cpu_s"))
    taints = ("utilisation", "caps")
    if vcpus is None or host_cores is None:
        detail = "the lab did not say what the host gave"
        return [Check("emulation", "lab", None, _LEAST_GIVEN, "share", UNKNOWN, detail, taints)]
    busy_s = sum(total(cpus, column) for column in BUSY_COLUMNS) / 1e9
    detail = f"{busy_s / seconds:.2f} of {vcpus:.0f} emulated CPUs busy, {host_cores:.0f} host cores"
    share = min(host_cores * seconds, given_s if given_s is not None else busy_s) / busy_s if busy_s > 0 else 1.0
    if given_s is not None:
        detail += f", the host gave {given_s / seconds:.2f} CE"
    verdict = OK if share >= _LEAST_GIVEN else FAIL
    if verdict == FAIL:
        detail += ": time the host took away looks like busy time"
    return [Check("emulation", "lab", share, _LEAST_GIVEN, "share", verdict, detail, taints)]


def _number(value: object) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if usable else None  # type: ignore[arg-type]
