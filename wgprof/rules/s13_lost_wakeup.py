"""S13 lost-wakeup: a peer's receive queue is full and its NAPI is never polled, while others are.

Threaded NAPI on some stable kernels (CVE-2026-52945).  What counts is what is seen, not the version.
"""

from __future__ import annotations

from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Bound, Finding, Severity, Step
from wgprof.rules.rule import Judgement, Rule, at_least, shown

#: Longer than any scheduling delay; a poll is due within milliseconds.
_LEAST_S = 1.0


def judge(facts: Facts) -> Judgement:
    """Intervals in which a queue was full, its NAPI did not run and others did."""
    if not facts.naps:
        return Judgement("no NAPI polled")
    longest = facts.stalls[0].seconds if facts.stalls else 0.0
    threaded = sum(1 for napi in facts.naps if napi.threaded == 1)
    evidence = (
        at_least("longest time a full rx-queue was not polled while others were", longest, "s", _LEAST_S,
                 "a poll is due within milliseconds", sum(s.intervals for s in facts.stalls)),
        shown("NAPIs in kernel threads", float(threaded), "count"),
    )  # fmt: skip
    stuck = [stall for stall in facts.stalls if stall.seconds >= _LEAST_S]
    if not stuck:
        return Judgement("no full rx-queue was left without a poll", evidence)
    labels = ", ".join(facts.analysis.names.label(stall.object) for stall in stuck[:3])
    finding = Finding(
        "S13", "lost-wakeup", DEFECT,
        f"The rx-queue of {labels} was full for {longest:.1f} s and its NAPI was not polled once, while others were.",
        f"rx.deliver.wait → rx-queue of {labels} → rx.napi", evidence, Severity(),
        Bound(None, None, "this peer receives nothing until its NAPI is raised again"),
        (
            Step("Go back to softirq NAPI.", "echo 0 > /sys/class/net/wg0/threaded"),
            Step("Set the interface down and up to free the peer now.", "ip link set wg0 down && ip link set wg0 up"),
            Step("Update to a kernel with the fix of CVE-2026-52945."),
        ),
        "A single poll of that NAPI while its queue is full.",
        ("queues", "cores"), object=stuck[0].object, limits=True,
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


RULE = Rule("S13", "lost-wakeup", ("depths", "executions: rx.napi"), ("depths", "packets"), judge)
