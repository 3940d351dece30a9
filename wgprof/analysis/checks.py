"""The quality panel: does the recording agree with itself, and what did it cost?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wgprof.analysis import units
from wgprof.analysis.conservation import Balance
from wgprof.analysis.cores import BUSY_COLUMNS, measured_ns
from wgprof.analysis.journeys import JourneyCounts
from wgprof.analysis.little import BOUND, LEAST_DEPTH
from wgprof.analysis.names import Names, clean
from wgprof.analysis.queues import Queue
from wgprof.analysis.tables import Tables, ints, only, total

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"
#: Measured CPU time may exceed the kernel's account by this share and by two of its ticks.
_BUSY_SLACK = 0.05
_BUSY_SLACK_TICKS = 2
#: An emulated CPU must have had at least this share of the host time it was busy for.
_LEAST_GIVEN = 0.9


@dataclass(frozen=True)
class Check:
    """One line of the panel.  `value` and `bound` are in `unit`; `taints` names what a failure makes doubtful."""

    name: str
    subject: str
    value: float | None
    bound: float | None
    unit: str
    verdict: str  # ok, fail or unknown
    detail: str
    taints: tuple[str, ...] = ()


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Failures, then what could not be decided, then what holds; each in its given order."""
    return sorted(checks, key=lambda check: (FAIL, UNKNOWN, OK).index(check.verdict))


def conservation_checks(balances: Sequence[Balance], against_interfaces: Sequence[Balance]) -> list[Check]:
    """Packets in = packets out + on their way + dropped."""
    rows = [_balance_check("conservation", b, ("packets", "rates")) for b in balances]
    rows += [_balance_check("interface counters", b, ("rates",)) for b in against_interfaces]
    return rows or [Check("conservation", "all stages", None, 0, "packets", UNKNOWN, "no packet was counted")]


def _balance_check(name: str, balance: Balance, taints: tuple[str, ...]) -> Check:
    way = max(balance.may_lack, balance.may_exceed)
    detail = f"{balance.relation}: {balance.entered:,} − {balance.left:,} = {balance.difference:,}"
    if way:
        detail += f", allowed −{balance.may_lack:,} to {balance.may_exceed:,}"
    if balance.note:
        detail += f" ({balance.note})"
    verdict = OK if balance.holds else FAIL
    bound = balance.may_exceed if balance.difference >= 0 else -balance.may_lack
    return Check(name, balance.subject, balance.difference, bound, "packets", verdict, detail, taints)


def little_checks(queues: Sequence[Queue], names: Names, has_queues: bool = True) -> list[Check]:
    """L = lambda W on every queue; nothing where the module passes packets on without any."""
    rows = []
    for queue in queues:
        law = queue.law
        if law is None:
            continue
        subject = f"{queue.queue} of {names.label(queue.object)}"
        detail = f"L {units.digits(law.depth)} {queue.unit}"
        if law.product is not None and law.residual is not None:
            between = "" if law.residual_interval is None else f" ± {law.residual_interval * 100:.1f}"
            detail += (
                f"; λW {units.digits(law.rate)}/s × {units.duration(law.wait_ns)} = {units.digits(law.product)}"
                f"; residual {law.residual * 100:+.1f}{between} %"
            )
        if law.reason:
            detail += f"; {law.reason}"
        value = None if law.residual is None else abs(law.residual)
        rows.append(Check("Little's law", subject, value, BOUND, "share", law.verdict, detail, ("waits", "depths")))
    if rows or not has_queues:
        return rows
    return [
        Check("Little's law", "all queues", None, BOUND, "share", UNKNOWN, f"no queue held {LEAST_DEPTH:g} on average")
    ]


def busy_checks(cpus: pd.DataFrame, stages: pd.DataFrame, executions: pd.DataFrame, user_hz: int) -> list[Check]:
    """On each CPU the measured time must fit into the kernel's non-idle time; the whole recording."""
    rows = []
    tick_ns = 1e9 / max(user_hz, 1)
    numbers = {int(c) for frame in (cpus, stages, executions) for c in frame["cpu"].unique()}
    for cpu in sorted(numbers):
        account = only(cpus, cpu=cpu)
        measured = sum(measured_ns(only(stages, cpu=cpu), only(executions, cpu=cpu), account).values())
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


def loss_checks(recording: Tables, counts: Sequence[JourneyCounts]) -> list[Check]:
    """Every kind of loss: events, returns, probe runs, whole probes, journeys without an end, the file's end."""
    rows = []
    for row in only_positive(recording.table("losses"), "count").to_dict("records"):
        cause, where = clean(row["cause"]), clean(row["where"])
        count = int(row["count"])
        rows.append(Check("losses", where, count, 0, "events", FAIL, f"{cause}: {count:,}", _tainted_by(cause)))
    if not rows:
        rows.append(Check("losses", "all causes", 0, 0, "events", OK, "nothing was lost"))
    rows += _probe_checks(recording.table("probes"))
    for ended in counts:
        detail = f"{ended.journeys:,} sampled, {ended.complete:,} complete, {ended.failed:,} dropped by WireGuard"
        detail += f", {ended.cut:,} cut by an edge or a change of the sampling, {ended.lost:,} lost"
        verdict = FAIL if ended.lost else OK if ended.complete else UNKNOWN
        rows.append(Check("journeys", ended.direction, ended.lost, 0, "journeys", verdict, detail, ("waits",)))
    if not recording.manifest.get("complete", True):
        reason = clean(recording.manifest.get("end_reason", "")) or "unknown"
        detail = f"the recording has no proper end ({reason}): losses at its end are not known"
        rows.append(Check("complete", "recording", None, None, "", UNKNOWN, detail, ("losses",)))
    return rows


