"""S4 napi-convergence: the polls of many peers pile up on one CPU and stay there.

A NAPI is raised on the CPU that finished a decryption and, in softirq, is polled there until its queue is empty.
Under a surge it never is, so the polls of all peers end on few CPUs (Barone, Miola, Parola, Risso, Netdev 0x18, 2024).
"""

from __future__ import annotations

import numpy as np

from wgprof.analysis import units
from wgprof.analysis.tables import BoolArray, FloatArray
from wgprof.rules.bounds import ASYMPTOTIC, FULL_CPU, FULL_CPU_SOURCE, more_to_carry
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Bound, Finding, Severity, Step
from wgprof.rules.polling import spread
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, shown

_LEAST_NAPIS = 2
#: CPUs that poll against NAPIs (or CPUs, if those are fewer) that could be polled at once.
_CONVERGED = 0.5
#: Longer than a burst: a queue of 1,024 packets drains in milliseconds.
_STICKY_S = 3.0
_LOW_TOTAL = 0.60
#: Else the CPU is full of something else, which delays the polls.
_MOSTLY_POLLS = 0.5


def judge(facts: Facts) -> Judgement:
    """CPUs that poll against NAPIs that are active, second by second."""
    if not facts.naps:
        return Judgement("no NAPI polled")
    threaded = {napi.threaded for napi in facts.naps if napi.packets}
    if threaded == {1}:
        return Judgement("the NAPIs are threaded: the scheduler places them")
    seen = spread(facts.naps, len(facts.spans))
    active = float(np.average(seen.active, weights=facts.spans.seconds)) if facts.spans.seconds.sum() else 0.0
    if active < _LEAST_NAPIS or len(facts.cpus) < 2:
        return Judgement(f"{active:.1f} NAPIs were active at a time on {len(facts.cpus)} CPUs: nothing to converge")
    possible = np.minimum(seen.active, len(facts.cpus))
    share = np.divide(seen.effective, possible, out=np.ones(len(facts.spans)), where=seen.active >= _LEAST_NAPIS)
    converged = share <= max(_CONVERGED, 1.1 / len(facts.cpus))
    longest_s, hot = _longest(np.asarray(converged), seen.hottest, facts.spans.seconds)
    cpu = facts.cpu(hot) if hot >= 0 else None
    polling = float(np.median(seen.effective))
    typical = float(np.median(share[seen.active >= _LEAST_NAPIS]))
    evidence = (
        at_least("NAPIs active at a time", active, "count", _LEAST_NAPIS, "one NAPI cannot converge"),
        at_most("CPUs that polled, of those that could", typical, "share", max(_CONVERGED, 1.1 / len(facts.cpus)),
                "half of the CPUs that could poll at once, or one", int(np.count_nonzero(seen.active >= _LEAST_NAPIS))),
        at_least("longest time on the same CPU", longest_s, "s", _STICKY_S, "bursts drain in milliseconds"),
        at_least(f"busy share of CPU {hot}" if cpu else "busy share of that CPU", cpu.busy if cpu else None, "share",
                 FULL_CPU, FULL_CPU_SOURCE),
        at_least("polls with delivery, of that CPU's busy time", _polls_of(facts, hot), "share", _MOSTLY_POLLS,
                 "they are the larger part of what fills it"),
        at_most("busy share of all CPUs", facts.busy_share, "share", _LOW_TOTAL, "most of the machine is idle"),
        shown("CPUs polling, effectively", polling, "count"),
    )  # fmt: skip
    if not all_met(evidence):
        return Judgement(f"{active:.1f} NAPIs were active at a time, polled by {polling:.1f} CPUs", evidence)
    bound, severity = _bound(facts)
    finding = Finding(
        "S4", "napi-convergence", DEFECT,
        f"{active:.0f} NAPIs are polled by {polling:.1f} CPUs, for {longest_s:.0f} s on end by"
        f" CPU {hot}, while all CPUs together are {units.share(facts.busy_share)} busy ({units.cores(facts.busy_ce)}).",
        f"rx.deliver → rx.napi of {len(facts.naps)} peers → CPU {hot}",
        evidence, severity, bound,
        (
            Step("Let kernel threads poll, which the scheduler spreads (after the first peer exists; mind kernels with"
                 " CVE-2026-52945).", "echo 1 > /sys/class/net/wg0/threaded"),
            Step("Or deliver without NAPIs of peers at all.", "sudo wgprof kmod load inline"),
        ),
        "Polls that spread over CPUs within seconds, or the same throughput with threaded NAPI.",
        ("cores", "pipeline", "queues"), cpu=hot, limits=True,
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _longest(converged: BoolArray, hottest: FloatArray, seconds: FloatArray) -> tuple[float, int]:
    """The longest time that convergence stayed on one CPU, and which."""
    best, current, cpu, best_cpu = 0.0, 0.0, -1, -1
    for is_converged, hot, length in zip(converged.tolist(), hottest.tolist(), seconds.tolist(), strict=True):
        if not is_converged or hot < 0:
            current, cpu = 0.0, -1
            continue
        current = current + length if int(hot) == cpu else length
        cpu = int(hot)
        if current > best:
            best, best_cpu = current, cpu
    return best, best_cpu


def _polls_of(facts: Facts, number: int) -> float | None:
    """The share of a CPU's busy time that polls took; None if the time is not known."""
    cpu = facts.cpu(number) if number >= 0 else None
    busy_ns = cpu.busy.value * float(facts.spans.seconds.sum()) * 1e9 if cpu and cpu.busy else 0.0
    polls_ns = sum(float(np.sum(napi.busy_on[number])) for napi in facts.naps if number in napi.busy_on)
    return polls_ns / busy_ns if busy_ns else None


def _bound(facts: Facts) -> tuple[Bound, Severity]:
    """Without convergence the NAPIs are limits one by one, and the way as a whole by what comes next."""
    polls_ce = sum(law.busy_ce.value for law in facts.laws.of("rx.napi"))
    share = polls_ce / facts.busy_ce if facts.busy_ce else None
    following = facts.laws.next_limit("rx", ("rx.napi",))
    if following is None or following.occupancy.value <= 0:
        return Bound(None), Severity(polls_ce, share)
    factor = max(1.0, 1 / following.occupancy.value)
    bound = Bound(factor, factor * facts.rate_pps("rx"), following.label, ASYMPTOTIC)
    return bound, Severity(polls_ce, share, *more_to_carry(facts, "rx", None, bound))


RULE = Rule(
    "S4",
    "napi-convergence",
    ("executions: rx.napi", "stages: rx.deliver", "cpus"),
    ("packets", "service times", "utilisation"),
    judge,
)
