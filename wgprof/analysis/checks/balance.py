"""Packets that must balance, and queues that must obey Little's law."""

from __future__ import annotations

from collections.abc import Sequence

from wgprof.analysis import units
from wgprof.analysis.checks.check import FAIL, OK, UNKNOWN, Check
from wgprof.analysis.conservation import Balance, Refusals
from wgprof.analysis.little import BOUND, LEAST_DEPTH
from wgprof.analysis.names import Names
from wgprof.analysis.queues import Queue
from wgprof.analysis.tables import PEER_QUEUES, RINGS, STAGES

#: Stages and queues, which a failed balance between them taints.
_PLACES = frozenset((*(stage for way in STAGES.values() for stage in way), *PEER_QUEUES.values(), *RINGS.values()))
#: An inferred number of refusals may be off by this share, and by two.
_REFUSALS_SLACK = 0.05
_REFUSALS_LEAST = 2


def conservation_checks(balances: Sequence[Balance], against_interfaces: Sequence[Balance]) -> list[Check]:
    """Packets in = packets out + on their way + dropped."""
    rows = [_balance_check("conservation", b, ("packets", "rates")) for b in balances]
    rows += [_balance_check("interface counters", b, ("rates",)) for b in against_interfaces]
    return rows or [Check("conservation", "all stages", None, 0, "packets", UNKNOWN, "no packet was counted")]


def _balance_check(name: str, balance: Balance, taints: tuple[str, ...]) -> Check:
    way = max(balance.may_lack, balance.may_exceed)
    detail = f"{balance.relation}: {balance.entered:,} − {balance.left:,} = {balance.difference:,}"
    if way:
        detail += f", allowed −{balance.may_lack:,} to {balance.may_exceed:,}"
    if balance.note:
        detail += f" ({balance.note})"
    verdict = OK if balance.holds else FAIL
    bound = balance.may_exceed if balance.difference >= 0 else -balance.may_lack
    if balance.blames and verdict == FAIL:
        # What came in went out: only what this one stage counted is in doubt.
        detail += f"; around {balance.blames} it balances, so that stage was miscounted"
        return Check(
            name, balance.subject, balance.difference, bound, "packets", FAIL, detail, ("service times", balance.blames)
        )
    places = tuple(word for word in balance.relation.split() if word in _PLACES)
    return Check(name, balance.subject, balance.difference, bound, "packets", verdict, detail, (*taints, *places))


def refusal_checks(refusals: Sequence[Refusals]) -> list[Check]:
    """Refusals inferred from full rings against those that are missing behind them."""
    rows = []
    for ring in refusals:
        bound = max(_REFUSALS_LEAST, round(_REFUSALS_SLACK * max(ring.missing, 0))) + ring.on_way
        value = ring.inferred - ring.missing
        verdict = OK if abs(value) <= bound else FAIL
        detail = f"{ring.inferred:,} inferred at the {ring.ring}, {ring.missing:,} missing behind it"
        taints = ("refusals", ring.ring)
        rows.append(Check("refusals", ring.subject, value, bound, "packets", verdict, detail, taints))
    return rows


def little_checks(queues: Sequence[Queue], names: Names, has_queues: bool = True) -> list[Check]:
    """L = lambda W on every queue; nothing where the module passes packets on without any."""
    rows = []
    for queue in queues:
        law = queue.law
        if law is None:
            continue
        subject = f"{queue.queue} of {names.label(queue.object)}"
        detail = f"L {units.digits(law.depth)} {queue.unit}"
        if law.product is not None and law.residual is not None:
            between = "" if law.residual_interval is None else f" ± {law.residual_interval * 100:.1f}"
            detail += (
                f"; λW {units.digits(law.rate)}/s × {units.duration(law.wait_ns)} = {units.digits(law.product)}"
                f"; residual {law.residual * 100:+.1f}{between} %"
            )
        if law.reason:
            detail += f"; {law.reason}"
        value = None if law.residual is None else abs(law.residual)
        taints = ("waits", "depths", queue.queue)
        rows.append(Check("Little's law", subject, value, BOUND, "share", law.verdict, detail, taints))
    if rows or not has_queues:
        return rows
    return [
        Check("Little's law", "all queues", None, BOUND, "share", UNKNOWN, f"no queue held {LEAST_DEPTH:g} on average")
    ]
