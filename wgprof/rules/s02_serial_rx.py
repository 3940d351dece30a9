"""S2 serial-rx: one peer's NAPI delivers one packet at a time, and has no time left."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.batches import BUDGET, NEAR_BUDGET
from wgprof.analysis.laws import Law
from wgprof.rules.bounds import SATURATED, SATURATED_SOURCE, bound_without, lost
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Evidence, Finding, Step
from wgprof.rules.polling import Napi
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, shown

_FEW_EMPTY = 0.10
#: The queue is hardly ever found empty: the server always had work.
ALWAYS = 0.90


def judge(facts: Facts) -> Judgement:
    """Each NAPI on its own; the busiest speaks when none is saturated."""
    laws = {law.object: law for law in facts.laws.of("rx.napi")}
    rows = [(laws[napi.object], napi) for napi in facts.naps if napi.object in laws]
    if not rows:
        return Judgement("no NAPI polled")
    rows.sort(key=lambda row: -row[0].occupancy.value)
    found = [_finding(facts, law, napi) for law, napi in rows if all_met(_evidence(facts, law, napi))]
    law, napi = rows[0]
    evidence = _evidence(facts, law, napi)
    if found:
        return Judgement(found[0].claim, evidence, tuple(found))
    reason = f"the busiest NAPI, of {napi.label}, is {units.share(law.occupancy.value)} occupied"
    if law.full_cap_pps is not None:
        reason += f"; with polls of {BUDGET} packets it could deliver {units.rate(law.full_cap_pps.value)}"
    return Judgement(reason, evidence)


def _evidence(facts: Facts, law: Law, napi: Napi) -> tuple[Evidence, ...]:
    queue = facts.queue("rx-queue", napi.object)
    who = f"NAPI of {napi.label}"
    return (
        at_least(f"{who}: occupied, by itself and what runs on top of it", law.occupancy, "share", SATURATED,
                 SATURATED_SOURCE),
        at_least(f"{who}: packets a productive poll", napi.packets_per_poll, "packets", NEAR_BUDGET,
                 f"half of NAPI's budget of {BUDGET} (include/linux/netdevice.h)", napi.productive),
        at_most(f"{who}: polls that delivered nothing", napi.empty / napi.polls if napi.polls else None, "share",
                _FEW_EMPTY, "it always finds a packet that is ready", napi.polls),
        at_least(f"{who}: time its rx-queue held packets", queue.occupied if queue else None, "share", ALWAYS,
                 "it always has work"),
        shown(f"{who}: depth of its rx-queue, p99 (limit 1,024)", queue.depth_p99 if queue else None, "packets"),
        shown(f"{who}: busy itself", law.utilisation, "share"),
        shown(f"{who}: CPU time a packet", law.demand_ns, "ns"),
        shown(f"{who}: cores beyond which more give it nothing", facts.useful_cores(law), "count"),
        *_caps(facts, law, napi),
    )  # fmt: skip


def _caps(facts: Facts, law: Law, napi: Napi) -> tuple[Evidence, ...]:
    """The cap, or what it is at least and what it is if polls were full."""
    who = f"NAPI of {napi.label}"
    if napi.packets_per_poll is None or napi.packets_per_poll >= NEAR_BUDGET:
        return (shown(f"{who}: cap", law.cap_pps, "packets/s"),)
    cost = facts.analysis.polls.get(napi.object)
    return (
        shown(f"{who}: cap with as many packets a poll as now: at least", law.cap_pps, "packets/s"),
        shown(f"{who}: cap with polls of {BUDGET} packets", law.full_cap_pps, "packets/s", cost.several if cost else 0),
        shown(f"{who}: what each further packet of a poll adds", cost.further_ns if cost else None, "ns"),
    )


def _finding(facts: Facts, law: Law, napi: Napi) -> Finding:
    bound = bound_without(facts, law)
    return Finding(
        "S2", "serial-rx", DEFECT,
        f"The NAPI of {napi.label} is {units.share(law.occupancy.value)} occupied"
        f" ({units.cores(law.busy_ce.value)} of its own): it delivers one packet at a time and caps this peer at"
        f" {units.rate(law.cap_pps.value if law.cap_pps else None)}.",
        f"rx.deliver → rx.napi of {napi.label} → {_places(napi)}",
        _evidence(facts, law, napi), lost(facts, law, bound), bound,
        (
            Step("Spread the traffic over several tunnels: each peer has a NAPI of its own."),
            Step("Make delivery cheaper: larger packets, fewer netfilter and tc rules on the tunnel's ingress."),
            Step("With many tunnels, do without the hand-off to this NAPI.", "sudo wgprof kmod load inline"),
        ),
        "More packets/s of this peer at the same cost a packet, or an rx-queue that runs empty under the same load.",
        ("pipeline", "queues", "cores"), object=napi.object, limits=True,
    )  # fmt: skip


def _places(napi: Napi) -> str:
    busy = {cpu: float(values.sum()) for cpu, values in napi.busy_on.items()}
    whole = sum(busy.values()) or 1.0
    cpus = sorted((cpu for cpu in busy if busy[cpu] >= 0.1 * whole), key=lambda cpu: -busy[cpu])
    return ("CPU " if len(cpus) == 1 else "CPUs ") + ", ".join(map(str, cpus[:8]))


RULE = Rule(
    "S2",
    "serial-rx",
    ("executions: rx.napi", "stages: rx.deliver", "depths"),
    ("packets", "rates", "service times", "utilisation", "caps", "depths"),
    judge,
)
