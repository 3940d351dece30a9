"""S10 numa: packets are decrypted or delivered on another node than the one they arrive on, and that costs time."""

from __future__ import annotations

from collections.abc import Mapping

from wgprof.analysis import units
from wgprof.analysis.estimate import Estimate
from wgprof.rules.bounds import WASTE_SOURCE, bound_of_waste, waste, waste_threshold
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, shown

_REMOTE_SHARE = 0.2
#: A remote access to memory takes 1.3 to 2 times a local one; little of a packet's time is such accesses.
_SLOWER = 1.1


def judge(facts: Facts) -> Judgement:
    """The node most packets arrive on against the others."""
    if len(set(facts.nodes.values())) < 2:
        return Judgement("this machine has one NUMA node")
    received = _by_node(facts.received, facts.nodes)
    decrypted = _by_node({cpu: float(v.sum()) for cpu, v in facts.decrypted.items()}, facts.nodes)
    whole = sum(decrypted.values())
    if not whole or not sum(received.values()):
        return Judgement("no packet was received and decrypted")
    home = max(received, key=lambda node: received[node])
    remote = 1 - decrypted.get(home, 0.0) / whole
    near, far = _service_ns(facts, home, True), _service_ns(facts, home, False)
    slower = far / near if near and far else None
    extra_ce = 0.0
    if near and far:
        extra_ce = max(far - near, 0.0) * remote * whole / 1e9 / max(float(facts.spans.seconds.sum()), 1e-9)
    evidence = (
        at_least(f"packets decrypted on another node than {home}, where they arrive", remote, "share", _REMOTE_SHARE,
                 "less is not worth moving", int(whole)),
        at_least("decryption there against here", slower, "ratio", _SLOWER, "beyond the interval of most recordings"),
        at_least("CPU time that takes", extra_ce, "CE", waste_threshold(facts), WASTE_SOURCE),
        shown(f"decryption on node {home}", near, "ns"),
        shown("decryption on the other nodes", far, "ns"),
        shown("packets delivered on another node", _remote(facts.delivered, facts.nodes, home), "share"),
    )  # fmt: skip
    text = f"{units.share(remote)} of the packets are decrypted on another node than {home}, where they arrive"
    if not all_met(evidence):
        return Judgement(text, evidence)
    finding = Finding(
        "S10", "numa", DEFECT,
        f"{text}, and take {units.digits(slower or 0.0)} times as long there ({units.cores(extra_ce)}).",
        f"rx.decrypt → decrypt.work → nodes other than {home}", evidence, waste(facts, extra_ce),
        bound_of_waste(facts, extra_ce),
        (
            Step("Keep crypto on the node that hands over.", "sudo wgprof kmod load steered"),
            Step("Then, for every WireGuard device:", "echo 1 > /sys/class/net/wg0/wgprof/numa_local"),
            Step("Or bind the NIC's interrupts and WireGuard's traffic to one node."),
        ),
        "The same service times on both nodes, or a ratio that follows the CPUs' clock instead of the node.",
        ("cores",),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _by_node(by_cpu: Mapping[int, float] | Mapping[int, int], nodes: Mapping[int, int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for cpu, value in by_cpu.items():
        found[nodes.get(cpu, 0)] = found.get(nodes.get(cpu, 0), 0.0) + value
    return found


def _remote(by_cpu: Mapping[int, int], nodes: Mapping[int, int], home: int) -> float | None:
    whole = sum(by_cpu.values())
    return 1 - _by_node(by_cpu, nodes).get(home, 0.0) / whole if whole else None


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
