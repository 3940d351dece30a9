"""The analysis as JSON: what `wgprof show --json` prints.

Stable: within one version keys are only added.  Strings of the recording are given as they are;
JSON escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from wgprof.analysis.checks import MEANINGS
from wgprof.analysis.laws import Law, Laws
from wgprof.analysis.summary import Analysis
from wgprof.rules.finding import Diagnosis
from wgprof.rules.verdict import verdict

VERSION = 1


def as_document(analysis: Analysis, diagnosis: Diagnosis, manifest: dict[str, Any]) -> dict[str, Any]:
    """One JSON-able object with the verdict, the window, every table of the analysis, every rule, and the manifest."""
    names = {str(number): plain(thing) for number, thing in analysis.names.things.items()}
    return {
        "wgprof_show": VERSION,
        "flowed": analysis.window is not None,
        "verdict": verdict(analysis, diagnosis),
        "findings": [plain(finding) for finding in diagnosis.findings],
        "rules": [plain(outcome) for outcome in diagnosis.outcomes],
        "laws": _laws(analysis.laws),
        "variant": plain(analysis.variant),
        "warning": analysis.variant.warning,
        "lab": analysis.lab,
        "constructed": analysis.constructed,
        "anonymized": analysis.anonymized,
        "window": _window(analysis),
        "headline": plain(analysis.headline),
        "objects": names,
        **{
            part: [plain(row) for row in getattr(analysis, part)]
            for part in ("stages", "waits", "queues", "servers", "cores", "journeys", "checks")
        },
        "meanings": dict(MEANINGS),
        "ledger": _ledger(analysis),
        **{
            part: [plain(row) for row in getattr(analysis.mechanics, part)]
            for part in ("polls", "heads", "moves", "preemptions", "wakeups", "contention", "ipis")
        },
        "outer": plain(analysis.outer),
        "ends": plain(analysis.ends),
        "overhead": plain(analysis.overhead),
        "sampled": plain(analysis.sampled),
        "manifest": plain(manifest),
    }


def _laws(laws: Laws) -> dict[str, Any]:
    return {"servers": [_law(law) for law in laws.rows], "scaling": [plain(row) for row in laws.scaling]}


def _law(law: Law) -> dict[str, Any]:
    return {
        **plain(law),
        "utilisation": plain(law.utilisation),
        "occupancy": plain(law.occupancy),
        "headroom": plain(law.headroom),
    }


def _ledger(analysis: Analysis) -> dict[str, Any]:
    """Losses by cause; `silent` where no counter of the kernel has them."""
    ledger = analysis.ledger
    return {
        "losses": [{**plain(loss), "silent": loss.silent, "meaning": loss.meaning} for loss in ledger.losses],
        "recorder": [plain(loss) for loss in ledger.recorder],
        "outer_known": ledger.outer_known,
    }


def _window(analysis: Analysis) -> dict[str, float] | None:
    window = analysis.window
    if window is None:
        return None
    return {
        "offset_s": window.offset_s,
        "duration_s": window.duration_s,
        "recorded_s": window.recorded_s,
        "start_ns": window.start_ns,
        "end_ns": window.end_ns,
    }


def plain(value: object) -> Any:
    """Dataclasses as objects; numbers JSON does not have as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
