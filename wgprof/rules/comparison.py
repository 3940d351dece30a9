"""Two recordings side by side: figures that changed, findings that came and went, and what else was different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wgprof.analysis.difference import CHANGED, SAME, Difference, differences
from wgprof.analysis.names import clean
from wgprof.analysis.series import series_of
from wgprof.analysis.summary import Analysis, analyse
from wgprof.analysis.tables import Tables
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import FOUND, Diagnosis, Finding, Outcome

GONE, NEW, BOTH = "gone", "new", "in both"


@dataclass(frozen=True)
class Condition:
    """Something that was different when the recordings were made."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class FindingChange:
    """A rule that found something in at least one of the recordings."""

    id: str
    name: str
    change: str  # gone, new or in both
    first: Outcome
    second: Outcome

    def finding(self, second: bool) -> Finding | None:
        """The worst finding of one of them."""
        outcome = self.second if second else self.first
        return next(iter(outcome.findings), None) if outcome.state == FOUND else None


@dataclass(frozen=True)
class Side:
    """One of the two."""

    analysis: Analysis
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Comparison:
    """Second against first."""

    first: Side
    second: Side
    conditions: list[Condition]
    differences: list[Difference]
    findings: list[FindingChange]

    def of(self, group: str) -> list[Difference]:
        """The figures of a group."""
        return [row for row in self.differences if row.group == group]

    @property
    def changed(self) -> list[Difference]:
        return [row for row in self.differences if row.verdict == CHANGED]

    @property
    def same(self) -> list[Difference]:
        return [row for row in self.differences if row.verdict == SAME]


def compared(first: Tables, second: Tables) -> Comparison:
    """Compare two recordings.  Pure."""
    sides = []
    for recording in (first, second):
        analysis = analyse(recording)
        sides.append(Side(analysis, diagnose(analysis, recording)))
    a, b = sides
    rows = differences(series_of(a.analysis, first), series_of(b.analysis, second))
    return Comparison(a, b, _conditions(first, second, a, b), rows, _findings(a.diagnosis, b.diagnosis))


def _findings(first: Diagnosis, second: Diagnosis) -> list[FindingChange]:
    rows = []
    for before, after in zip(first.outcomes, second.outcomes, strict=True):
        found = before.state == FOUND, after.state == FOUND
        if any(found):
            change = BOTH if all(found) else NEW if found[1] else GONE
            rows.append(FindingChange(before.id, before.name, change, before, after))
    return rows


#: What may differ: its name for people, and where the manifest has it.
_CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "kernel": ("machine", "kernel"),
    "module variant": ("wireguard", "variant"),
    "patch": ("wireguard", "patch_hash"),
    "crypto set to, permille": ("wireguard", "crypto_permille"),
    "CPUs online": ("machine", "cpus_online"),
    "target": ("target", "kind"),
    "workload": ("results", "workload"),
    "interval, ms": ("asked", "interval_ms"),
    "settings of the lab": ("target", "settings"),
}


def _conditions(first: Tables, second: Tables, a: Side, b: Side) -> list[Condition]:
    rows = []
    for name, path in _CONDITIONS.items():
        values = [_text(_value(recording.manifest, path)) for recording in (first, second)]
        if values[0] != values[1]:
            rows.append(Condition(name, *values))
    for name, count in (("peers", _peers), ("threaded NAPI", _threaded)):
        values = [count(side.analysis) for side in (a, b)]
        if values[0] != values[1]:
            rows.append(Condition(name, *values))
    return rows


def _value(manifest: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: object = manifest
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return clean(", ".join(f"{key}={item}" for key, item in value.items() if item not in ("", None)), 300)
    return clean("" if value is None else value, 100)


def _peers(analysis: Analysis) -> str:
    return str(sum(1 for thing in analysis.names.things.values() if thing.kind == "peer"))


def _threaded(analysis: Analysis) -> str:
    values = {thing.threaded for thing in analysis.names.things.values() if thing.kind == "peer"}
    return ", ".join({1: "yes", 0: "no"}.get(value, "not known") for value in sorted(values)) or "no peers"
