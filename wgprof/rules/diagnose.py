"""From an analysis to a diagnosis: every rule, what taints its findings, and which rule explains which away."""

from __future__ import annotations

from dataclasses import replace

from wgprof.analysis.checks import FAIL
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.rules import (
    s01_rss_funnel,
    s02_serial_rx,
    s03_serial_tx,
    s04_napi_convergence,
    s05_wasted_polls,
    s06_head_stall,
    s07_ring_contention,
    s08_wake_overhead,
    s09_blind_round_robin,
    s10_numa,
    s11_gro_underbatch,
    s12_silent_drop,
    s13_lost_wakeup,
    s14_crypto_bound,
    s15_threaded_overhead,
    s16_not_wireguard,
)
from wgprof.rules.facts import COLD_SPANS, Facts
from wgprof.rules.finding import FOUND, NOT_DECIDABLE, NOT_FOUND, Diagnosis, Finding, Outcome
from wgprof.rules.gathering import facts_of
from wgprof.rules.precedence import explain_away
from wgprof.rules.rule import Judgement, Rule

RULES: tuple[Rule, ...] = (
    s01_rss_funnel.RULE,
    s02_serial_rx.RULE,
    s03_serial_tx.RULE,
    s04_napi_convergence.RULE,
    s05_wasted_polls.RULE,
    s06_head_stall.RULE,
    s07_ring_contention.RULE,
    s08_wake_overhead.RULE,
    s09_blind_round_robin.RULE,
    s10_numa.RULE,
    s11_gro_underbatch.RULE,
    s12_silent_drop.RULE,
    s13_lost_wakeup.RULE,
    s14_crypto_bound.RULE,
    s15_threaded_overhead.RULE,
    s16_not_wireguard.RULE,
)


def diagnose(analysis: Analysis, recording: Tables) -> Diagnosis:
    """Run every rule.  Pure: reads tables, writes nothing."""
    facts = facts_of(analysis, recording)
    if facts is None:
        return Diagnosis(tuple(Outcome(r.id, r.name, NOT_FOUND, "nothing flowed") for r in RULES))
    if not facts.spans.seconds.any():
        reason = "rejected: no WireGuard interface moved a byte in this window, by its own counters"
        return Diagnosis(tuple(Outcome(r.id, r.name, NOT_FOUND, reason) for r in RULES))
    if facts.idle:
        reason = f"idle: WireGuard took {facts.wireguard_ce:.4f} CE, too little for anything in it to be a bottleneck"
        return Diagnosis(tuple(Outcome(r.id, r.name, NOT_FOUND, reason) for r in RULES))
    return Diagnosis(explain_away([outcome_of(rule, facts) for rule in RULES]))


def outcome_of(rule: Rule, facts: Facts) -> Outcome:
    """One rule on its own, before rules explain each other away."""
    if rule.queued and facts.analysis.variant.is_inline:
        return Outcome(rule.id, rule.name, NOT_FOUND, "inline has no rings, workers and peer queues between its stages")
    missing = facts.missing(rule.needs)
    if missing:
        return _undecidable(rule, Judgement("", needs=tuple(missing)))
    judgement = rule.judge(facts)
    if judgement.needs:
        return _undecidable(rule, judgement)
    if not judgement.findings:
        return Outcome(rule.id, rule.name, NOT_FOUND, judgement.reason, judgement.evidence)
    findings = tuple(replace(f, tainted_by=_taints(rule, f, facts)) for f in judgement.findings)
    return Outcome(rule.id, rule.name, FOUND, judgement.reason, judgement.evidence, findings)


def _undecidable(rule: Rule, judgement: Judgement) -> Outcome:
    reason = f"needs {', '.join(judgement.needs)}"
    if judgement.reason:
        reason += f": {judgement.reason}"
    return Outcome(rule.id, rule.name, NOT_DECIDABLE, reason, judgement.evidence, needs=judgement.needs)


def _taints(rule: Rule, finding: Finding, facts: Facts) -> tuple[str, ...]:
    """Failed checks that make doubtful what the rule rests on, and too little data."""
    words = {*rule.rests_on, *(need.partition(":")[0] for need in rule.needs), *rule.needs}
    failed: dict[str, int] = {}
    for check in facts.analysis.checks:
        touched = {taint.partition(":")[0].strip() for taint in check.taints} | set(check.taints)
        if check.verdict == FAIL and touched & words:
            failed[check.name] = failed.get(check.name, 0) + 1
    taints = [f"{name} failed" + (f" ({count} times)" if count > 1 else "") for name, count in failed.items()]
    if facts.cold:
        taints.append(f"cold: less than {COLD_SPANS} s of traffic")
    unsure = [e.figure for e in finding.evidence if e.met and e.sure is False]
    if unsure:
        taints.append(f"the interval reaches across the threshold: {unsure[0]}")
    return tuple(taints)
