"""All checks of a recording, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wgprof.analysis.checks.balance import conservation_checks, little_checks, refusal_checks
from wgprof.analysis.checks.check import Check
from wgprof.analysis.checks.lost import ledger_checks, loss_checks
from wgprof.analysis.checks.mechanics import mechanics_checks
from wgprof.analysis.checks.overhead import Overhead, overhead_checks
from wgprof.analysis.checks.times import account_checks, busy_checks, clock_checks, depth_clock_checks, lab_checks
from wgprof.analysis.checks.windows import idle_checks, window_checks
from wgprof.analysis.conservation import Conservation
from wgprof.analysis.journeys import JourneyCounts, Journeys
from wgprof.analysis.ledger import Ledger
from wgprof.analysis.names import Names
from wgprof.analysis.queues import Queue
from wgprof.analysis.tables import Tables, total
from wgprof.analysis.warmth import warmth
from wgprof.analysis.window import Window


@dataclass(frozen=True)
class Evidence:
    """What an analysis has found out that the checks need."""

    names: Names
    window: Window
    journeys: Journeys
    counts: Sequence[JourneyCounts]
    queues: Sequence[Queue]
    ledger: Ledger
    overhead: Overhead
    busy_ce: float
    inline: bool


def panel(recording: Tables, evidence: Evidence) -> list[Check]:
    """The quality panel of a recording in which packets flowed."""
    names, window = evidence.names, evidence.window
    intervals, cpus, stages = (recording.table(name) for name in ("intervals", "cpus", "stages"))
    manifest, user_hz = recording.manifest, _user_hz(recording.manifest)
    conservation = Conservation(recording, names, evidence.inline)
    steadiness = warmth(intervals, recording.table("interfaces"), evidence.journeys, names, window)
    return [
        *conservation_checks(conservation.balances(), conservation.against_interfaces()),
        *refusal_checks(conservation.refusals()),
        *little_checks(evidence.queues, names, has_queues=not evidence.inline),
        *busy_checks(cpus, stages, recording.table("executions"), user_hz),
        *account_checks(cpus, intervals, user_hz),
        *clock_checks(manifest, intervals, evidence.journeys),
        *depth_clock_checks(recording.table("depths"), _asked(manifest, "depth_hz")),
        *window_checks(steadiness, window),
        *mechanics_checks(recording, names),
        *ledger_checks(evidence.ledger),
        *loss_checks(recording, evidence.counts, evidence.ledger),
        *lab_checks(manifest, cpus, window.recorded_s),
        *overhead_checks(evidence.overhead, evidence.busy_ce),
    ]


def idle_panel(recording: Tables, names: Names, ledger: Ledger, overhead: Overhead) -> list[Check]:
    """The quality panel of a recording in which no packet passed a stage."""
    interfaces = recording.table("interfaces")
    ours = {(device.netns, device.name) for device in names.devices()}
    mine = [(int(n), str(i)) in ours for n, i in zip(interfaces["netns"], interfaces["name"], strict=True)]
    moved = total(interfaces[mine], "rx_bytes") + total(interfaces[mine], "tx_bytes") if any(mine) else None
    return [
        *idle_checks(moved),
        *ledger_checks(ledger),
        *loss_checks(recording, [], ledger),
        *overhead_checks(overhead, busy_ce=0),
    ]


def _asked(manifest: dict[str, Any], name: str) -> object:
    asked = manifest.get("asked")
    return asked.get(name) if isinstance(asked, dict) else None


def _user_hz(manifest: dict[str, Any]) -> int:
    machine = manifest.get("machine")
    value = machine.get("user_hz") if isinstance(machine, dict) else None
    return value if isinstance(value, int) and value > 0 else 100
