"""S3 serial-tx: a peer's transmit work sends one packet at a time on its one CPU, and has no time left.

Variants: the works of two busy peers share a CPU, and fill it or always wait for it, because their internal ids are
equal modulo the number of CPUs (wg_cpumask_choose_online, drivers/net/wireguard/queueing.h); or the work shares its
CPU with something else, and runs or waits for it all the time while other CPUs have time: it cannot go there.
"""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.laws import Law
from wgprof.rules.bounds import SATURATED, SATURATED_SOURCE, bound_without, lost
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Evidence, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, nearness, shown
from wgprof.rules.s02_serial_rx import ALWAYS

_SLACK = 0.90
_SIZEABLE = 1 / 3
_MOST = 0.5
#: A peer that takes less of the CPU's transmit time is not one of those that collide.
_HOT_PEER = 0.25


def judge(facts: Facts) -> Judgement:
    """Each peer's transmit work on its own, then those that share a CPU."""
    laws = sorted(facts.laws.of("tx.work"), key=lambda law: -law.occupancy.value)
    if not laws:
        return Judgement("no transmit work ran")
    found = [_alone(facts, law, _evidence(facts, law)) for law in laws if all_met(_evidence(facts, law))]
    collided, closest, sharing = _collisions(facts, {finding.object for finding in found})
    # With whom they share their CPU says more of peers that collide than that they have to.
    if not found:
        alone = [law for law in laws if law.object not in sharing]
        found = [_alone(facts, law, _crowded(facts, law)) for law in alone if all_met(_crowded(facts, law))]
    evidence = max(_evidence(facts, laws[0]), _crowded(facts, laws[0]), closest, key=nearness)
    findings = (*found, *collided)
    if findings:
        return Judgement(findings[0].claim, findings[0].evidence, findings)
    return Judgement(f"the busiest, {laws[0].label}, is {units.share(laws[0].occupancy.value)} occupied", evidence)


def _evidence(facts: Facts, law: Law) -> tuple[Evidence, ...]:
    queue = facts.queue("tx-queue", law.object) if law.object is not None else None
    return (
        at_least(f"{law.label}: occupied, by itself and what runs on top of it", law.occupancy, "share", SATURATED,
                 SATURATED_SOURCE),
        at_least(f"{law.label}: time its tx-queue held hand-offs", queue.occupied if queue else None, "share", ALWAYS,
                 "it always has work"),
        _slack(facts),
        shown(f"{law.label}: depth of its tx-queue, p99 (limit 1,024)", queue.depth_p99 if queue else None,
              "hand-offs"),
        shown(f"{law.label}: busy itself", law.utilisation, "share"),
        shown(f"{law.label}: CPU time a packet", law.demand_ns, "ns"),
        shown(f"{law.label}: cores beyond which more give it nothing", facts.useful_cores(law), "count"),
        shown(f"{law.label}: cap", law.cap_pps, "packets/s"),
    )  # fmt: skip


def _crowded(facts: Facts, law: Law) -> tuple[Evidence, ...]:
    queue = facts.queue("tx-queue", law.object) if law.object is not None else None
    cpu = facts.cpu(_cpu_of(facts, law.object) or 0)
    return (
        at_least(f"{law.label}: occupied, by itself and what runs on top of it", law.occupancy, "share", _SIZEABLE,
                 "a third of its CPU: with less it is the others that need the time"),
        at_least(f"{law.label}: that, or queued and waiting for its CPU", _runs_or_waits(facts, law), "share",
                 SATURATED, SATURATED_SOURCE),
        at_least(f"{law.label}: time its tx-queue held hand-offs", queue.occupied if queue else None, "share", ALWAYS,
                 "it always has work"),
        at_least(f"busy share of its CPU{f' {cpu.number}' if cpu else ''}", cpu.busy if cpu else None, "share",
                 SATURATED, SATURATED_SOURCE),
        _slack(facts),
        shown(f"{law.label}: busy itself", law.utilisation, "share"),
        shown(f"{law.label}: CPU time a packet", law.demand_ns, "ns"),
        shown(f"{law.label}: cap, with its CPU to itself", law.cap_pps, "packets/s"),
    )  # fmt: skip


def _runs_or_waits(facts: Facts, law: Law) -> float:
    return min(law.occupancy.value + facts.send_delay.get(law.object or 0, 0.0), 1.0)


def _slack(facts: Facts) -> Evidence:
    return at_most("busy share of the least busy CPU", facts.least_busy, "share", _SLACK,
                   "encryption has time left somewhere")  # fmt: skip


def _alone(facts: Facts, law: Law, evidence: tuple[Evidence, ...]) -> Finding:
    bound = bound_without(facts, law)
    cpu = _cpu_of(facts, law.object)
    shares = "" if law.occupancy.value >= SATURATED else ", and waits for its CPU, which it has to share, the rest"
    return Finding(
        "S3", "serial-tx", DEFECT,
        f"{law.label} is {units.share(law.occupancy.value)} occupied ({units.cores(law.busy_ce.value)} of its own)"
        f"{shares}: it sends one packet at a time and caps this peer at"
        f" {units.rate(law.cap_pps.value if law.cap_pps else None)}.",
        f"tx.send → {law.label} → {'its CPU' if cpu is None else f'CPU {cpu}'}",
        evidence, lost(facts, law, bound), bound,
        (
            Step("Spread the traffic over several tunnels: each peer has a transmit work of its own."),
            *((Step("Keep crypto and other work off that CPU.", "sudo wgprof kmod load steered"),) if shares else ()),
            Step("Make sending cheaper: fewer netfilter and tc rules on the outer egress, larger packets."),
            Step("With many tunnels, do without this hand-off.", "sudo wgprof kmod load inline"),
        ),
        "More packets/s of this peer at the same cost a packet, or a tx-queue that runs empty under the same load.",
        ("pipeline", "queues", "cores"), object=law.object, cpu=cpu, limits=True,
    )  # fmt: skip


