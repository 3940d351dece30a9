"""`wgprof predict`: throughput by architecture, cores and tunnels, with intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from wgprof.errors import UsageError
from wgprof.model.installed import require_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from wgprof.model.machine import Machine
    from wgprof.model.predict import Architecture

#: The exit code of an interrupted prediction; what it had found is printed all the same.
_INTERRUPTED = 4


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--cores", default="", help="Numbers of cores, as in 1,2,4,8.  Default: the machine's.")
@click.option("--tunnels", default="1,16", show_default=True, help="Numbers of tunnels.")
@click.option("--module", "modules", default="", help="vanilla, steered, inline or several.  Default: all.")
@click.option(
    "--threaded/--no-threaded",
    default=None,
    help="Threaded NAPI, for vanilla and steered.  Default: vanilla both ways.",
)
@click.option(
    "--direction",
    type=click.Choice(["rx", "tx", "loop"]),
    default="rx",
    show_default=True,
    help="Receive, send, or both on one machine.",
)
@click.option("--packet-size", type=int, default=0, help="Bytes inside the tunnel.  Default: as calibrated.")
@click.option(
    "--what-if",
    "factors",
    multiple=True,
    metavar="COST=FACTOR",
    help="As in decrypt=0.8: also with that cost multiplied.",
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Simulations a point.")
@click.option(
    "--seconds", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="Simulated time of each."
)
@click.option(
    "--bands/--no-bands", default=True, show_default=True, help="What the ranges of costs and assumptions do."
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object (stable, versioned).")
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    cores: str,
    tunnels: str,
    modules: str,
    threaded: bool | None,
    direction: str,
    packet_size: int,
    factors: tuple[str, ...],
    seeds: int,
    seconds: float,
    bands: bool,
    as_json: bool,
) -> None:
    """Predict what more cores, more tunnels or another module would give, by simulation.

    FILE is a recording or a COSTS.toml; docs/predict.md explains both.
    """
    require_model()
    from wgprof.model.predict import Ask, changed, predict
    from wgprof.report.prediction import as_document, print_prediction

    machine = machine_of(file)
    ask = Ask(
        machine,
        _numbers(cores, "--cores") or (machine.cores or 1,),
        _numbers(tunnels or "0", "--tunnels"),
        _architectures(modules, threaded),
        direction,
        packet_size,
        seeds,
        seconds,
        bands=bands,
    )
    changes = [_factor(text) for text in factors]
    other = changed(machine, changes) if changes else None
    with counted_progress("simulating") as progress:
        prediction = predict(ask, progress)
    what_if = None
    if other is not None and not prediction.interrupted:
        with counted_progress("what if") as progress:
            what_if = predict(replace(ask, machine=other, bands=False), progress)
    if as_json:
        click.echo(json.dumps(as_document(prediction, what_if, changes), indent=1))
    else:
        print_prediction(prediction, what_if, changes)
    if prediction.interrupted or (what_if is not None and what_if.interrupted):
        ctx.exit(_INTERRUPTED)


def machine_of(file: Path) -> Machine:
    """A machine description, a shipped one by its name, or what a recording says.  Raises WgprofError."""
    from wgprof.model.machine import read_machine
    from wgprof.model.machines import SHIPPED, shipped

    if file.suffix == ".toml":
        return read_machine(file)
    if str(file) in SHIPPED:
        return read_machine(shipped(str(file)))
    from wgprof.model.calibrate import machine_from
    from wgprof.recording.reader import open_recording

    with open_recording(file) as recording:
        return machine_from(recording, file.name)


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",") if part.strip()))
    except ValueError:
        raise UsageError(f"{option} is {text!r}, not a list of numbers", f"As in {option} 1,2,4.") from None
    if any(number < 1 for number in found):
        raise UsageError(f"{option} has {min(found)}, and must be at least 1", f"As in {option} 1,2,4.")
    return found


def _architectures(modules: str, threaded: bool | None) -> tuple[Architecture, ...]:
    from wgprof.model.predict import ALL, Architecture
    from wgprof.model.scenario import MODULES

    named = [part.strip() for part in modules.split(",") if part.strip()]
    for name in named:
        if name not in MODULES:
            raise UsageError(f"--module has {name!r}", f"Modules are {', '.join(MODULES)}.")
    if not named and threaded is None:
        return ALL
    if not named:
        return tuple(a for a in ALL if a.threaded == threaded)
    if threaded and named == ["inline"]:
        raise UsageError("inline has no NAPI a peer that could be threaded", "Leave --threaded out.")
    return tuple(Architecture(name, bool(threaded) and name != "inline") for name in dict.fromkeys(named))


def _factor(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UsageError(f"--what-if is {text!r}", "Name a cost and a factor, as in --what-if decrypt=0.8.") from None


@contextmanager
def counted_progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr; none on a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
