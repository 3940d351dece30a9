"""Bounds on what removing something can give, and thresholds that several rules share."""

from __future__ import annotations

from wgprof.analysis.laws import Law
from wgprof.rules.facts import Facts
from wgprof.rules.finding import Bound, Severity

#: A server this busy is saturated.
SATURATED = 0.95
SATURATED_SOURCE = "saturated, within the 5 % that the busy-time check allows"
#: A CPU this busy has no time left to give.
FULL_CPU = 0.90
FULL_CPU_SOURCE = "a tenth of a CPU is what the kernel's ticks and short sleeps can hide"
#: Work that takes less than this share of the machine, or of a core, is not worth a finding.
WASTE_SHARE, WASTE_CE = 0.05, 0.5
WASTE_SOURCE = "5 % of the machine or half a core; counts of events are not CPU time"
ASYMPTOTIC = "asymptotic bound: X <= 1 / largest demand (Denning and Buzen 1978)"
UTILISATION = "utilisation law: U = X D (Denning and Buzen 1978)"


def waste_threshold(facts: Facts) -> float:
    """From how many CE on a waste is worth a finding on this machine."""
    return min(WASTE_SHARE * max(len(facts.cpus), 1), WASTE_CE)


def bound_without(facts: Facts, law: Law) -> Bound:
    """What a way can carry when this server is no limit any more: until the next one is busy all the time."""
    following = facts.laws.next_limit(law.direction, (law.kind,), law.object)
    if following is None or following.occupancy.value <= 0:
        return Bound(None, law=ASYMPTOTIC)
    factor = max(1.0, 1 / following.occupancy.value)
    return Bound(factor, factor * facts.rate_pps(law.direction, law.object), following.label, ASYMPTOTIC)


def bound_of_waste(facts: Facts, ce: float) -> Bound:
    """What it gives to save CPU time: throughput only where all CPUs are busy, and at most in proportion."""
    if facts.busy_share < FULL_CPU:
        return Bound(1.0, None, "not CPU time: the CPUs are not full", UTILISATION)
    left = facts.busy_ce - ce
    factor = facts.busy_ce / left if left > 0 else None
    return Bound(factor, None if factor is None else factor * _busier_pps(facts), "all CPUs", UTILISATION)


def _busier_pps(facts: Facts) -> float:
    """Packets a second of the direction that carries more."""
    return max(facts.rate_pps("tx"), facts.rate_pps("rx"))


def lost(facts: Facts, law: Law, bound: Bound) -> Severity:
    """The severity of a saturated server: what the way could carry besides."""
    share = law.busy_ce.value / facts.busy_ce if facts.busy_ce else None
    return Severity(law.busy_ce.value, share, *more_to_carry(facts, law.direction, law.object, bound))


def more_to_carry(facts: Facts, direction: str, number: int | None, bound: Bound) -> tuple[float, float]:
    """Packets/s and Mbit/s that a way could carry besides, of one peer or (`number` None) of all."""
    more = max((bound.factor or 1.0) - 1.0, 0.0) * facts.rate_pps(direction, number)
    rows = [s for s in facts.analysis.stages if s.direction == direction and s.object == number]
    return more, more * (rows[-1].mean_bytes if rows else 0.0) * 8 / 1e6


def waste(facts: Facts, ce: float) -> Severity:
    """The severity of CPU time spent for nothing."""
    bound = bound_of_waste(facts, ce)
    more = max((bound.factor or 1.0) - 1.0, 0.0) * _busier_pps(facts)
    return Severity(ce, ce / facts.busy_ce if facts.busy_ce else None, more, None)