def _cpu_of(facts: Facts, peer: int | None) -> int | None:
    """The CPU on which nearly all of a peer's transmit work ran."""
    spent = {cpu: peers.get(peer, 0.0) for cpu, peers in facts.send_by_cpu.items()} if peer is not None else {}
    best = max(spent, key=lambda cpu: spent[cpu], default=None)
    return best if best is not None and spent[best] >= 0.9 * sum(spent.values()) > 0 else None


def _collisions(
    facts: Facts, saturated: set[int | None]
) -> tuple[list[Finding], tuple[Evidence, ...], set[int | None]]:
    """CPUs that several busy peers' works fill or wait for; the nearest to that, if several share one; the peers."""
    found, closest, sharing = [], None, set[int | None]()
    number = max(len(facts.cpus), 1)
    for cpu, peers in facts.send_by_cpu.items():
        whole = sum(peers.values())
        hot = sorted((p for p in peers if whole and peers[p] >= _HOT_PEER * whole), key=lambda p: -peers[p])
        if len(hot) < 2 or saturated & set(hot):
            continue
        ids = {p: facts.analysis.names.things[p].internal_id for p in hot if p in facts.analysis.names.things}
        same = len(ids) == len(hot) and min(ids.values()) >= 0 and len({i % number for i in ids.values()}) == 1
        if not same:
            continue
        parts = tuple(
            shown(f"tx.work of {facts.analysis.names.label(p)} on CPU {cpu} (internal id {ids[p]})", peers[p], "CE")
            for p in hot
        )
        evidence = (*_filled(facts, cpu, hot, whole), *parts)
        if not all_met(evidence):
            waiting = (*_waiting(facts, cpu, hot, whole), *parts)
            evidence = waiting if all_met(waiting) else evidence
        if closest is None or whole > (closest[0].value or 0.0):
            closest = evidence
        if all_met(evidence):
            found.append(_collision(facts, cpu, hot, whole, evidence))
            sharing |= set(hot)
    return found, closest or (), sharing


def _filled(facts: Facts, cpu: int, hot: list[int], whole: float) -> tuple[Evidence, ...]:
    return (
        at_least(f"transmit works of {len(hot)} busy peers on CPU {cpu}: occupied together", whole, "share",
                 SATURATED, SATURATED_SOURCE),
        _slack(facts),
    )  # fmt: skip


def _waiting(facts: Facts, cpu: int, hot: list[int], whole: float) -> tuple[Evidence, ...]:
    """Crypt workers run there as well, so that the works never fill the CPU; but each of them always runs or waits."""
    laws = [law for law in facts.laws.of("tx.work") if law.object in hot]
    there = facts.cpu(cpu)
    return (
        at_least(f"transmit works of {len(hot)} busy peers on CPU {cpu}: occupied together", whole, "share", _MOST,
                 "most of its CPU: with less it is others that take the time"),
        at_least("the one that waits least: runs, or is queued and waits for its CPU",
                 min((_runs_or_waits(facts, law) for law in laws), default=None), "share", SATURATED,
                 SATURATED_SOURCE),
        at_least(f"busy share of CPU {cpu}", there.busy if there else None, "share", SATURATED, SATURATED_SOURCE),
        _slack(facts),
    )  # fmt: skip


def _collision(facts: Facts, cpu: int, hot: list[int], whole: float, evidence: tuple[Evidence, ...]) -> Finding:
    law = next(law for law in facts.laws.of("tx.work") if law.object == hot[0])
    bound = bound_without(facts, law)
    return Finding(
        "S3", "serial-tx", DEFECT,
        f"The transmit works of {len(hot)} busy peers share CPU {cpu}, {units.share(whole)} occupied by them"
        f" ({units.cores(whole)}): their internal ids are equal modulo {len(facts.cpus)} CPUs.",
        f"tx.send → tx.work of {', '.join(facts.analysis.names.label(p) for p in hot[:3])} → CPU {cpu}",
        evidence, lost(facts, law, bound), bound,
        (
            Step("Remove one of the peers and add it again: it gets the next internal id, hence another CPU."),
            Step("Or choose the CPUs of transmit work.", "sudo wgprof kmod load steered"),
        ),
        "Time left on that CPU while both peers have packets queued, or other CPUs for the two works.",
        ("cores", "pipeline"), object=hot[0], cpu=cpu, limits=True,
    )  # fmt: skip


RULE = Rule(
    "S3",
    "serial-tx",
    ("executions: tx.work", "stages: tx.send", "depths"),
    ("packets", "rates", "service times", "utilisation", "caps", "depths"),
    judge,
)
