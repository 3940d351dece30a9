"""S8 wake-overhead: a work item is woken for nearly every packet, and waking costs more than it should."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts, Work
from wgprof.rules.finding import DEFECT, Evidence, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

#: Towards one run a packet: every second packet wakes somebody.
_RUNS_A_PACKET = 0.5
#: Of `ipis`: those that CPUs got, whoever sent them.
_IPIS = ("reschedules", "calls")
_WORKERS = ("encrypt.work", "decrypt.work", "tx.work")


def judge(facts: Facts) -> Judgement:
    """Runs of workers a packet, and what the workers cost besides the stages in them."""
    works = [facts.works[kind] for kind in _WORKERS if kind in facts.works]
    if not any(work.packets for work in works):
        return Judgement("no worker moved a packet")
    worst = max((work for work in works if work.packets), key=_runs_a_packet)
    ce = sum(work.own_ce for work in works)
    executions = sum(work.executions for work in works)
    seconds = float(facts.spans.seconds.sum())
    sampled = facts.analysis.sampled
    switches = next((c.per_s for c in sampled.counters if c.event == "context-switches"), None) if sampled else None
    evidence = (
        at_least(f"runs of {worst.kind} a packet", _runs_a_packet(worst), "ratio", _RUNS_A_PACKET,
                 "every second packet wakes a worker", worst.executions),
        at_least("CPU time of the workers themselves", ce, "CE", waste_threshold(facts), WASTE_SOURCE, executions),
        shown("runs of all workers", executions / seconds if seconds else None, "1/s", executions),
        shown("context switches, by perf", switches, "1/s"),
        *_woken(facts, worst),
    )  # fmt: skip
    text = f"{worst.kind} runs {units.digits(_runs_a_packet(worst))} times a packet; the workers themselves take"
    text += f" {units.cores(ce)}"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S8", "wake-overhead", DEFECT, f"{text}.", f"{worst.kind} → kworkers", evidence, waste(facts, ce),
        bound_of_waste(facts, ce),
        (
            Step("Let packets gather: segmentation and receive offloads on, larger writes by the sender.",
                 "ethtool -K wg0 gso on gro on"),
            Step("Or run to completion, without hand-offs.", "sudo wgprof kmod load inline"),
        ),
        "The same CPU time a packet in a recording with few runs a packet.",
        ("cores", "pipeline"),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _woken(facts: Facts, work: Work) -> tuple[Evidence, ...]:
    """What of the runs needed a thread to be woken, and interrupts for it, where that was measured."""
    woken, mechanics = facts.woken(work.kind), facts.analysis.mechanics
    got = [row for row in mechanics.ipis if row.what in _IPIS]
    found = () if woken is None else (
        shown(f"threads woken for {work.kind}, a packet", woken.woken_per_packet, "ratio", woken.woken or 0),
        shown("time such a thread waited for its CPU, mean", woken.runqueue_mean_ns, "ns", woken.woken or 0),
    )  # fmt: skip
    if "ipis" not in mechanics.measured and not got:
        return found
    per_packet = sum(row.per_packet or 0.0 for row in got)
    return (*found, shown("interrupts between CPUs, a packet", per_packet, "ratio", sum(row.count for row in got)))


def _runs_a_packet(work: Work) -> float:
    return work.executions / work.packets


RULE = Rule("S8", "wake-overhead", ("executions: encrypt.work", "executions: decrypt.work"),
            ("service times", "utilisation"), judge)  # fmt: skip
