"""S16 not-wireguard: something outside WireGuard limits throughput.

Only causes that the recording shows are named.  Plain slack, with no such cause in sight, is no finding: the senders
simply offer less than WireGuard could carry, and the verdict says so.
"""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.rules.bounds import ASYMPTOTIC, FULL_CPU, FULL_CPU_SOURCE, SATURATED, SATURATED_SOURCE, UTILISATION
from wgprof.rules.facts import Device, Facts
from wgprof.rules.finding import ELSEWHERE, Bound, Evidence, Finding, Severity, Step
from wgprof.rules.rule import Judgement, Rule, all_met, at_least, at_most, nearness, shown

_MOST = 0.5
_ONE_THREAD_OUTSIDE = 0.7
_HANDS_OVER = 0.5
_OTHERS_FREE = 0.5
_WIREGUARD_FREE = 0.6
_NOTICEABLE_DROPS = 0.001
_NOTICEABLE_OVERFLOW = 0.01
#: IPV6_MIN_MTU: no path needs a smaller tunnel MTU for IPv6's sake.
_SMALL_MTU = 1280
_USUAL_MTU = 1420
_FILLED = 0.8
_SOME_SERVER_MATTERS = 0.7


def judge(facts: Facts) -> Judgement:
    """The causes one after another; what is nearest to one speaks when none is met."""
    causes = (
        _dropped_below(facts), _slow_reader(facts), _small_mtu(facts), _one_thread(facts), _cpus_elsewhere(facts)
    )  # fmt: skip
    found = [finding for _, finding in causes if finding is not None]
    if found:
        return Judgement(found[0].claim, found[0].evidence, tuple(found))
    nearest = max((evidence for evidence, _ in causes), key=nearness)
    return Judgement("no limit outside WireGuard is seen", nearest)


Cause = tuple[tuple[Evidence, ...], Finding | None]


def _finding(
    claim: str,
    where: str,
    evidence: tuple[Evidence, ...],
    severity: Severity,
    bound: Bound,
    steps: tuple[Step, ...],
    refuted_by: str,
    *,
    number: int | None = None,
    cpu: int | None = None,
) -> Finding:
    return Finding("S16", "not-wireguard", ELSEWHERE, claim, where, evidence, severity, bound, steps, refuted_by,
                   ("cores", "packet_time"), object=number, cpu=cpu, limits=True)  # fmt: skip


def _dropped_below(facts: Facts) -> Cause:
    """The outer path drops what WireGuard sends: a shaper, or a link that is full."""
    worst = max(facts.devices, key=_drop_share, default=None)
    if worst is None:
        return (), None
    seconds = max(float(facts.spans.seconds.sum()), 1e-9)
    evidence = (
        at_least(f"{worst.label}: packets dropped below WireGuard", _drop_share(worst), "share", _NOTICEABLE_DROPS,
                 "rarer drops are how TCP finds a limit", worst.sent_packets),
        at_most(f"{worst.label}: staged queues that were full", float(worst.staged_full), "count", 0,
                "a full staged queue drops into the same counter"),
    )  # fmt: skip
    if not all_met(evidence):
        return evidence, None
    rate = worst.tx_dropped / seconds
    return evidence, _finding(
        f"The outer path dropped {worst.tx_dropped:,} packets of {worst.label} ({units.share(_drop_share(worst))})"
        " after WireGuard had sent them: a shaper or a full link limits, not WireGuard.",
        "tx.send → outer qdisc or link", evidence, Severity(None, None, rate, None),
        Bound(1.0, None, "the outer path", ASYMPTOTIC),
        (
            Step("See where the outer device drops.", "tc -s qdisc show dev NIC"),
            Step("Raise the shaper's rate, or use a faster link."),
        ),
        "No drops in the outer device's queueing discipline.",
        number=worst.object,
    )  # fmt: skip


def _drop_share(device: Device) -> float:
    whole = device.sent_packets
    return device.tx_dropped / whole if whole else 0.0


def _slow_reader(facts: Facts) -> Cause:
    """What WireGuard delivers overflows the buffer of a UDP socket: its reader is too slow."""
    losses = [loss for loss in facts.analysis.ledger.losses if loss.cause == "receive-buffer-full"]
    delivered = sum(s.packets for s in facts.analysis.stages if s.stage == "rx.deliver" and s.object is None)
    worst = max(losses, key=lambda loss: loss.packets, default=None)
    lost = worst.packets if worst else 0
    where = worst.subject if worst else "UDP sockets"
    refused = sum(facts.refused.get(queue, (0, 0))[0] for queue in ("decrypt-ring", "rx-queue"))
    evidence = (
        at_least(f"{where}: datagrams that found a socket's buffer full, of packets delivered",
                 lost / delivered if delivered else None, "share", _NOTICEABLE_OVERFLOW,
                 "fewer come from bursts that a reader makes up for", delivered),
        at_most("packets that WireGuard's receive queues refused, of those", refused / lost if lost else None, "ratio",
                1.0, "most is lost in front of what limits", lost),
    )  # fmt: skip
    if not all_met(evidence):
        return evidence, None
    return evidence, _finding(
        f"In {where} {lost:,} datagrams of all UDP found their socket's buffer full (as many as"
        f" {units.share(lost / delivered)} of what WireGuard delivered): an application reads too slowly. WireGuard's"
        " own sockets have no part in it.",
        "rx.deliver → UDP socket → application", evidence,
        Severity(None, None, lost / facts.analysis.window.recorded_s if facts.analysis.window else None, None),
        Bound(1.0, None, "the application", ASYMPTOTIC),
        (
            Step("See whose socket drops: column d of skmem.", "ss -uamp"),
            Step("Make the reader faster, or give bursts more room.", "sysctl -w net.core.rmem_max=BYTES"),
        ),
        "No more RcvbufErrors in /proc/net/snmp at the same rate.",
    )  # fmt: skip


