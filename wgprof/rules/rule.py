"""What a rule is: a name, what it needs of a recording, and a pure function over its facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wgprof.analysis.estimate import Estimate
from wgprof.rules.facts import Facts
from wgprof.rules.finding import AT_LEAST, AT_MOST, Evidence, Finding


@dataclass(frozen=True)
class Judgement:
    """What a rule's function says.  With `needs` it could not decide; with `findings` it found; else it did not."""

    reason: str
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """`needs`: what the recording must hold, TABLE or `TABLE: ITEM`, as in the attach plan.

    `rests_on`: the words by which quality checks say what their failure makes doubtful.  `queued`: it is about rings,
    workers and peer queues, which the inline variant does not have.
    """

    id: str
    name: str
    needs: tuple[str, ...]
    rests_on: tuple[str, ...]
    judge: Callable[[Facts], Judgement]
    queued: bool = True


def at_least(
    figure: str, value: float | Estimate | None, unit: str, threshold: float, source: str, n: int = 0
) -> Evidence:
    """A figure that speaks for the signature from `threshold` on."""
    return _evidence(figure, value, unit, n, AT_LEAST, threshold, source)


def at_most(
    figure: str, value: float | Estimate | None, unit: str, threshold: float, source: str, n: int = 0
) -> Evidence:
    """A figure that speaks for the signature up to `threshold`."""
    return _evidence(figure, value, unit, n, AT_MOST, threshold, source)


def shown(figure: str, value: float | Estimate | None, unit: str, n: int = 0) -> Evidence:
    """A figure to be read, without a threshold."""
    return _evidence(figure, value, unit, n)


def _evidence(
    figure: str,
    value: float | Estimate | None,
    unit: str,
    n: int,
    relation: str = "",
    threshold: float | None = None,
    source: str = "",
) -> Evidence:
    if isinstance(value, Estimate):
        return Evidence(figure, value.value, unit, n or value.n, value.low, value.high, relation, threshold, source)
    return Evidence(figure, value, unit, n, None, None, relation, threshold, source)


def all_met(evidence: tuple[Evidence, ...]) -> bool:
    """Whether every figure that has a threshold reaches it; a figure that is not known does not."""
    return all(e.met for e in evidence if e.threshold is not None)


def nearness(evidence: tuple[Evidence, ...]) -> float:
    """How near several figures that must all be met came: as near as the farthest of them."""
    return min((e.closeness for e in evidence if e.closeness is not None), default=0.0)
