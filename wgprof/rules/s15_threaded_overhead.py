"""S15 threaded-overhead: threaded NAPI costs more CPU time a packet the more tunnels are active, and moves about."""

from __future__ import annotations

import numpy as np

from wgprof.analysis import units
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Finding, Step
from wgprof.rules.polling import spread
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

_LEAST_SPANS = 3
_GROWTH = 1.2


def judge(facts: Facts) -> Judgement:
    """Poll time a packet in the seconds with few active NAPIs against those with many."""
    threaded = [napi for napi in facts.naps if napi.threaded == 1]
    if not threaded:
        known = any(napi.threaded == 0 for napi in facts.naps)
        if facts.naps and not known:
            return Judgement("whether NAPI is threaded is not known", needs=("objects: threaded",))
        return Judgement("no NAPI runs in a kernel thread")
    seconds = float(facts.spans.seconds.sum())
    moves = sum(row.moves for row in facts.analysis.held if row.object in {n.object for n in threaded})
    moved = shown("sampled deliveries on another CPU than the peer's one before (at least)",
                  moves / seconds if seconds else None, "1/s", moves)  # fmt: skip
    active = spread(tuple(threaded), len(facts.spans)).active
    levels = [n for n in np.unique(active) if n > 0 and np.count_nonzero(active == n) >= _LEAST_SPANS]
    if len(levels) < 2:
        return Judgement(
            f"{len(threaded)} NAPIs are threaded, and the number that was active did not change",
            (moved,),
            needs=("seconds with different numbers of active tunnels; or `wgprof compare` with fewer tunnels",),
        )
    own = np.sum([napi.own_of for napi in threaded], axis=0)
    packets = np.sum([napi.packets_of for napi in threaded], axis=0)
    few, many = (float(own[active == n].sum() / max(packets[active == n].sum(), 1)) for n in (levels[0], levels[-1]))
    extra_ce = max(many - few, 0.0) * float(packets[active == levels[-1]].sum()) / 1e9
    extra_ce /= max(float(facts.spans.seconds[active == levels[-1]].sum()), 1e-9)
    evidence = (
        at_least(f"poll time a packet with {levels[-1]:.0f} active NAPIs against {levels[0]:.0f}",
                 many / few if few else None, "ratio", _GROWTH, "more than one recording's intervals differ by"),
        at_least("CPU time that takes", extra_ce, "CE", waste_threshold(facts), WASTE_SOURCE),
        moved,
    )  # fmt: skip
    text = f"poll time a packet is {units.duration(few)} with {levels[0]:.0f} active NAPIs and"
    text += f" {units.duration(many)} with {levels[-1]:.0f}"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S15", "threaded-overhead", DEFECT, f"{text[0].upper()}{text[1:]} ({units.cores(extra_ce)} more).",
        "rx.deliver → rx.napi → kernel threads", evidence, waste(facts, extra_ce), bound_of_waste(facts, extra_ce),
        (
            Step("Bind each tunnel's NAPI thread to a CPU.", "taskset -pc CPU $(pgrep 'napi/wg0-')"),
            Step("Or deliver without NAPIs of peers at all.", "sudo wgprof kmod load inline"),
        ),
        "The same poll time a packet with any number of active tunnels.",
        ("cores",),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


RULE = Rule("S15", "threaded-overhead", ("executions: rx.napi", "journeys"), ("service times", "packets"), judge)
