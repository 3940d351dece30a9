"""A comparison as lines, tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wgprof.analysis import units
from wgprof.analysis.difference import CHANGED, FALSE_DISCOVERIES, OPEN, SAME, Difference
from wgprof.analysis.estimate import Estimate
from wgprof.analysis.summary import quality_line
from wgprof.report.as_json import plain
from wgprof.report.sheets import Sheet
from wgprof.rules.comparison import BOTH, GONE, NEW, Comparison, Side
from wgprof.rules.finding import Finding

VERSION = 1
TEST = (
    "Seconds of traffic are paired in order; sign-flip randomisation test (Fisher 1935), false discoveries held at"
    f" {FALSE_DISCOVERIES:.0%} (Benjamini and Hochberg 1995); intervals 95 %, paired t (Student 1908)."
)
ONE_RUN = "Each recording is one run: a difference may be that of the runs. Record each way several times to know."
_GROUPS = {
    "throughput": "Throughput",
    "cpu": "CPUs",
    "stage": "Stages: CPU time a packet",
    "server": "Servers",
    "wait": "Waits: mean",
    "queue": "Queues",
}


def lines(comparison: Comparison, names: tuple[str, str]) -> list[str]:
    """Three lines: throughput, findings, figures; before them what makes the two hardly comparable."""
    found = [warning for side in (comparison.first, comparison.second) if (warning := side.analysis.variant.warning)]
    for name, side in zip(names, (comparison.first, comparison.second), strict=True):
        if side.analysis.window is None:
            found.append(f"{name}: nothing flowed, so there is nothing to compare.")
        elif side.analysis.failed:
            found.append(f"{name}: {quality_line(side.analysis)}")
    return [*found, _throughput(comparison), _findings(comparison), _figures(comparison)]


def _throughput(comparison: Comparison) -> str:
    rows = [row for row in comparison.of("throughput") if row.unit == "Mbit/s"]
    if not rows:
        return "Throughput: not known in both."
    return "Throughput: " + "; ".join(f"{row.name} {_sentence(row)}" for row in rows) + "."


def _sentence(row: Difference) -> str:
    before, after = (units.quantity(None if e is None else e.value, row.unit) for e in (row.first, row.second))
    if row.verdict == CHANGED:
        return f"{before} → {after} ({_relative(row)})"
    if row.verdict == SAME:
        return f"{before} and {after}, no difference larger than {units.quantity(row.within, row.unit)}"
    return f"{before} and {after}, not decidable"


def _relative(row: Difference) -> str:
    ends = [row.share_of_base(end) for end in (row.change, row.low, row.high)]
    change, low, high = ("–" if end is None else f"{end * 100:+.1f} %" for end in ends)
    return f"{change}, {low} to {high}"


def _findings(comparison: Comparison) -> str:
    if not comparison.findings:
        return "Findings: none in either."
    words = {GONE: "gone", NEW: "new", BOTH: "in both"}
    parts = [
        f"{words[change]}: " + ", ".join(f"{row.id} {row.name}" for row in comparison.findings if row.change == change)
        for change in (NEW, GONE, BOTH)
        if any(row.change == change for row in comparison.findings)
    ]
    return f"Findings {'; '.join(parts)}."


def _figures(comparison: Comparison) -> str:
    changed, same = len(comparison.changed), len(comparison.same)
    open_ = len(comparison.differences) - changed - same
    text = f"{changed} figures changed, {same} did not"
    if not changed and same:
        shares = [share for row in comparison.same if (share := row.share_of_base(row.within)) is not None]
        text += f": no difference larger than {units.share(max(shares, default=0.0))} of the first"
    return text + (f", {open_} could not be decided." if open_ else ".")


def comparison_sheets(comparison: Comparison, names: tuple[str, str]) -> list[Sheet]:
    """Conditions, findings, then every figure by group."""
    conditions = Sheet("What was different", ("", names[0], names[1]), left=3)
    for condition in comparison.conditions:
        conditions.add([condition.name, condition.first, condition.second])
    findings = Sheet("Findings", ("signature", "change", names[0], names[1]), left=4)
    for change in comparison.findings:
        cells = [_claim(change.finding(False), change.first.reason), _claim(change.finding(True), change.second.reason)]
        findings.add([f"{change.id} {change.name}", change.change, *cells])
    return [conditions, findings, *(_group(comparison, group, names) for group in _GROUPS)]


def _claim(finding: Finding | None, reason: str) -> str:
    return reason if finding is None else finding.claim


def _group(comparison: Comparison, group: str, names: tuple[str, str]) -> Sheet:
    sheet = Sheet(_GROUPS[group], ("", "figure", names[0], names[1], "change", "95 % interval", "p", "pairs"), left=2)
    for row in comparison.of(group):
        sheet.add([_mark(row), row.name, _value(row.first, row.unit), _value(row.second, row.unit), *_change(row)])
    return sheet


def _mark(row: Difference) -> str:
    if row.first is None or row.second is None:
        return "A only" if row.second is None else "B only"
    if row.verdict != CHANGED or row.change is None:
        return {SAME: "=", OPEN: "open"}.get(row.verdict, "")
    return "up" if row.change > 0 else "down"


def _value(estimate: Estimate | None, unit: str) -> str:
    return "–" if estimate is None else units.quantity(estimate.value, unit)


def _change(row: Difference) -> list[str]:
    if row.change is None or row.low is None or row.high is None or row.p is None:
        return ["", "", "", str(row.pairs)]
    relative = "" if row.relative is None else f"{row.relative * 100:+.1f} %"
    between = f"{units.quantity(row.low, row.unit)} to {units.quantity(row.high, row.unit)}"
    if row.verdict == SAME:
        between = f"within ±{units.quantity(row.within, row.unit)}"
    return [relative, between, f"{row.p:.4f}", str(row.pairs)]


def as_document(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """Everything as one JSON-able object; within a version keys are only added."""
    return {
        "wgprof_compare": VERSION,
        "first": _side(comparison.first, names[0]),
        "second": _side(comparison.second, names[1]),
        "verdict": lines(comparison, (names[0], names[1])),
        "test": TEST,
        "caution": ONE_RUN,
        "conditions": [plain(row) for row in comparison.conditions],
        "differences": [{**plain(row), "relative": plain(row.relative)} for row in comparison.differences],
        "findings": [plain(row) for row in comparison.findings],
    }


def _side(side: Side, name: str) -> dict[str, Any]:
    findings = [plain(finding) for finding in side.diagnosis.findings]
    return {"name": name, "variant": plain(side.analysis.variant), "findings": findings,
            "failed_checks": [plain(check) for check in side.analysis.failed]}  # fmt: skip
