"""The answer in three lines that a tired engineer understands: what limits, what to do, whether to believe it."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.cores import OTHER_SOFTIRQ
from wgprof.analysis.summary import Analysis, busy_words, limits_line, quality_line, speed_line
from wgprof.rules.bounds import FULL_CPU
from wgprof.rules.finding import AT_LEAST, CEILING, ELSEWHERE, NOT_DECIDABLE, NOT_FOUND, Diagnosis, Finding
from wgprof.rules.rule import nearness

#: A server less busy than this has room to spare.
_NEAR = 0.8
#: A rule whose farthest figure is this close to its threshold came near.
_NEARLY = 0.8
_KINDS = {CEILING: ", a healthy ceiling", ELSEWHERE: ""}


def verdict(analysis: Analysis, diagnosis: Diagnosis) -> list[str]:
    """The answer; before it, that the packets were not encrypted, if so."""
    warning = analysis.variant.warning
    lines = answer(analysis, diagnosis)
    return [warning, *lines] if warning else lines


def answer(analysis: Analysis, diagnosis: Diagnosis) -> list[str]:
    """Three lines; when the recording contradicts itself, that comes first; a fourth when it was constructed."""
    quality = quality_line(analysis)
    top = diagnosis.top
    if analysis.headline is None:
        lines = [
            "Nothing flowed: no packet passed a WireGuard stage while this was recorded.",
            "Send traffic through the tunnel while recording; `wg show` says whether the peers have shaken hands.",
        ]
    elif top is not None:
        lines = [_found(top, diagnosis), f"{speed_line(analysis)} {_what_then(top)}"]
    else:
        lines = [_nothing(analysis, diagnosis), f"{speed_line(analysis)} {limits_line(analysis.headline)}"]
    lines = [quality, *lines] if analysis.failed else [*lines, quality]
    return [*lines, f"Constructed: {analysis.constructed}"] if analysis.constructed else lines


def _found(top: Finding, diagnosis: Diagnosis) -> str:
    others = [finding for finding in diagnosis.findings if finding is not top]
    more = ""
    if others:
        names = ", ".join(dict.fromkeys(f"{finding.id} {finding.name}" for finding in others))
        more = f" Also found: {names}."
    doubt = f" Doubtful: {'; '.join(top.tainted_by)}." if top.doubtful else ""
    return f"{top.id} {top.name}{_KINDS.get(top.kind, '')}: {top.claim}{doubt}{more}"


def _what_then(top: Finding) -> str:
    parts = []
    factor = top.bound.factor
    if factor is not None and factor > 1.005:
        then = f"; then the limit is {top.bound.next_limit}" if top.bound.next_limit else ""
        parts.append(f"Without it ×{units.digits(factor)} at most{then}.")
    elif factor is not None:
        parts.append("Without it no more throughput.")
    if top.steps:
        step = top.steps[0]
        parts.append(f"Next: {step.text}" + (f" `{step.command}`" if step.command else ""))
    return " ".join(parts)


def _nothing(analysis: Analysis, diagnosis: Diagnosis) -> str:
    """No signature fits: then either the CPUs are full, or nothing is."""
    headline = analysis.headline
    assert headline is not None
    if headline.cpus and min(core.busy for core in analysis.cores) >= FULL_CPU:
        full = "Nothing found but full CPUs: no signature fits, and no part is most of it."
        return f"{full} {_parts(analysis)}{_open(diagnosis)}"
    busiest = max((f.server for f in headline.throughput if f.server), key=lambda s: s.occupancy, default=None)
    if busiest is None:
        return f"Nothing found: no server's busy time was measured.{_open(diagnosis)}"
    could = "WireGuard could carry more than was offered" if busiest.occupancy < _NEAR else "no signature fits"
    return f"Nothing found: {could}. Its busiest server, {busiest.label}, is {busy_words(busiest)}.{_open(diagnosis)}"


def _open(diagnosis: Diagnosis) -> str:
    """Which rule came nearest, if one came near, and which could not be decided."""
    near = ""
    nearest = max(diagnosis.of(NOT_FOUND), key=lambda outcome: nearness(outcome.evidence), default=None)
    if nearest is not None and nearest.closest is not None and nearness(nearest.evidence) >= _NEARLY:
        closest = nearest.closest
        sign = "≥" if closest.relation == AT_LEAST else "≤"
        was, wanted = (units.quantity(value, closest.unit) for value in (closest.value, closest.threshold))
        near = f" Nearest: {nearest.id} {nearest.name}, but {closest.figure} was {was} ({sign} {wanted} wanted)."
    names = [f"{outcome.id} {outcome.name}" for outcome in diagnosis.of(NOT_DECIDABLE)]
    return near + (f" Could not be decided: {', '.join(names)}." if names else "")


def _parts(analysis: Analysis) -> str:
    """Where the CPU time goes, in CE."""
    measured: dict[str, float] = {}
    for core in analysis.cores:
        for track, ce in core.measured.items():
            measured[track] = measured.get(track, 0.0) + ce
    crypto = measured.get("tx.encrypt", 0.0) + measured.get("rx.decrypt", 0.0)
    wireguard = sum(ce for track, ce in measured.items() if track != OTHER_SOFTIRQ)
    busy = sum(core.busy for core in analysis.cores)
    return (
        f"Encryption takes {units.cores(crypto)}, the rest of WireGuard {units.cores(wireguard - crypto)}, everything"
        f" else {units.cores(max(busy - wireguard, 0.0))} of {units.cores(busy)}."
    )
