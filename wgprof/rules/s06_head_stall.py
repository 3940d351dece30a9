"""S6 head-stall: packets that are ready wait for the head of their queue, which waits for a CPU to decrypt it."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.estimate import correlation, mean_of
from wgprof.analysis.held import Held
from wgprof.rules.bounds import FULL_CPU, UTILISATION
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Bound, Evidence, Finding, Severity, Step
from wgprof.rules.polling import Head
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, shown

#: A head that is being decrypted holds the next ones for one decryption; this is another kind of time.
_MUCH_LONGER = 10.0
_HELD_SHARE = 0.05
#: Of the time from decrypted to delivered: the rest is waiting for the poll itself.
_MOST_OF_WAIT = 0.5
LEAST_JOURNEYS = 50
_LEAST_EPISODES = 50
#: With fewer of the packets sampled, holders are missed.
_NEARLY_ALL = 0.9


def judge(facts: Facts) -> Judgement:
    """Each peer on its own, by its sampled journeys; where those cannot decide it, by the heads its polls met."""
    by_journeys = _judge_journeys(facts)
    return (_judge_heads(facts) if by_journeys.needs else None) or by_journeys


def _judge_journeys(facts: Facts) -> Judgement:
    missing = facts.missing(("journeys",))
    if missing:
        return Judgement("", needs=tuple(missing))
    peers = [row for row in facts.analysis.held if row.object is not None and row.journeys >= LEAST_JOURNEYS]
    if not peers:
        return Judgement(
            f"no peer has {LEAST_JOURNEYS} sampled packets that were followed to their delivery", needs=("journeys",)
        )
    delay = facts.works.get("decrypt.work")
    worst = max(peers, key=lambda row: row.held * row.held_mean_ns)
    found = [row for row in peers if all_met(_evidence(facts, row))]
    evidence = _evidence(facts, worst)
    if not found:
        hidden = next((row for row in peers if _may_hide(facts, row)), None)
        if hidden is not None:
            return Judgement(
                f"{units.share(_sampled(facts, hidden))} of the packets of {_label(facts, hidden)} were sampled, so"
                " most of those that held others were not seen",
                evidence,
                needs=("every packet (record with --sample 1)",),
            )
        return Judgement(
            f"{units.share(worst.held / worst.journeys)} of the packets of {_label(facts, worst)} were held, for"
            f" {units.duration(worst.held_mean_ns)} on average",
            evidence,
        )
    found.sort(key=lambda row: -row.held * row.held_mean_ns)
    findings = tuple(_finding(facts, row, delay.delay_mean_ns if delay else None) for row in found)
    return Judgement(findings[0].claim, findings[0].evidence, findings)


def _judge_heads(facts: Facts) -> Judgement | None:
    """None where they do not decide it either."""
    if facts.heads is None:
        return None
    stood = [(head, _evidence_of_head(facts, head)) for head in facts.heads if head.episodes >= _LEAST_EPISODES]
    if any(head.episodes < _LEAST_EPISODES and head.stood.value >= _HELD_SHARE for head in facts.heads):
        return None
    if not stood:
        return Judgement(f"no NAPI stood {_LEAST_EPISODES} times, or long, before a packet that was not decrypted")
    found = [pair for pair in stood if all_met(pair[1])]
    if found:
        found.sort(key=lambda pair: -pair[0].in_vain * pair[0].held_ns)
        findings = tuple(_finding_of_head(head, evidence) for head, evidence in found)
        return Judgement(findings[0].claim, findings[0].evidence, findings)
    if any(_may_hide_others(head, evidence) for head, evidence in stood):
        return None
    worst, evidence = max(stood, key=lambda pair: pair[0].in_vain * pair[0].held_ns)
    return Judgement(
        f"the NAPI of {worst.label} stood {units.share(worst.stood.value)} of the time before a packet that was not"
        f" decrypted, {units.duration(worst.mean_ns)} at a time",
        evidence,
    )


def _may_hide_others(head: Head, evidence: tuple[Evidence, ...]) -> bool:
    """Whether more packets may have been held than polls came in vain: one late poll is for many of them.

    And whether they may have been held longer, where it was not measured when the head was ready.
    """
    _, _, _, slack, *_ = evidence
    if head.timed:
        return all_met(evidence[1:])
    return bool(slack.met) and head.residual_ns >= _MUCH_LONGER * head.decrypt_ns


def _evidence_of_head(facts: Facts, head: Head) -> tuple[Evidence, ...]:
    who = head.label
    return (
        at_least(f"{who}: polls in vain before such a head, a delivered packet",
                 head.in_vain / head.delivered if head.delivered else None, "ratio", _HELD_SHARE,
                 "a ready packet asked for each; fewer are the ordinary disorder of parallel work", head.delivered),
        at_least(f"{who}: time that such a head still takes at a random moment, against a decryption",
                 head.held_ns / head.decrypt_ns if head.decrypt_ns else None, "ratio", _MUCH_LONGER,
                 "a head that is being decrypted holds the next for about one decryption", head.episodes),
        at_least(f"{who}: part of the time before such a head until it was decrypted", head.not_ready, "share",
                 _MOST_OF_WAIT, "the rest is waiting for the poll", head.episodes),
        _slack(facts),
        shown(f"{who}: time its NAPI stood before a head that was not decrypted", head.stood, "share", head.episodes),
        shown(f"{who}: time that such a head still takes at a random moment", head.held_ns, "ns", head.episodes),
    )  # fmt: skip


def _slack(facts: Facts) -> Evidence:
    return at_most("busy share of the least busy CPU", facts.least_busy, "share", FULL_CPU,
                   "when every CPU is busy, a head has to wait for one like everything else")  # fmt: skip


def _may_hide(facts: Facts, row: Held) -> bool:
    """Whether holders that were not sampled could make this peer a finding: its packets wait long enough for it."""
    least = _HELD_SHARE * _MUCH_LONGER * row.decrypt_mean_ns
    slack = facts.least_busy is not None and facts.least_busy.value <= FULL_CPU
    return slack and row.waits_mean_ns >= least and _sampled(facts, row) < _NEARLY_ALL


def _sampled(facts: Facts, row: Held) -> float:
    """The share of a peer's packets that were followed to their delivery."""
    packets = facts.packets("rx.deliver", row.object or 0)
    return row.journeys / packets if packets else 1.0