def _small_mtu(facts: Facts) -> Cause:
    """Packets are small because the tunnel's MTU is: per-packet costs come more often than they must."""
    used = [d for d in facts.devices if d.sent_packets and d.mtu]
    if not used:
        return (), None
    small = min(used, key=lambda device: device.mtu)
    busiest = max((law.occupancy.value for law in facts.laws.rows), default=0.0)
    evidence = (
        at_least(f"{small.label}: packets that a usual MTU would spare", max(0.0, 1 - small.mtu / _USUAL_MTU), "share",
                 1 - (_SMALL_MTU - 1) / _USUAL_MTU, "an MTU below IPv6's 1,280 (include/uapi/linux/ipv6.h)"),
        at_least(f"{small.label}: mean packet, of the MTU", small.mean_bytes / small.mtu, "share", _FILLED,
                 "packets are as large as the MTU lets them be", small.sent_packets),
        at_least("utilisation of the busiest server", busiest, "share", _SOME_SERVER_MATTERS,
                 "packets cost more than there is time for"),
    )  # fmt: skip
    if not all_met(evidence):
        return evidence, None
    factor = _USUAL_MTU / small.mtu
    return evidence, _finding(
        f"The MTU of {small.label} is {small.mtu:,}: with {_USUAL_MTU:,} the same bytes would take"
        f" {units.share(1 - 1 / factor)} fewer packets.",
        "tx.stage → all stages", evidence, Severity(), Bound(factor, None, "bytes instead of packets", UTILISATION),
        (Step("Raise the MTU as far as the outer path allows.", f"ip link set wg0 mtu {_USUAL_MTU}"),),
        "The same throughput with a larger MTU.",
        number=small.object,
    )  # fmt: skip


def _one_thread(facts: Facts) -> Cause:
    """One CPU is full of something that is not WireGuard, and everything else has time: a sender, a receiver."""
    if len(facts.cpus) < 2:
        return (), None
    hot = max(facts.cpus, key=lambda cpu: (cpu.threads_ce, cpu.busy.value))
    others = [cpu.busy.value for cpu in facts.cpus if cpu is not hot]
    servers = [law.occupancy.value for law in facts.laws.rows if law.kind not in ("cpus", "rx.softirq")]
    evidence = (
        at_least(f"busy share of CPU {hot.number}", hot.busy, "share", SATURATED, SATURATED_SOURCE),
        at_least(f"CPU {hot.number}: busy with threads outside WireGuard", hot.threads_ce, "CE", _ONE_THREAD_OUTSIDE,
                 "most of its time; what NICs do in softirqs is not a thread's"),
        at_least(f"packets of a peer that enter WireGuard on CPU {hot.number}", facts.entered.get(hot.number, 0.0),
                 "share", _HANDS_OVER,
                 "what sends, or acknowledges what it reads, does so where it runs; other work does not"),
        at_most("mean busy share of the other CPUs", sum(others) / len(others), "share", _OTHERS_FREE, "half is left"),
        at_most("utilisation of WireGuard's busiest server", max(servers, default=0.0), "share", _WIREGUARD_FREE,
                "a third or more is left"),
    )  # fmt: skip
    if not all_met(evidence):
        return evidence, None
    bound = 1 / max(max(servers, default=0.0), 1e-9)
    return evidence, _finding(
        f"CPU {hot.number} is {units.share(hot.busy.value)} busy, {units.cores(hot.threads_ce)} of it in threads"
        " outside WireGuard, while the other CPUs and all of WireGuard have time left: a single thread limits, a sender"
        " or a receiver.",
        f"outside WireGuard → CPU {hot.number}", evidence,
        Severity(hot.threads_ce, hot.threads_ce / facts.busy_ce if facts.busy_ce else None),
        Bound(bound, None, "WireGuard's busiest server", UTILISATION),
        (
            Step("See which thread it is.", f"ps -eLo psr,pcpu,comm --sort -pcpu | awk '$1 == {hot.number}' | head"),
            Step("Use several streams, or a sender and a receiver with more threads."),
        ),
        "More throughput without a change outside WireGuard.",
        cpu=hot.number,
    )  # fmt: skip


def _cpus_elsewhere(facts: Facts) -> Cause:
    """All CPUs are full, and most of that is not WireGuard."""
    part = facts.parts.get("outside")
    outside = part.value * facts.busy_ce if part else 0.0
    evidence = (
        at_least("busy share of the least busy CPU", facts.least_busy, "share", FULL_CPU, FULL_CPU_SOURCE),
        at_least("outside WireGuard, of all busy CPU time", part, "share", _MOST,
                 "more than all of WireGuard together"),
        shown("outside WireGuard", outside, "CE"),
    )  # fmt: skip
    if not all_met(evidence):
        return evidence, None
    left = facts.wireguard_ce / len(facts.cpus)
    factor = 1 / left if left > 0 else None
    return evidence, _finding(
        f"All CPUs are busy, and {units.share(outside / facts.busy_ce)} of that ({units.cores(outside)}) is outside"
        " WireGuard: senders, receivers, the rest of the network stack.",
        "outside WireGuard → all CPUs", evidence, Severity(outside, outside / facts.busy_ce),
        Bound(factor, None, "all CPUs, with WireGuard alone", ASYMPTOTIC),
        (
            Step("See what it is.", "perf top -a"),
            Step("Move the applications to other machines, or give this one more cores."),
        ),
        "More throughput after WireGuard's own cost fell.",
    )  # fmt: skip


RULE = Rule(
    "S16", "not-wireguard", ("cpus", "stages"), ("service times", "utilisation", "packets"), judge, queued=False
)
