"""S1 rss-funnel: one NIC queue, hence one CPU, receives everything, and that CPU has nothing left."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.laws import SOFTIRQ
from wgprof.rules.bounds import SATURATED, SATURATED_SOURCE, bound_without, lost
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Finding, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, shown

#: Nearly all: what arrives elsewhere are acknowledgements and other peers' strays.
_FUNNEL_SHARE = 0.9
_OTHERS_SOFTIRQ = 0.25


def judge(facts: Facts) -> Judgement:
    """Where packets are received, against where softirqs run."""
    received = sum(facts.received.values())
    if len(facts.cpus) < 2:
        return Judgement("this machine has one CPU, so nothing can be spread")
    if not received:
        return Judgement("no packet was received")
    hot = max(facts.received, key=lambda cpu: facts.received[cpu])
    cpu = facts.cpu(hot)
    law = next((law for law in facts.laws.of(SOFTIRQ) if law.cpu == hot), None)
    if cpu is None or law is None:
        return Judgement(f"the account of CPU {hot} is missing", needs=("cpus",))
    others = max(c.softirq.value for c in facts.cpus if c.number != hot)
    hottest = max(facts.cpus, key=lambda c: c.softirq.value)
    flows = _flows(facts)
    evidence = (
        at_least(f"packets received on CPU {hot}", facts.received[hot] / received, "share", _FUNNEL_SHARE,
                 "nearly all; acknowledgements may arrive elsewhere", received),
        at_least(f"softirq share of CPU {hot}", cpu.softirq, "share", SATURATED, SATURATED_SOURCE),
        at_most("largest softirq share of another CPU", others, "share", _OTHERS_SOFTIRQ,
                "others have room for three times as much"),
        shown("outer flows received", float(flows), "count"),
        shown(f"CPU time to receive a packet on CPU {hot}", law.demand_ns, "ns"),
    )  # fmt: skip
    if hottest.number != hot and hottest.softirq.value >= SATURATED:
        return Judgement(
            f"CPU {hottest.number} is full of softirqs, but packets are received on CPU {hot}: not the NIC's doing",
            evidence,
        )
    if not all_met(evidence):
        return Judgement(
            f"CPU {hot} receives most, with {units.share(cpu.softirq.value)} of its time in softirq", evidence
        )
    why = "there is one outer flow" if flows == 1 else f"its {flows} outer flows are hashed to one queue"
    bound = bound_without(facts, law)
    finding = Finding(
        "S1", "rss-funnel", DEFECT,
        f"CPU {hot} receives {units.share(facts.received[hot] / received)} of all packets and spends"
        f" {units.share(cpu.softirq.value)} of its time in softirqs ({units.cores(cpu.softirq.value)}): {why}.",
        f"rx.receive → receive softirq → CPU {hot}",
        evidence, lost(facts, law, bound), bound, _steps(flows),
        f"Another CPU receiving a tenth of the packets, or time left on CPU {hot} while traffic is offered.",
        ("cores", "pipeline"), cpu=hot, limits=True,
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _flows(facts: Facts) -> int:
    """Outer flows: peers from which a noticeable share of the packets came."""
    rows = [s for s in facts.analysis.stages if s.stage == "rx.receive" and s.object is not None]
    whole = sum(s.packets for s in rows)
    return sum(1 for s in rows if s.packets > 0.01 * whole)


def _steps(flows: int) -> tuple[Step, ...]:
    spread = Step(
        "Spread the traffic over several tunnels, each with ports of its own: one outer flow goes to one queue."
    )
    look = Step("See what the NIC hashes by.", "ethtool -n NIC rx-flow-hash udp4")
    ports = Step("Let the NIC hash UDP by addresses and ports.", "ethtool -N NIC rx-flow-hash udp4 sdfn")
    return (spread, look, ports) if flows == 1 else (look, ports, spread)


RULE = Rule("S1", "rss-funnel", ("stages: rx.receive", "cpus"), ("packets", "utilisation"), judge, queued=False)
