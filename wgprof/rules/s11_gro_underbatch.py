"""S11 gro-underbatch: polls deliver so few packets that setting them up, and not merging packets, costs too much."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, shown

#: GRO merges within a poll: with one packet there is nothing to merge.
_FEW = 2.0
_SETUP_SHARE = 0.3


def judge(facts: Facts) -> Judgement:
    """Packets a productive poll, and how much of its time is not delivery."""
    polls, packets = sum(n.productive for n in facts.naps), sum(n.packets for n in facts.naps)
    if not polls or not packets:
        return Judgement("no poll delivered a packet")
    setup_ns = sum(max(n.own_ns - n.empty_ns, 0.0) for n in facts.naps)
    deliver_ns = sum(n.deliver_ns for n in facts.naps)
    seconds = float(facts.spans.seconds.sum())
    ce = setup_ns / 1e9 / seconds if seconds else 0.0
    evidence = (
        at_most("packets a productive poll", packets / polls, "packets", _FEW, "GRO merges within a poll", polls),
        at_least("set-up's share of the time of productive polls", setup_ns / (setup_ns + deliver_ns), "share",
                 _SETUP_SHARE, "delivery itself should be most of it", polls),
        at_least("CPU time of the set-up", ce, "CE", waste_threshold(facts), WASTE_SOURCE, polls),
        shown("set-up of a productive poll", setup_ns / polls, "ns", polls),
        shown("delivery of a packet", deliver_ns / packets, "ns", packets),
    )  # fmt: skip
    text = f"a productive poll delivers {units.digits(packets / polls)} packets; setting polls up takes {ce:.3f} CE"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S11", "gro-underbatch", DEFECT, f"{text[0].upper()}{text[1:]}.", "rx.deliver → rx.napi", evidence,
        waste(facts, ce), bound_of_waste(facts, ce),
        (
            Step("Let packets gather before a poll.", "echo 1 > /sys/class/net/wg0/threaded"),
            Step("See that GRO is on for the tunnel.", "ethtool -k wg0 | grep generic-receive-offload"),
        ),
        "More packets a poll at the same CPU time a packet.",
        ("packet_time", "cores"),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


RULE = Rule("S11", "gro-underbatch", ("executions: rx.napi", "stages: rx.deliver"), ("service times", "packets"), judge)
