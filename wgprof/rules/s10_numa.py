"""S10 numa: packets are decrypted on another node than they arrive on, or delivered on another than decrypted."""

from __future__ import annotations

from collections.abc import Mapping

from wgprof.analysis import units
from wgprof.analysis.estimate import Estimate
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Evidence, Finding, Step, ranked
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

_REMOTE_SHARE = 0.2
#: A remote access to memory takes 1.3 to 2 times a local one; little of a packet's time is such accesses.
_SLOWER = 1.1
_LOCAL = "echo 1 > /sys/class/net/wg0/wgprof/numa_local"
_CRYPTO_STEPS = (
    Step("Keep crypto on the node that hands over.", "sudo wgprof kmod load steered"),
    Step("Then, for every WireGuard device:", _LOCAL),
    Step("Or bind the NIC's interrupts and WireGuard's traffic to one node."),
)
_DELIVERY_STEPS = (
    Step("Decrypt on the node that delivers: keep crypto on one node.", "sudo wgprof kmod load steered"),
    Step("Then, for every WireGuard device:", _LOCAL),
    Step("Where NAPI is threaded, bind its thread to that node.", "taskset -pc CPUS $(pgrep 'napi/wg0-')"),
)


def judge(facts: Facts) -> Judgement:
    """Where packets are decrypted, against the node most arrive on; where they are delivered, against that."""
    if len(set(facts.nodes.values())) < 2:
        return Judgement("this machine has one NUMA node")
    parts = [part for part in (_decryption(facts), _delivery(facts)) if part is not None]
    if not parts:
        return Judgement("no packet was received and decrypted")
    findings = tuple(ranked([finding for part in parts for finding in part.findings]))
    evidence = tuple(figure for part in parts for figure in part.evidence)
    if findings:
        return Judgement(findings[0].claim, evidence, findings)
    reason = "; ".join(part.reason for part in parts)
    return Judgement(reason, evidence, needs=tuple(facts.missing(("journeys",))))


def _decryption(facts: Facts) -> Judgement | None:
    received = _by_node(facts.received, facts.nodes)
    decrypted = _by_node({cpu: float(v.sum()) for cpu, v in facts.decrypted.items()}, facts.nodes)
    whole = sum(decrypted.values())
    if not whole or not sum(received.values()):
        return None
    home = max(received, key=lambda node: received[node])
    remote = 1 - decrypted.get(home, 0.0) / whole
    near, far = _service_ns(facts, home, True), _service_ns(facts, home, False)
    slower = far / near if near and far else None
    extra_ce = max(far - near, 0.0) * remote * whole / _time_ns(facts) if near and far else 0.0
    evidence = (
        at_least(f"packets decrypted on another node than {home}, where they arrive", remote, "share", _REMOTE_SHARE,
                 "less is not worth moving", int(whole)),
        at_least("decryption there against here", slower, "ratio", _SLOWER, "beyond the interval of most recordings"),
        at_least("CPU time that takes", extra_ce, "CE", waste_threshold(facts), WASTE_SOURCE),
        shown(f"decryption on node {home}", near, "ns"),
        shown("decryption on the other nodes", far, "ns"),
    )  # fmt: skip
    text = f"{units.share(remote)} of the packets are decrypted on another node than {home}, where they arrive"
    finding = _finding(
        facts, evidence, slower, extra_ce, text,
        f"rx.decrypt → decrypt.work → nodes other than {home}", _CRYPTO_STEPS,
        "The same service times on both nodes, or a ratio that follows the CPUs' clock instead of the node.",
    )  # fmt: skip
    return Judgement(text, evidence, finding)


def _delivery(facts: Facts) -> Judgement | None:
    found = facts.analysis.crossing
    if found is None:
        return None
    far = found.far / found.journeys
    delivered, extra_ce = float(sum(facts.delivered.values())), 0.0
    if found.far_ns is not None and found.near_ns is not None:
        extra_ce = max(found.far_ns - found.near_ns, 0.0) * far * delivered / _time_ns(facts)
    evidence = (
        at_least("packets delivered on another node than they were decrypted on", far, "share", _REMOTE_SHARE,
                 "less is not worth moving", found.journeys),
        at_least("their delivery against that of others on the same node, of the same peer, at the same place in"
                 " their poll", found.slower, "ratio", _SLOWER, "beyond the interval of most recordings",
                 found.compared),
        at_least("the low end of that ratio's interval", found.slower.low if found.slower else None, "ratio", 1.0,
                 "more than chance"),
        at_least("CPU time that delivery there takes", extra_ce, "CE", waste_threshold(facts), WASTE_SOURCE),
        shown("delivery of a packet that was decrypted on another node", found.far_ns, "ns", found.compared),
        shown("delivery of one that was decrypted on the same", found.near_ns, "ns"),
    )  # fmt: skip
    text = f"{units.share(far)} of the packets are delivered on another node than they were decrypted on"
    finding = _finding(
        facts, evidence, found.slower.value if found.slower else None, extra_ce, text,
        "rx.deliver → rx.napi → another node than the decryption's", _DELIVERY_STEPS,
        "The same time for a delivery wherever its packet was decrypted.",
    )  # fmt: skip
    return Judgement(text, evidence, finding)


def _finding(
    facts: Facts,
    evidence: tuple[Evidence, ...],
    slower: float | None,
    extra_ce: float,
    text: str,
    where: str,
    steps: tuple[Step, ...],
    refuted_by: str,
) -> tuple[Finding, ...]:
    if not all_met(evidence):
        return ()
    return (
        Finding(
            "S10", "numa", DEFECT,
            f"{text}, and take {units.digits(slower or 0.0)} times as long there ({units.cores(extra_ce)}).",
            where, evidence, waste(facts, extra_ce), bound_of_waste(facts, extra_ce), steps, refuted_by, ("cores",),
        ),
    )  # fmt: skip


def _time_ns(facts: Facts) -> float:
    return max(float(facts.spans.seconds.sum()), 1e-9) * 1e9


def _by_node(by_cpu: Mapping[int, float] | Mapping[int, int], nodes: Mapping[int, int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for cpu, value in by_cpu.items():
        found[nodes.get(cpu, 0)] = found.get(nodes.get(cpu, 0), 0.0) + value
    return found


def _service_ns(facts: Facts, home: int, here: bool) -> float | None:
    """Mean time of a decryption on one node or on the others, weighted by packets."""
    rows: list[tuple[Estimate, float]] = [
        (facts.decrypt_ns[cpu], float(packets.sum()))
        for cpu, packets in facts.decrypted.items()
        if cpu in facts.decrypt_ns and (facts.nodes.get(cpu, 0) == home) == here
    ]
    whole = sum(packets for _, packets in rows)
    return sum(estimate.value * packets for estimate, packets in rows) / whole if whole else None


RULE = Rule(
    "S10", "numa", ("stages: rx.receive", "stages: rx.decrypt"), ("packets", "service times"), judge, queued=False
)