def _label(facts: Facts, row: Held) -> str:
    return facts.analysis.names.label(row.object or 0)


def _evidence(facts: Facts, row: Held) -> tuple[Evidence, ...]:
    who = _label(facts, row)
    held_of_wait = row.held * row.held_mean_ns / (row.waits_mean_ns * row.journeys) if row.waits_mean_ns else 0.0
    ratio = row.held_mean_ns / row.decrypt_mean_ns if row.decrypt_mean_ns else None
    work = facts.works.get("decrypt.work")
    rho, seconds = correlation(mean_of(row.held_ns, row.journeys_of), work.delay_of) if work else (None, 0)
    return (
        at_least(f"{who}: ready packets held by their head", row.held / row.journeys, "share", _HELD_SHARE,
                 "fewer are the ordinary disorder of parallel work", row.journeys),
        at_least(f"{who}: time held, against a decryption", ratio, "ratio", _MUCH_LONGER,
                 "a head that is being decrypted holds the next for about one decryption", row.held),
        at_least(f"{who}: part of rx.deliver.wait that is being held", held_of_wait, "share", _MOST_OF_WAIT,
                 "the rest is waiting for the poll", row.journeys),
        _slack(facts),
        shown(f"{who}: time held, mean", row.held_mean_ns, "ns", row.held),
        shown(f"{who}: time held, p99", row.held_p99_ns, "ns", row.held),
        shown("delay of decrypt.work from queued to running", work.delay_mean_ns if work else None, "ns"),
        shown("rank correlation of that delay with the time held, by second", rho, "count", seconds),
    )  # fmt: skip


def _finding(facts: Facts, row: Held, delay_ns: float | None) -> Finding:
    who = _label(facts, row)
    owner = max(row.holder_ns, key=lambda cpu: row.holder_ns[cpu], default=None)
    owned = row.holder_ns[owner] / sum(row.holder_ns.values()) if owner is not None else 0.0
    more = () if owner is None else (shown(f"{who}: held by heads decrypted on CPU {owner}", owned, "share", row.held),)
    return _found(
        f"{units.share(row.held / row.journeys)} of the packets of {who} were ready and waited"
        f" {units.duration(row.held_mean_ns)} on average for the head of their queue, whose decryption takes"
        f" {units.duration(row.decrypt_mean_ns)}.",
        f"rx.deliver.wait → rx-queue of {who} → decrypt.work" + (f" on CPU {owner}" if owner is not None else ""),
        (*_evidence(facts, row), *more), delay_ns, row.object, owner,
    )  # fmt: skip


def _finding_of_head(head: Head, evidence: tuple[Evidence, ...]) -> Finding:
    return _found(
        f"The NAPI of {head.label} stood {units.share(head.stood.value)} of the time before a packet that was not"
        f" decrypted, {units.duration(head.mean_ns)} at a time, whose decryption takes"
        f" {units.duration(head.decrypt_ns)}; packets that were ready behind it had it polled {head.in_vain:,} times in"
        f" vain.",
        f"rx.deliver.wait → rx-queue of {head.label} → decrypt.work", evidence, None, head.object, None,
    )  # fmt: skip


def _found(
    claim: str, where: str, evidence: tuple[Evidence, ...], delay_ns: float | None, peer: int | None, cpu: int | None
) -> Finding:
    return Finding(
        "S6", "head-stall", DEFECT, claim, where, evidence, Severity(),
        Bound(1.0, None, "nothing: it delays packets, no server is busy with it", UTILISATION),
        (
            Step("Keep other work off the CPUs that decrypt, so that a worker that holds a head is not preempted."),
            Step("Or choose the CPUs that decrypt.", "sudo wgprof kmod load steered"),
        ),
        "Times held that grow with the time of a decryption, or no delay of the decrypt workers"
        + (f" (it was {units.duration(delay_ns)} on average)." if delay_ns is not None else "."),
        ("packet_time", "queues"), object=peer, cpu=cpu,
    )  # fmt: skip


RULE = Rule("S6", "head-stall", (), ("journeys", "waits", "polls"), judge)
