"""Scenarios: one bottleneck each, planted in the lab in a real way, with the truth about it beside it.

A scenario is a file of data, scenarios/NAME.toml.  What must be found in a recording of it is its truth; whether the
findings agree with that is decided here, by their ids alone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from wgprof.errors import UsageError
from wgprof.lab.workload import Workload, workload_named

#: wgprof/rules has these signatures.
SIGNATURES = tuple(f"S{number}" for number in range(1, 17))
#: The healthy ceiling, and limits outside WireGuard; all others are defects.
NO_DEFECT = ("S14", "S16")
#: "Nothing is found", where a signature's id is expected.
NOTHING = ""


@dataclass(frozen=True)
class Truth:
    """What is true of a recording of the scenario, by construction."""

    top: str  # the signature that has to be the top finding, or NOTHING
    also: Mapping[str, str]  # what may be found beneath it, being true as well, and why it is

    @property
    def healthy(self) -> bool:
        """Whether nothing in WireGuard is in the way."""
        return {self.top, *self.also} <= {NOTHING, *NO_DEFECT}

    @property
    def never(self) -> tuple[str, ...]:
        """All that is not true."""
        return tuple(s for s in SIGNATURES if s != self.top and s not in self.also)


@dataclass(frozen=True)
class MachineShape:
    """The part of a lab's settings that a scenario chooses."""

    cpus: int = 2
    tunnels: int = 1
    threaded: bool = False
    module: str = ""
    lab_crypto: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A planted bottleneck."""

    name: str
    meaning: str  # what limits, in one line
    planted: str  # how that is made so
    shape: MachineShape
    workload: Workload
    setup: str  # shell, in the guest, once the tunnels are up
    during: str  # shell, in the guest, beside the traffic
    truth: Truth


@dataclass(frozen=True)
class Agreement:
    """What was found against what is true."""

    top: str  # what was found first
    found: tuple[str, ...]  # in order of rank, each once
    missed: bool  # the planted bottleneck is not the top finding
    untrue: tuple[str, ...]  # found, and not true

    @property
    def sentence(self) -> str:
        """Whether the findings agree with the truth, for people."""
        if self.holds:
            return "The findings agree with what was planted."
        parts = [f"the top finding is {self.top or 'nothing'}"] if self.missed else []
        parts += [f"{', '.join(self.untrue)} was found and is not true"] if self.untrue else []
        return f"The findings do not agree with what was planted: {'; '.join(parts)}."

    @property
    def holds(self) -> bool:
        return not (self.missed or self.untrue)


def agreement(truth: Truth, found: Sequence[str]) -> Agreement:
    """Compare with the ids of the findings, worst first."""
    ranked = tuple(dict.fromkeys(found))
    top = ranked[0] if ranked else NOTHING
    return Agreement(top, ranked, top != truth.top, tuple(s for s in ranked if s in truth.never))


def scenario_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def scenario_named(name: str) -> Scenario:
    """Raises UsageError for a name there is not."""
    if name not in scenario_names():
        raise UsageError(f"the lab has no scenario {name!r}", "`wgprof lab scenario --list` shows those it has.")
    return parse_scenario(name, (_folder() / f"{name}.toml").read_text(encoding="utf-8"))


def parse_scenario(name: str, text: str) -> Scenario:
    """Read a scenario's file.  Raises UsageError, naming what is wrong with it."""
    try:
        data = tomllib.loads(text)
        _known(data, {"meaning", "planted", "machine", "traffic", "plant", "truth"})
        plant = _known(data.get("plant", {}), {"setup", "during"})
        return Scenario(
            name=name,
            meaning=str(data["meaning"]),
            planted=str(data["planted"]),
            shape=MachineShape(**_known(data.get("machine", {}), {f.name for f in fields(MachineShape)})),
            workload=_workload(name, data["traffic"]),
            setup=str(plant.get("setup", "")),
            during=str(plant.get("during", "")),
            truth=_truth(data["truth"]),
        )
    except (tomllib.TOMLDecodeError, KeyError, ValueError) as error:
        raise UsageError(f"the scenario {name!r} cannot be read: {error}", "Compare its file with another's.") from None


def _workload(name: str, traffic: dict[str, Any]) -> Workload:
    _known(traffic, {"workload", "options"})
    if "workload" in traffic:
        return workload_named(str(traffic["workload"]))
    return Workload(name, f"the traffic of the scenario {name}", tuple(map(str, traffic["options"])))


def _truth(data: dict[str, Any]) -> Truth:
    _known(data, {"top", "also"})
    also = {str(signature): str(why) for signature, why in data.get("also", {}).items()}
    top = str(data["top"])
    unknown = {top, *also} - {*SIGNATURES, NOTHING}
    if unknown:
        raise ValueError(f"there is no signature {', '.join(sorted(unknown))}")
    return Truth(top, also)


def _known(data: dict[str, Any], names: set[str]) -> dict[str, Any]:
    unknown = set(data) - names
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    return data


def _folder() -> Path:
    return Path(__file__).resolve().parent / "scenarios"
