"""The analysis as JSON: what `wgprof show --json` prints.

Stable: within one version keys are only added.  Strings of the recording are given as they are;
JSON escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from wgprof.analysis.summary import Analysis, verdict

VERSION = 1


def as_document(analysis: Analysis, manifest: dict[str, Any]) -> dict[str, Any]:
    """One JSON-able object with the verdict, the window, every table of the analysis, and the manifest."""
    names = {str(number): _plain(thing) for number, thing in analysis.names.things.items()}
    return {
        "wgprof_show": VERSION,
        "flowed": analysis.window is not None,
        "verdict": verdict(analysis),
        "variant": _plain(analysis.variant),
        "warning": analysis.variant.warning,
        "lab": analysis.lab,
        "window": _window(analysis),
        "headline": _plain(analysis.headline),
        "objects": names,
        **{
            part: [_plain(row) for row in getattr(analysis, part)]
            for part in ("stages", "waits", "queues", "servers", "cores", "journeys", "checks")
        },
        **{
            part: [_plain(row) for row in getattr(analysis.mechanics, part)]
            for part in ("polls", "heads", "moves", "preemptions", "wakeups", "contention", "ipis")
        },
        "ends": _plain(analysis.ends),
        "overhead": _plain(analysis.overhead),
        "sampled": _plain(analysis.sampled),
        "manifest": _plain(manifest),
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


def _plain(value: object) -> Any:
    """Dataclasses as objects; numbers JSON does not have as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
