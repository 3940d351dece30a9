"""S12 silent-drop: full queues refuse packets that no interface counter shows."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.tables import direction_of
from wgprof.rules.facts import Facts
from wgprof.rules.finding import DEFECT, Bound, Evidence, Finding, Severity, Step
from wgprof.rules.rule import Judgement, Rule, at_least, shown

#: A TCP flow is slowed down by less; what is rarer is how a flow learns that a queue is full.
_NOTICEABLE = 0.001
_QUEUES = ("tx-queue", "encrypt-ring", "rx-queue", "decrypt-ring")
_ERRORS = {"tx-queue": "ENOSPC", "rx-queue": "ENOSPC", "encrypt-ring": "EPIPE", "decrypt-ring": "EPIPE"}


def judge(facts: Facts) -> Judgement:
    """Refusals by queue, against what the interfaces counted as dropped."""
    worst = max((q for q in _QUEUES if q in facts.refused), key=lambda queue: _share(facts, queue), default="")
    if not worst:
        return Judgement("no packet was handed to a queue")
    evidence = tuple(_evidence(facts, queue, queue == worst) for queue in _QUEUES if queue in facts.refused)
    counted = sum(device.tx_dropped + device.rx_dropped for device in facts.devices)
    refused = sum(facts.refused[queue][0] for queue in _QUEUES if queue in facts.refused)
    shows = shown("packets that the interfaces counted as dropped", float(counted), "packets")
    overflow = shown("staged queues that were full", float(sum(d.staged_full for d in facts.devices)), "count")
    evidence = (*evidence, shows, overflow)
    found = [queue for queue in _QUEUES if queue in facts.refused and _share(facts, queue) >= _NOTICEABLE]
    if not found:
        return Judgement(f"queues refused {refused:,} packets", evidence)
    if counted >= refused:
        return Judgement(f"queues refused {refused:,} packets, and the interfaces counted {counted:,}", evidence)
    seconds = max(float(facts.spans.seconds.sum()), 1e-9)
    rate = sum(facts.refused[queue][0] for queue in found) / seconds
    finding = Finding(
        "S12", "silent-drop", DEFECT,
        f"The {worst} refused {facts.refused[worst][0]:,} packets ({units.share(_share(facts, worst))},"
        f" {_ERRORS[worst]}); the interfaces counted {counted:,}.",
        f"{worst} → {'transmit' if direction_of(worst) == 'tx' else 'receive'}", evidence,
        Severity(None, None, rate, None), Bound(None, None, "what empties the queue: see the other findings"),
        (
            Step("Find what empties the queue too slowly: the limit named above, if there is one."),
            Step("Pace the senders: a queue of 1,024 (MAX_QUEUED_PACKETS, drivers/net/wireguard/messages.h) that is"
                 " always full only adds delay."),
            Step("Or let senders wait instead of dropping.", "sudo wgprof kmod load inline"),
        ),
        "An interface counter that grows by as many packets.",
        ("queues",),
    )  # fmt: skip
    return Judgement(finding.claim, evidence, (finding,))


def _share(facts: Facts, queue: str) -> float:
    refused, came = facts.refused[queue]
    return refused / came if came else 0.0


def _evidence(facts: Facts, queue: str, decides: bool) -> Evidence:
    if not decides:
        return shown(f"packets the {queue} refused", _share(facts, queue), "share", facts.refused[queue][1])
    return at_least(f"packets the {queue} refused", _share(facts, queue), "share", _NOTICEABLE,
                    "rarer refusals are how TCP finds the limit", facts.refused[queue][1])  # fmt: skip


RULE = Rule("S12", "silent-drop", ("arrivals",), ("packets", "rates"), judge)
