"""S9 blind-round-robin: packets are sent to be decrypted on a CPU that has no time, because it is its turn."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import FULL_CPU, FULL_CPU_SOURCE, UTILISATION
from wgprof.rules.facts import Cpu, Facts
from wgprof.rules.finding import DEFECT, Bound, Evidence, Finding, Severity, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, shown

_BY_OTHERS = 0.5
#: Its part of the crypto against an even share: the ring is shared, so that the others' workers take most of what it
#: should have taken.
_EVEN = 0.25
#: Its part of the head stalls against its part of the packets.
_OWNS_STALLS = 2.0
_LEAST_HELD = 30


def judge(facts: Facts) -> Judgement:
    """CPUs that something else keeps busy, and what they decrypt all the same."""
    packets = {cpu: float(values.sum()) for cpu, values in facts.decrypted.items()}
    whole = sum(packets.values())
    if len(facts.cpus) < 2 or not whole:
        return Judgement("nothing was decrypted that another CPU could have decrypted")
    taken = max(facts.cpus, key=lambda cpu: cpu.busy.value - cpu.crypto_ce)
    evidence = _evidence(facts, taken, packets, whole)
    if not all_met(evidence):
        return Judgement(
            f"the CPU most busy with something else is {taken.number}:"
            f" {units.share(max(taken.busy.value - taken.crypto_ce, 0.0))} besides crypto",
            evidence,
        )
    part = packets.get(taken.number, 0.0) / whole
    finding = Finding(
        "S9", "blind-round-robin", DEFECT,
        f"CPU {taken.number} is {units.share(taken.busy.value)} busy, {units.cores(taken.busy.value - taken.crypto_ce)}"
        f" of it besides crypto, and still decrypts {units.share(part)} of the packets, which hold up those behind"
        " them.",
        f"rx.decrypt → decrypt.work → CPU {taken.number}", evidence, Severity(taken.crypto_ce, None, None, None),
        Bound(1.0, None, "nothing while other CPUs have time: it delays packets", UTILISATION),
        (
            Step("Keep WireGuard's workers off that CPU.", "sudo wgprof kmod load steered"),
            Step("Or move the other work: interrupts, softirqs of other flows, the application's affinity."),
        ),
        "Short waits of the packets that this CPU decrypts.",
        ("cores", "packet_time"), cpu=taken.number,
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _evidence(facts: Facts, taken: Cpu, packets: dict[int, float], whole: float) -> tuple[Evidence, ...]:
    others = min(cpu.busy.value for cpu in facts.cpus if cpu is not taken)
    part = packets.get(taken.number, 0.0) / whole
    everything = next((row for row in facts.analysis.held if row.object is None), None)
    held = sum(everything.holder_ns.values()) if everything else 0.0
    number = everything.held if everything else 0
    owned = everything.holder_ns.get(taken.number, 0.0) / held if everything and held else None
    stalls = owned / part if owned is not None and part > 0 else None
    return (
        at_least(f"busy share of CPU {taken.number}", taken.busy, "share", FULL_CPU, FULL_CPU_SOURCE),
        at_least(f"CPU {taken.number}: busy with something else than crypto", taken.busy.value - taken.crypto_ce, "CE",
                 _BY_OTHERS, "most of its time"),
        at_most("busy share of the least busy CPU", others, "share", FULL_CPU, "another CPU has time left"),
        at_least(f"CPU {taken.number}: its part of the decryption against an even one", part * len(facts.cpus), "ratio",
                 _EVEN, "a quarter of its turn or more", int(whole)),
        at_least("sampled packets that were held by the head of their queue", float(number), "packets", _LEAST_HELD,
                 "of fewer it is chance where their heads were decrypted"),
        at_least(f"CPU {taken.number}: its part of the time packets were held, against its part of the packets", stalls,
                 "ratio", _OWNS_STALLS, "twice what would be its due", number),
        *(shown(f"rx.decrypt.wait of what CPU {row.cpu} decrypted", row.wait_mean_ns, "ns", row.journeys)
          for row in facts.analysis.crypt_waits[:8]),
    )  # fmt: skip


RULE = Rule("S9", "blind-round-robin", ("stages: rx.decrypt", "cpus", "journeys"), ("waits", "utilisation"), judge)
