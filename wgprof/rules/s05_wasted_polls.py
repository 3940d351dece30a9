"""S5 wasted-polls: polls that find the head of their queue not yet decrypted and deliver nothing."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Evidence, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

#: Some are unavoidable: a poll is due for every decrypted packet, in whatever order they are finished.
_NOTICEABLE = 0.10


def judge(facts: Facts) -> Judgement:
    """The CPU time of empty polls; their number alone says little."""
    polls, empty = sum(n.polls for n in facts.naps), sum(n.empty for n in facts.naps)
    if not polls:
        return Judgement("no NAPI polled")
    seconds = float(facts.spans.seconds.sum())
    ce = sum(n.empty_ns for n in facts.naps) / 1e9 / seconds if seconds else 0.0
    evidence = (
        at_least("CPU time in polls that delivered nothing", ce, "CE", waste_threshold(facts), WASTE_SOURCE, empty),
        at_least("polls that delivered nothing", empty / polls, "share", _NOTICEABLE,
                 "fewer are unavoidable when packets are finished out of order", polls),
        shown("CPU time of such a poll", sum(n.empty_ns for n in facts.naps) / empty if empty else None, "ns", empty),
        shown("the same as a share of all busy CPU time", ce / facts.busy_ce if facts.busy_ce else None, "share"),
        *_causes(facts),
    )  # fmt: skip
    text = f"{units.share(empty / polls)} of {polls:,} polls delivered nothing, which took {ce:.3f} CE"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S5", "wasted-polls", DEFECT, f"{text}.", "rx.deliver → rx.napi", evidence, waste(facts, ce),
        bound_of_waste(facts, ce),
        (
            Step("Threaded NAPI polls less often for nothing.", "echo 1 > /sys/class/net/wg0/threaded"),
            Step("Delivering where packets are decrypted needs no such polls.", "sudo wgprof kmod load inline"),
        ),
        "The same throughput and CPU time in a recording with few empty polls.",
        ("cores", "pipeline"),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _causes(facts: Facts) -> tuple[Evidence, ...]:
    """What the polls found, and why they were due, where the probes told them apart."""
    polls = facts.polls
    if polls is None or not polls.executions:
        return ()
    runs, wasted = polls.executions, polls.empty_queue + polls.head_not_ready
    not_ready = polls.head_not_ready / wasted if wasted else None
    return (
        shown("empty polls that met a head that was not decrypted", not_ready, "share", wasted),
        shown("polls asked for while their NAPI was being polled", polls.missed / runs, "share", polls.missed),
        shown("such polls that delivered nothing", polls.missed_wasted / runs, "share", polls.missed_wasted),
        shown("polls on top of a worker that encrypts or decrypts", polls.nested / runs, "share", polls.nested),
        shown("CPU time of those on top that delivered nothing", polls.nested_wasted_ce, "CE", polls.nested_wasted),
    )


RULE = Rule("S5", "wasted-polls", ("executions: rx.napi",), ("service times", "utilisation"), judge)
