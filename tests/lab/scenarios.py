"""All scenarios, and what was planted against what was found: `python -m tests.lab.scenarios [--seeds N] [NAME]..`.

Scenarios that need the same machine share one, made as new in between (guest/reset.sh).
What is in the folder, recorded of the same scenario, is not recorded again: an interrupted run goes on where it was.
Exits with 1 if in any recording the planted bottleneck is not the top finding, or something untrue was found.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click

from wgprof.cli.scenario import judge, lab_settings, record_scenario, truth_document, truth_path
from wgprof.errors import WgprofError
from wgprof.lab.machine import EmulatorFailure
from wgprof.lab.recipe import DEFAULT_KERNEL, RECIPES
from wgprof.lab.scenario import NOTHING, SIGNATURES, Agreement, Scenario, scenario_named, scenario_names
from wgprof.targets.lab import Booted, LabSettings, booted_lab

FOLDER = Path("scenarios")


@dataclass(frozen=True)
class Run:
    """One recording of a scenario, and how its findings agree with the truth."""

    scenario: Scenario
    kernel: str
    seed: int
    result: Agreement

    def line(self) -> str:
        planted, found = self.scenario.truth.top or "nothing", ", ".join(self.result.found) or "nothing"
        verdict = "agrees" if self.result.holds else "DISAGREES"
        return f"{self.scenario.name:18} {self.kernel:5} {self.seed:4}  {planted:8} {found:24} {verdict}"


def recorded(scenario: Scenario, kernel: str, seed: int, recording: Path) -> bool:
    """Whether this very scenario is already recorded there."""
    try:
        document = json.loads(truth_path(recording).read_text())
    except (OSError, ValueError):
        return False
    wanted = json.loads(json.dumps(truth_document(scenario, kernel, seed)))
    # The truth may be corrected without recording anew; what was done may not.
    return recording.exists() and _done(document) == _done(wanted)


def _done(document: object) -> object:
    if not isinstance(document, dict) or not isinstance(document.get("scenario"), dict):
        return None
    did = {name: document["scenario"].get(name) for name in ("name", "shape", "workload", "setup", "during")}
    return [did, *(document.get(name) for name in ("kernel", "seed", "duration_s"))]


def confusion(runs: Sequence[Run]) -> str:
    """Planted by row, the top finding by column, as text; a row a signature and one for nothing."""
    pairs = Counter((run.scenario.truth.top, run.result.top) for run in runs)
    order = (*SIGNATURES, NOTHING)
    rows = [s for s in order if any(planted == s for planted, _ in pairs)]
    columns = [s for s in order if any(s in pair for pair in pairs)]
    lines = ["planted   " + "".join(f"{s or 'nothing':>9}" for s in columns) + "   found first"]
    for planted in rows:
        counts = "".join(f"{pairs[planted, found] or '.':>9}" for found in columns)
        lines.append(f"{planted or 'nothing':10}{counts}")
    return "\n".join(lines)


class Labs:
    """One machine at a time, kept for as long as the scenarios that follow can use it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._kind: LabSettings | None = None
        self._booted: Booted | None = None

    def __enter__(self) -> Labs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()
        self._kind = self._booted = None

    def machine_of(self, kind: LabSettings) -> Booted:
        """A machine of this kind.  Raises MachineError."""
        if self._booted is None or self._kind != kind or not self._booted.machine.alive:
            self.close()
            self._booted = self._stack.enter_context(booted_lab(kind, _say))
            self._kind = kind
        return self._booted


def kinds_of_machine(scenarios: Sequence[Scenario], kernel: str) -> dict[str, LabSettings]:
    """By scenario, the part of its settings that cannot be changed in a machine that runs.

    One that wants no module of ours can use a machine that carries one.
    """
    own = {s.name: replace(lab_settings(s, kernel), tunnels=1, threaded=False, workload="") for s in scenarios}
    carrying = {kind.cpus: kind for kind in own.values() if kind.module}
    return {name: kind if kind.module else carrying.get(kind.cpus, kind) for name, kind in own.items()}


def run_all(names: Sequence[str], kernel: str, seeds: int, folder: Path) -> tuple[list[Run], list[str]]:
    """Record what is not there, and judge everything; also what could not be recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    runs, failures = [], []
    scenarios = [scenario_named(name) for name in names]
    kinds = kinds_of_machine(scenarios, kernel)
    with Labs() as labs:
        for scenario in sorted(scenarios, key=lambda s: str(kinds[s.name])):
            for seed in range(seeds):
                recording = folder / f"{scenario.name}-{kernel}-{seed}.wgprof"
                try:
                    if not recorded(scenario, kernel, seed, recording):
                        record_once_more(labs, kinds[scenario.name], scenario, seed, recording)
                    run = Run(scenario, kernel, seed, judge(scenario, recording))
                except WgprofError as error:
                    failures.append(f"{scenario.name}, seed {seed}: {error.sentence}")
                    _say(failures[-1])
                    continue
                runs.append(run)
                _say(run.line())
    return runs, failures


def record_once_more(labs: Labs, kind: LabSettings, scenario: Scenario, seed: int, recording: Path) -> None:
    """Raises WgprofError; an emulator that failed is started once more."""
    for left in (1, 0):
        try:
            booted = labs.machine_of(kind)
            _say(f"{scenario.name}, seed {seed}")
            if record_scenario(scenario, kind.kernel, seed, recording, booted):
                return
            labs.close()
        except EmulatorFailure as error:
            labs.close()
            if not left:
                raise
            _say(f"{error.sentence}; once more")
    raise WgprofError("the recording is not complete", "")


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1)
@click.option("--kernel", type=click.Choice(list(RECIPES)), default=DEFAULT_KERNEL, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Recordings of each scenario.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, show_default=True)
def main(*, names: tuple[str, ...], kernel: str, seeds: int, folder: Path) -> None:
    """Record all scenarios, or those named, and print what was planted against what was found."""
    try:
        runs, failures = run_all(names or scenario_names(), kernel, seeds, folder)
    except WgprofError as error:
        raise click.ClickException(f"{error.sentence}. {error.remedy}") from error
    click.echo(f"{'scenario':18} {'kernel':5} seed  planted  found")
    for run in runs:
        click.echo(run.line())
    click.echo(f"\n{confusion(runs)}\n")
    agreeing = sum(run.result.holds for run in runs)
    click.echo(f"{agreeing} of {len(runs)} recordings agree with what was planted.")
    for failure in failures:
        click.echo(f"not recorded: {failure}")
    sys.exit(0 if runs and agreeing == len(runs) and not failures else 1)


if __name__ == "__main__":
    main()
