"""All scenarios, and what was planted against what was found: `python -m tests.lab.scenarios [--seeds N] [NAME]..`.

Scenarios that need the same machine share one, made as new in between (guest/reset.sh).
What is in the folder, recorded of the same scenario, is not recorded again: an interrupted run goes on where it was.
With --constructed: what the lab cannot plant, constructed from measured recordings (tests/lab/constructed); no lab.
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

from tests.lab.constructed.catalogue import CONSTRUCTIONS
from wgprof.cli.scenario import judged, lab_settings, record_scenario, truth_document, truth_path
from wgprof.errors import WgprofError
from wgprof.lab.machine import EmulatorFailure
from wgprof.lab.recipe import DEFAULT_KERNEL, RECIPES
from wgprof.lab.scenario import NOTHING, SIGNATURES, Agreement, Scenario, Truth, scenario_named, scenario_names
from wgprof.targets.lab import Booted, LabSettings, booted_lab

FOLDER = Path("scenarios")
#: Marks a row that was constructed.
CONSTRUCTED = " *"


@dataclass(frozen=True)
class Run:
    """One recording of a scenario, or a constructed one, and how its findings agree with the truth."""

    name: str
    truth: Truth
    kernel: str
    seed: int
    result: Agreement
    constructed: bool = False

    def line(self) -> str:
        planted, found = self.truth.top or "nothing", ", ".join(self.result.found) or "nothing"
        verdict = "agrees" if self.result.holds else "DISAGREES"
        planted += CONSTRUCTED * self.constructed
        return f"{self.name:27} {self.kernel:5} {self.seed:4}  {planted:12} {found:24} {verdict}"


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
    pairs = Counter((run.truth.top, run.constructed, run.result.top) for run in runs)
    order = (*SIGNATURES, NOTHING)
    rows = [(s, made) for made in (False, True) for s in order if any(pair[:2] == (s, made) for pair in pairs)]
    columns = [s for s in order if any(s in (pair[0], pair[2]) for pair in pairs)]
    lines = ["planted     " + "".join(f"{s or 'nothing':>9}" for s in columns) + "   found first"]
    for planted, made in rows:
        counts = "".join(f"{pairs[planted, made, found] or '.':>9}" for found in columns)
        lines.append(f"{(planted or 'nothing') + CONSTRUCTED * made:12}{counts}")
    if any(made for _, made in rows):
        lines.append(f"{CONSTRUCTED.strip()} constructed from a measured recording, with one feature changed")
    return "\n".join(lines)


def construct_all(folder: Path) -> list[Run]:
    """Make every constructed recording, with the feature changed and changed too little, and judge both.

    Raises WgprofError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for each in CONSTRUCTIONS:
        for part, amount, truth in each.cases:
            recording = folder / f"constructed-{part}.wgprof"
            each.draft(amount).write(recording)
            runs.append(Run(part, truth, each.kernel, 0, judged(truth, recording), constructed=True))
            _say(runs[-1].line())
    return runs


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
                    run = Run(scenario.name, scenario.truth, kernel, seed, judged(scenario.truth, recording))
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
@click.option("--constructed", is_flag=True, help="Instead: those constructed from measured recordings, without a lab.")
def main(*, names: tuple[str, ...], kernel: str, seeds: int, folder: Path, constructed: bool) -> None:
    """Record all scenarios, or those named, and print what was planted against what was found."""
    failures: list[str] = []
    try:
        if constructed:
            runs = construct_all(folder)
        else:
            runs, failures = run_all(names or scenario_names(), kernel, seeds, folder)
    except WgprofError as error:
        raise click.ClickException(f"{error.sentence}. {error.remedy}") from error
    click.echo(f"{'scenario':27} {'kernel':5} seed  planted      found")
    for run in runs:
        click.echo(run.line())
    click.echo(f"\n{confusion(runs)}\n")
    agreeing = sum(run.result.holds for run in runs)
    click.echo(f"{agreeing} of {len(runs)} recordings agree with what was planted{' or constructed' * constructed}.")
    for failure in failures:
        click.echo(f"not recorded: {failure}")
    sys.exit(0 if runs and agreeing == len(runs) and not failures else 1)


if __name__ == "__main__":
    main()
