"""Which rule explains which away: the one place where rules know of each other.

A rule that is explained away keeps its findings; they are shown as such and never ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from wgprof.rules.finding import EXPLAINED, FOUND, Finding, Outcome


def _always(explainer: Finding, explained: Finding) -> bool:
    return True


def _same_cpu(explainer: Finding, explained: Finding) -> bool:
    return explainer.cpu is None or explained.cpu is None or explainer.cpu == explained.cpu


def _takes_the_cpu(explainer: Finding, explained: Finding) -> bool:
    """Whether the limit is CPU time that others take; a link, a buffer and an MTU let every worker run."""
    return explainer.severity.ce is not None and _same_cpu(explainer, explained)


def _same_object(explainer: Finding, explained: Finding) -> bool:
    return explainer.object is None or explained.object is None or explainer.object == explained.object


@dataclass(frozen=True)
class Explains:
    """`by` explains `explained` away, for the pairs of findings for which `when` holds."""

    by: str
    explained: str
    because: str
    when: Callable[[Finding, Finding], bool] = _always


#: In this order, so that what was explained away explains nothing itself.
TABLE: tuple[Explains, ...] = (
    Explains("S16", "S2", "the limit lies outside WireGuard, so a busy NAPI is not what holds traffic up"),
    Explains("S16", "S3", "the limit lies outside WireGuard, so busy transmit work is not what holds traffic up"),
    Explains("S16", "S14", "the limit lies outside WireGuard, or makes its packets smaller than they must be"),
    Explains("S16", "S6", "a head waits for a CPU that something outside WireGuard keeps busy", _takes_the_cpu),
    Explains("S4", "S2", "the NAPI is busy because the polls of many peers share its CPU"),
    Explains("S4", "S1", "the CPU is full of polls that converged on it, not of what the NIC sends there", _same_cpu),
    Explains("S4", "S9", "the CPU is busy with polls that converged on it", _same_cpu),
    Explains("S1", "S9", "the CPU is busy with what the NIC sends there", _same_cpu),
    Explains("S13", "S12", "the queue is full because its NAPI is not polled any more"),
    Explains("S13", "S6", "packets wait because their NAPI is not polled any more", _same_object),
)


def explain_away(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """Apply the table.  A rule is explained away when every one of its findings is."""
    now = {outcome.id: outcome for outcome in outcomes}
    for row in TABLE:
        by, explained = now.get(row.by), now.get(row.explained)
        if by is None or explained is None or by.state != FOUND or explained.state != FOUND:
            continue
        left = [f for f in explained.findings if not any(row.when(cause, f) for cause in by.findings)]
        if left:
            now[row.explained] = replace(explained, findings=tuple(left))
        else:
            now[row.explained] = replace(explained, state=EXPLAINED, reason=row.because, explained_by=row.by)
    return tuple(now[outcome.id] for outcome in outcomes)
