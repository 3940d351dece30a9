"""`wgprof lab scenario`: plant a bottleneck, record it, and compare what is found with what is true."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from wgprof.cli.record import EXIT_INTERRUPTED, check_output, record_patiently
from wgprof.errors import UsageError
from wgprof.lab.plant import Plant
from wgprof.lab.recipe import DEFAULT_KERNEL, RECIPES
from wgprof.lab.scenario import Agreement, Scenario, Truth, agreement, scenario_named, scenario_names
from wgprof.recording.sizes import human_size
from wgprof.targets.base import RecordRequest
from wgprof.targets.lab import Booted, LabSettings, LabTarget

#: Eight seconds of traffic: more than the five that an interval needs.
DURATION_S = 10.0
_TRUTH_VERSION = 1
_MOST_SEEDS = 1000


@click.command(name="scenario")
@click.argument("name", required=False)
@click.option("--list", "as_list", is_flag=True, help="The scenarios, and what is planted in each.")
@click.option(
    "--seed",
    type=click.IntRange(0, _MOST_SEEDS),
    default=0,
    show_default=True,
    help="Shifts the peers' internal ids, and with them the CPUs they send on.",
)
@click.option(
    "--kernel", type=click.Choice(list(RECIPES)), default=DEFAULT_KERNEL, show_default=True, help="Kernel series."
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
def command(*, name: str | None, as_list: bool, seed: int, kernel: str, output: Path | None) -> int:
    """Plant one bottleneck in a fresh machine, record it, and say whether it is found.

    The recording is written to FILE and what is true of it to FILE with the suffix .truth.json.  Exits with 1 if the
    planted bottleneck is not the top finding, or if anything is found that is not true.

    \b
    wgprof lab scenario --list
    wgprof lab scenario serial-tx -o serial-tx.wgprof
    """
    if as_list:
        _print_list()
        return 0
    if name is None:
        raise UsageError("which scenario?", "`wgprof lab scenario --list` shows them.")
    scenario = scenario_named(name)
    out = output or Path(f"{name}-{kernel}-{seed}.wgprof")
    check_output(out)
    if not record_scenario(scenario, kernel, seed, out):
        return EXIT_INTERRUPTED
    result = judged(scenario.truth, out)
    click.echo(f"Planted: {scenario.meaning} ({scenario.truth.top or 'nothing to find'})")
    click.echo(f"Found: {', '.join(result.found) or 'nothing'}")
    click.echo(result.sentence)
    click.echo(f"Wrote {out} ({human_size(out.stat().st_size)})")
    return 0 if result.holds else 1


def lab_settings(scenario: Scenario, kernel: str) -> LabSettings:
    """The machine and tunnels of a scenario."""
    return LabSettings(kernel=kernel, workload=scenario.workload.name, **asdict(scenario.shape))


def record_scenario(scenario: Scenario, kernel: str, seed: int, out: Path, booted: Booted | None = None) -> bool:
    """Record a scenario and write its truth beside it; False if it was interrupted or the agent died.

    In a machine of its own, or in one that is `booted` with the scenario's settings.  Raises WgprofError.
    """
    notes = Console(stderr=True, highlight=False)

    def notify(line: str) -> None:
        notes.print(line, markup=False, soft_wrap=True)

    plant = Plant(scenario.workload, scenario.setup, scenario.during, seed)
    target = LabTarget(lab_settings(scenario, kernel), notify, plant, booted)
    session, finished = record_patiently(target, RecordRequest(duration_s=DURATION_S), out, notes, notify)
    for message in session.messages:
        notify(f"note: {message}")
    if not finished.complete or session.interrupted:
        return False
    truth_path(out).write_text(json.dumps(truth_document(scenario, kernel, seed), indent=1) + "\n")
    return True


def truth_path(recording: Path) -> Path:
    """Where a recording's truth is written."""
    return recording.with_name(recording.name + ".truth.json")


def truth_document(scenario: Scenario, kernel: str, seed: int) -> dict[str, object]:
    """The truth of a recording; the same scenario, unchanged, has the same."""
    truth = scenario.truth
    return {
        "version": _TRUTH_VERSION,
        "kernel": kernel,
        "seed": seed,
        "duration_s": DURATION_S,
        "scenario": asdict(scenario) | {"workload": list(scenario.workload.options)},
        "top": truth.top,
        "healthy": truth.healthy,
        "also": dict(truth.also),
        "never": list(truth.never),
    }


def judged(truth: Truth, recording: Path) -> Agreement:
    """What the findings in a recording have to do with what is true of it.  Raises RecordingError."""
    from wgprof.analysis.summary import analyse
    from wgprof.recording.reader import open_recording
    from wgprof.rules.diagnose import diagnose

    opened = open_recording(recording)
    findings = diagnose(analyse(opened), opened).findings
    return agreement(truth, [finding.id for finding in findings])


def _print_list() -> None:
    table = Table("scenario", "what limits", "top finding", "planted")
    for name in scenario_names():
        scenario = scenario_named(name)
        table.add_row(name, scenario.meaning, scenario.truth.top or "nothing", scenario.planted)
    Console().print(table)
