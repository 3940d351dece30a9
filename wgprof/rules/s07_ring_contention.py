"""S7 ring-contention: CPUs spin for the lock of a ring that all workers of a device share."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

#: Functions in which a CPU waits for a spinlock; ptr_ring_{produce,consume}_bh are inlined into WireGuard's own.
_SPINNING = ("queued_spin_lock_slowpath", "_raw_spin_lock_bh", "_raw_spin_lock")
#: Callers that take a ring's lock (drivers/net/wireguard/queueing.h).
_RINGS = ("wg_packet_encrypt_worker", "wg_packet_decrypt_worker", "wg_packet_send_staged_packets", "wg_packet_receive")


def judge(facts: Facts) -> Judgement:
    """By sampled stacks: time in a spinlock whose caller is one that takes a ring's lock."""
    sampled = facts.analysis.sampled
    if sampled is None or not sampled.samples:
        return Judgement("no stacks were sampled", needs=("stacks (record with --stacks 10)",))
    spinning = [stack for stack in sampled.stacks if _spins(stack.path)]
    ce = sum(stack.ce for stack in spinning)
    samples = sum(stack.samples for stack in spinning)
    evidence = (
        at_least("CPU time spinning for a ring's lock", ce, "CE", waste_threshold(facts), WASTE_SOURCE, samples),
        shown("the same as a share of WireGuard's sampled time",
              ce / sampled.wireguard_ce if sampled.wireguard_ce else None, "share", sampled.samples),
    )  # fmt: skip
    text = f"{units.cores(ce)} were spent spinning for the lock of a ring"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S7", "ring-contention", DEFECT, f"{text}, by {samples:,} sampled stacks.",
        "encrypt-ring, decrypt-ring → workers",
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


def _spins(path: tuple[str, ...]) -> bool:
    """Whether a lock is being waited for right below a function that takes a ring's lock."""
    for place, function in enumerate(path):
        if function.endswith(_SPINNING):
            return place > 0 and path[place - 1] in _RINGS
    return False


RULE = Rule("S7", "ring-contention", (), ("utilisation",), judge)
