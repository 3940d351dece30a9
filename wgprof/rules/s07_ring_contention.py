"""S7 ring-contention: CPUs spin for the lock of a ring that all workers of a device share."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Evidence, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

#: Functions in which a CPU waits for a spinlock; ptr_ring_{produce,consume}_bh are inlined into WireGuard's own.
_SPINNING = ("queued_spin_lock_slowpath", "_raw_spin_lock_bh", "_raw_spin_lock")
#: Callers that take a ring's lock (drivers/net/wireguard/queueing.h).
_RINGS = ("wg_packet_encrypt_worker", "wg_packet_decrypt_worker", "wg_packet_send_staged_packets", "wg_packet_receive")
_SPINNING_TIME = "CPU time spinning for a ring's lock"


def judge(facts: Facts) -> Judgement:
    """By what the probes saw of the rings' locks; else by sampled stacks."""
    evidence = _measured(facts) or _sampled(facts)
    if not evidence:
        return Judgement(
            "spinning was not measured, and no stacks were sampled",
            needs=("contention (record with --detail), or stacks (record with --stacks 10)",),
        )
    ce = evidence[0].value or 0.0
    text = f"{units.cores(ce)} were spent spinning for the lock of a ring"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S7", "ring-contention", DEFECT, f"{text}.", "encrypt-ring, decrypt-ring → workers",
        evidence, waste(facts, ce), bound_of_waste(facts, ce),
        (
            Step("Spread the traffic over several WireGuard interfaces: each device has rings of its own."),
            Step("Or have fewer workers take from a ring.", "sudo wgprof kmod load steered"),
            Step("Or pass no ring at all.", "sudo wgprof kmod load inline"),
        ),
        "The same throughput with fewer CPUs online.",
        ("cores",),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _measured(facts: Facts) -> tuple[Evidence, ...]:
    """Time between finding a ring's lock taken and getting it."""
    if facts.spinning is None:
        return ()
    rows = facts.analysis.mechanics.contention
    waits = sum(row.waits for row in rows)
    worst = max(rows, key=lambda row: row.spin_ce, default=None)
    who = f"{worst.lock} of {facts.analysis.names.label(worst.object)}" if worst else ""
    of_worst = (
        shown(f"{who}: waits a hand-off", worst.per_handoff, "ratio", worst.waits),
        shown(f"{who}: time of a wait, p99", worst.p99_ns, "ns", worst.waits),
    ) if worst else ()  # fmt: skip
    return (
        at_least(_SPINNING_TIME, facts.spinning, "CE", waste_threshold(facts), WASTE_SOURCE, waits),
        shown("the same as a share of all busy CPU time",
              facts.spinning.value / facts.busy_ce if facts.busy_ce else None, "share"),
        *of_worst,
    )  # fmt: skip


def _sampled(facts: Facts) -> tuple[Evidence, ...]:
    """Time in a spinlock whose caller is one that takes a ring's lock."""
    sampled = facts.analysis.sampled
    if sampled is None or not sampled.samples:
        return ()
    spinning = [stack for stack in sampled.stacks if _spins(stack.path)]
    ce = sum(stack.ce for stack in spinning)
    samples = sum(stack.samples for stack in spinning)
    return (
        at_least(f"{_SPINNING_TIME}, by sampled stacks", ce, "CE", waste_threshold(facts), WASTE_SOURCE, samples),
        shown("the same as a share of WireGuard's sampled time",
              ce / sampled.wireguard_ce if sampled.wireguard_ce else None, "share", sampled.samples),
    )  # fmt: skip


def _spins(path: tuple[str, ...]) -> bool:
    """Whether a lock is being waited for right below a function that takes a ring's lock."""
    for place, function in enumerate(path):
        if function.endswith(_SPINNING):
            return place > 0 and path[place - 1] in _RINGS
    return False


RULE = Rule("S7", "ring-contention", (), ("utilisation", "contention"), judge)
