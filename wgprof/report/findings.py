"""Findings and what was ruled out, as lines and tables of text."""

from __future__ import annotations

from dataclasses import dataclass

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.report.sheets import Sheet
from wgprof.rules.finding import (
    AT_LEAST,
    CEILING,
    DEFECT,
    ELSEWHERE,
    EXPLAINED,
    FOUND,
    NOT_DECIDABLE,
    NOT_FOUND,
    Diagnosis,
    Evidence,
    Finding,
    Outcome,
)

_SIGNS = {AT_LEAST: "≥"}
_STATES = {NOT_FOUND: "no", NOT_DECIDABLE: "open", EXPLAINED: "no"}
KINDS = {DEFECT: "defect", CEILING: "healthy ceiling", ELSEWHERE: "not WireGuard"}
_LONGEST = 400


@dataclass(frozen=True)
class Shown:
    """A finding ready to be drawn: a heading, lines under it, its evidence, and what to do."""

    finding: Finding
    title: str
    lines: list[str]
    evidence: Sheet
    steps: list[tuple[str, str]]  # text and command


def shown_findings(diagnosis: Diagnosis) -> list[Shown]:
    """Every finding, worst first."""
    return [_shown(finding) for finding in diagnosis.findings]


def ruled_out_sheet(diagnosis: Diagnosis) -> Sheet:
    """The rules that found nothing, with how close they came; what could not be decided; what was explained away."""
    columns = ("", "signature", "why not", "closest figure", "was", "wanted")
    sheet = Sheet("What was ruled out, and how close it came", columns, left=4)
    for outcome in diagnosis.outcomes:
        if outcome.state != FOUND:
            sheet.add(_ruled_out(outcome), "unknown" if outcome.state == NOT_DECIDABLE else "")
    return sheet


def _shown(finding: Finding) -> Shown:
    title = f"{finding.id} {finding.name} ({KINDS[finding.kind]}): {clean(finding.claim, _LONGEST)}"
    lines = [f"Where: {clean(finding.where, _LONGEST)}"]
    severity = _severity(finding)
    if severity:
        lines.append(f"Costs: {severity}")
    lines.append(f"Gain: {_gain(finding)}")
    lines.append(f"Would be refuted by: {clean(finding.refuted_by, _LONGEST)}")
    lines += [f"Doubtful: {clean(taint, _LONGEST)}" for taint in finding.tainted_by]
    sheet = Sheet("Evidence", ("figure", "threshold because", "value", "interval", "n", "threshold"), left=2)
    for evidence in finding.evidence:
        sheet.add(_evidence(evidence))
    return Shown(
        finding, title, lines, sheet, [(clean(s.text, _LONGEST), clean(s.command, 200)) for s in finding.steps]
    )


def _severity(finding: Finding) -> str:
    parts = []
    severity = finding.severity
    if severity.ce is not None:
        share = "" if severity.share_of_busy is None else f" ({units.share(severity.share_of_busy)} of busy CPU time)"
        parts.append(f"{units.cores(severity.ce)}{share}")
    if severity.lost_pps:
        bits = "" if severity.lost_mbit_s is None else f" ({units.bits(severity.lost_mbit_s)})"
        parts.append(f"up to {units.rate(severity.lost_pps)}{bits}")
    return ", ".join(parts)


def _gain(finding: Finding) -> str:
    bound = finding.bound
    if bound.factor is None:
        return f"not known; then the limit is {clean(bound.next_limit, 200)}" if bound.next_limit else "not known"
    most = f"×{units.digits(bound.factor)} at most"
    if bound.pps is not None:
        most += f", {units.rate(bound.pps)}"
    then = f"; then the limit is {clean(bound.next_limit, 200)}" if bound.next_limit else ""
    return f"{most}{then}" + (f" [{bound.law}]" if bound.law else "")


def _evidence(evidence: Evidence) -> list[str]:
    between = ""
    if evidence.low is not None and evidence.high is not None:
        between = f"{units.quantity(evidence.low, evidence.unit)} to {units.quantity(evidence.high, evidence.unit)}"
    return [
        clean(evidence.figure, 120),
        clean(evidence.source, 160),
        units.quantity(evidence.value, evidence.unit),
        between,
        units.count(evidence.n) if evidence.n else "",
        _threshold(evidence),
    ]


def _threshold(evidence: Evidence) -> str:
    if evidence.threshold is None:
        return ""
    return f"{_SIGNS.get(evidence.relation, '≤')} {units.quantity(evidence.threshold, evidence.unit)}"


def _ruled_out(outcome: Outcome) -> list[str]:
    reason = outcome.reason
    if outcome.state == EXPLAINED:
        reason = f"explained by {outcome.explained_by}: {reason}"
    closest = outcome.closest if outcome.state == NOT_FOUND else None
    cells = ["", "", ""]
    if closest is not None:
        cells = [clean(closest.figure, 120), units.quantity(closest.value, closest.unit), _threshold(closest)]
    return [_STATES[outcome.state], f"{outcome.id} {outcome.name}", clean(reason, 240), *cells]
