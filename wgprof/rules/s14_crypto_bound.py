"""S14 crypto-bound: every CPU is busy, and encryption is what keeps them so.  A healthy ceiling, not a defect."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import ASYMPTOTIC, FULL_CPU, FULL_CPU_SOURCE
from wgprof.rules.facts import Facts
from wgprof.rules.finding import CEILING, Bound, Finding, Severity, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

_POOLS = ("encrypt.work", "decrypt.work", "tx.inline", "rx.inline", "cpus")


def judge(facts: Facts) -> Judgement:
    """Where the CPU time goes: crypto, the rest of WireGuard, everything else."""
    crypto, busy, parts = facts.crypto_ce, facts.busy_ce, facts.parts
    if len(parts) < 3:
        return Judgement("the CPUs were not busy")
    largest = max(parts["rest"].value, parts["outside"].value)
    evidence = (
        at_least("busy share of the least busy CPU", facts.least_busy, "share", FULL_CPU, FULL_CPU_SOURCE),
        at_least("ChaCha20-Poly1305 with its workers, of all busy CPU time", parts["crypto"], "share", largest,
                 "the larger of the two below: crypto is the largest part"),
        shown("WireGuard's other stages, of all busy CPU time", parts["rest"], "share"),
        shown("everything outside WireGuard, of all busy CPU time", parts["outside"], "share"),
        shown("ChaCha20-Poly1305 with its workers", crypto, "CE"),
    )  # fmt: skip
    text = f"the CPUs are {units.share(facts.busy_share)} busy ({units.cores(busy)}), crypto is"
    text += f" {units.share(parts['crypto'].value)} of that ({units.cores(crypto)})"
    if not all_met(evidence):
        return Judgement(text, evidence)
    bound = _bound(facts, crypto)
    finding = Finding(
        "S14", "crypto-bound", CEILING,
        f"All {len(facts.cpus)} CPUs are {units.share(facts.busy_share)} busy ({units.cores(busy)}), and encryption is"
        f" the largest part of it: {units.share(parts['crypto'].value)} ({units.cores(crypto)}).",
        "tx.encrypt, rx.decrypt → crypt workers → all CPUs", evidence,
        Severity(crypto, parts["crypto"].value), bound,
        (
            Step("More or faster cores, or ones with vector instructions for ChaCha20-Poly1305 (AVX2, AVX-512)."),
            Step("Larger packets, if the path allows: fewer of them for the same bytes.", "ip link set wg0 mtu MTU"),
        ),
        "Time left on a CPU while packets wait for crypto.",
        ("cores", "packet_time"), limits=True,
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _bound(facts: Facts, crypto_ce: float) -> Bound:
    """If crypto cost nothing: the CPUs' other work, and the serial servers, are the next limits."""
    left = (facts.busy_ce - crypto_ce) / len(facts.cpus)
    if left <= 0:
        return Bound(None, law=ASYMPTOTIC)
    serial = [law for d in ("tx", "rx") for law in [facts.laws.next_limit(d, _POOLS)] if law is not None]
    tightest = max(serial, key=lambda law: law.occupancy.value, default=None)
    if tightest is not None and tightest.occupancy.value > left:
        factor, name = 1 / tightest.occupancy.value, tightest.label
    else:
        factor, name = 1 / left, "all CPUs, with everything but crypto"
    return Bound(max(1.0, factor), max(1.0, factor) * facts.rate_pps("tx"), name, ASYMPTOTIC)


RULE = Rule("S14", "crypto-bound", ("cpus", "stages: tx.encrypt", "stages: rx.decrypt"),
            ("service times", "utilisation", "caps"), judge, queued=False)  # fmt: skip