def only_positive(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows with something in `column`."""
    return frame[ints(frame, column) > 0]


def _tainted_by(cause: str) -> tuple[str, ...]:
    return ("waits",) if "ring" in cause else ("packets", "service times")


def _probe_checks(probes: pd.DataFrame) -> list[Check]:
    rows = []
    for row in probes.to_dict("records"):
        point, affects = clean(row["point"]), clean(row["affects"], 120)
        taints = tuple(part.strip() for part in affects.split(",") if part.strip())
        if str(row["kind"]) == "missing":
            detail = f"not attached: {clean(row['error'], 120) or 'no symbol fits'}; incomplete: {affects or 'nothing'}"
            rows.append(Check("probes", point, None, None, "", UNKNOWN, detail, taints))
        elif int(row["misses"]) > 0:
            skipped = f"the kernel skipped {int(row['misses']):,} runs of {clean(row['symbol'])}"
            detail = f"{skipped}; incomplete: {affects or 'nothing'}"
            rows.append(Check("probes", point, float(row["misses"]), 0, "runs", FAIL, detail, taints))
    if not rows and len(probes):
        rows.append(Check("probes", "all probes", 0, 0, "runs", OK, f"{len(probes)} attached, none missed a run"))
    return rows


@dataclass(frozen=True)
class Overhead:
    """What the measuring itself cost; None where the kernel did not measure it."""

    probes_ce: float | None
    probes_ns_per_packet: float | None  # over all stages a packet passes
    agent_ce: float
    agent_rss_bytes: int
    measured_s: float


def overhead_of(recording: Tables, packets_per_s: float) -> Overhead:
    """Run time of the probes while the kernel measured it, and the agent's own CPU time."""
    intervals, probes = recording.table("intervals"), recording.table("probes")
    length_ns = max(int(ints(intervals, "dt_ns").sum()), 1)
    stats_ns = int(recording.manifest.get("probes", {}).get("bpf_stats_ns", 0))
    probes_ce = total(probes, "run_ns") / stats_ns if stats_ns > 0 else None
    per_packet = probes_ce * 1e9 / packets_per_s if probes_ce is not None and packets_per_s > 0 else None
    return Overhead(
        probes_ce,
        per_packet,
        total(intervals, "agent_cpu_ns") / length_ns,
        int(ints(intervals, "agent_rss_bytes").max(initial=0)),
        stats_ns / 1e9,
    )


def overhead_checks(overhead: Overhead) -> list[Check]:
    """Overhead is stated, not judged."""
    agent = f"{units.cores(overhead.agent_ce)}, {units.size(overhead.agent_rss_bytes)} resident"
    rows = [Check("overhead", "agent", overhead.agent_ce, None, "CE", OK, agent)]
    if overhead.probes_ce is None:
        detail = "the kernel did not measure the probes' run time"
        rows.append(Check("overhead", "probes", None, None, "CE", UNKNOWN, detail))
    else:
        detail = f"{units.cores(overhead.probes_ce)}"
        if overhead.probes_ns_per_packet is not None:
            detail += f", {units.duration(overhead.probes_ns_per_packet)} a packet"
        detail += f", measured for {overhead.measured_s:.1f} s; less than that in truth, as measuring has its own cost"
        rows.append(Check("overhead", "probes", overhead.probes_ce, None, "CE", OK, detail))
    return rows


def lab_checks(manifest: dict[str, Any], cpus: pd.DataFrame, seconds: float) -> list[Check]:
    """In the lab: were the emulated CPUs given as much of the host as they thought they had?

    The guest cannot see that its CPUs waited for a host core; the host can see what it gave them.
    """
    target, results = manifest.get("target"), manifest.get("results")
    if not isinstance(target, dict) or target.get("kind") != "lab" or not isinstance(results, dict) or seconds <= 0:
        return []
    vcpus, host_cores, given_s = (_number(results.get(key)) for key in ("vcpus", "host_cores", "host_cpu_s"))
    if vcpus is None or host_cores is None:
        return []
    busy_s = sum(total(cpus, column) for column in BUSY_COLUMNS) / 1e9
    detail = f"{busy_s / seconds:.2f} of {vcpus:.0f} emulated CPUs busy, {host_cores:.0f} host cores"
    share = min(host_cores * seconds, given_s if given_s is not None else busy_s) / busy_s if busy_s > 0 else 1.0
    if given_s is not None:
        detail += f", the host gave {given_s / seconds:.2f} CE"
    verdict = OK if share >= _LEAST_GIVEN else FAIL
    if verdict == FAIL:
        detail += ": time the host took away looks like busy time"
    return [Check("emulation", "lab", share, _LEAST_GIVEN, "share", verdict, detail, ("utilisation", "caps"))]


def _number(value: object) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if usable else None  # type: ignore[arg-type]
