"""S1 rss-funnel: one NIC queue, hence one CPU, receives everything, and that CPU has nothing left."""

from __future__ import annotations

import shlex

from wgprof.analysis import units
from wgprof.analysis.laws import SOFTIRQ
from wgprof.analysis.outer import OuterInterface
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
    flows, nic = _flows(facts), _nic(facts)
    evidence = (
        at_least(f"packets received on CPU {hot}", facts.received[hot] / received, "share", _FUNNEL_SHARE,
                 "nearly all; acknowledgements may arrive elsewhere", received),
        at_least(f"softirq share of CPU {hot}", cpu.softirq, "share", SATURATED, SATURATED_SOURCE),
        at_most("largest softirq share of another CPU", others, "share", _OTHERS_SOFTIRQ,
                "others have room for three times as much"),
        shown("outer flows received", float(flows), "count"),
        shown(f"receive queues of {nic.label if nic else 'the NIC'}", float(nic.rx_queues) if nic else None, "count"),
        shown(f"packets that CPU {hot}'s backlog dropped", float(_dropped(facts, hot)), "packets"),
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
    why = "there is one outer flow" if flows == 1 else f"its {flows} outer flows are {_hashed(nic)}"
    bound = bound_without(facts, law)
    finding = Finding(
        "S1", "rss-funnel", DEFECT,
        f"CPU {hot} receives {units.share(facts.received[hot] / received)} of all packets and spends"
        f" {units.share(cpu.softirq.value)} of its time in softirqs ({units.cores(cpu.softirq.value)}): {why}.",
        f"rx.receive → receive softirq → CPU {hot}",
        evidence, lost(facts, law, bound), bound, _steps(flows, nic),
        f"Another CPU receiving a tenth of the packets, or time left on CPU {hot} while traffic is offered.",
        ("cores", "pipeline"), cpu=hot, limits=True,
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _flows(facts: Facts) -> int:
    """Outer flows: peers from which a noticeable share of the packets came."""
    rows = [s for s in facts.analysis.stages if s.stage == "rx.receive" and s.object is not None]
    whole = sum(s.packets for s in rows)
    return sum(1 for s in rows if s.packets > 0.01 * whole)


def _nic(facts: Facts) -> OuterInterface | None:
    """The interface most of the tunnels' packets come from, if the recording says which carry them."""
    interfaces = facts.analysis.outer.interfaces
    return max((i for i in interfaces if i.rx_pps > 0), key=lambda i: i.rx_pps, default=None)


def _dropped(facts: Facts, cpu: int) -> int:
    return sum(softnet.dropped for softnet in facts.analysis.outer.softnet if softnet.cpu == cpu)


def _by_ports(nic: OuterInterface | None) -> bool | None:
    """Whether the NIC's hash of UDP over IPv4 takes in ports; None where it does not say."""
    fields = nic.rss_hash.get("udp4") if nic else None
    return None if fields is None else bool({"f", "n"} & set(fields))


def _hashed(nic: OuterInterface | None) -> str:
    if nic is not None and nic.rx_queues == 1 and not nic.rps:
        return f"all in the one receive queue of {nic.label}"
    if _by_ports(nic) is False:
        return "hashed to one queue, by addresses alone"
    return "hashed to one queue"


def _steps(flows: int, nic: OuterInterface | None) -> tuple[Step, ...]:
    name = shlex.quote(nic.label.partition("@")[0]) if nic else "NIC"
    spread = Step(
        "Spread the traffic over several tunnels, each with ports of its own: one outer flow goes to one queue."
    )
    if nic is not None and nic.rx_queues == 1:
        every = "Have the kernel spread what one queue receives, where flows differ (RPS); bits are CPUs."
        software = Step(every, f"echo MASK > /sys/class/net/{name}/queues/rx-0/rps_cpus")
        return (spread,) if flows == 1 else (software, spread)
    look = Step("See what the NIC hashes by.", f"ethtool -n {name} rx-flow-hash udp4")
    ports = Step("Let the NIC hash UDP by addresses and ports.", f"ethtool -N {name} rx-flow-hash udp4 sdfn")
    hashes = (look,) if _by_ports(nic) else (look, ports)
    return (spread, *hashes) if flows == 1 else (*hashes, spread)


RULE = Rule("S1", "rss-funnel", ("stages: rx.receive", "cpus"), ("packets", "utilisation"), judge, queued=False)
