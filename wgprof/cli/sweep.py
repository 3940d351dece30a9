"""`wgprof sweep`: a matrix of recordings in the lab, in one file."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console

from wgprof.cli.record import DETAIL, EXIT_INTERRUPTED, INTERVAL, SAMPLE, check_lab
from wgprof.cli.sweep_lab import SweepDisplay, lab_recorder, time_words
from wgprof.cli.sweep_read import report_command, show_command
from wgprof.errors import UsageError
from wgprof.kmod.variant import variant_names
from wgprof.lab.recipe import recipe_for
from wgprof.lab.workload import workload_named
from wgprof.recording.sizes import human_size
from wgprof.sweep.configuration import DISTRIBUTION
from wgprof.sweep.document import DONE, FAILED, WAITING, Sweep
from wgprof.sweep.file import SUFFIX
from wgprof.sweep.matrix import Matrix, expected_s, matrix_of
from wgprof.sweep.part import complete_sweep, part_of
from wgprof.sweep.running import run_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

_JSON_VERSION = 1
_LARGEST_SPEC = 1 << 20
_YES_NO = {"yes": True, "no": False}
#: Options that are about this call, not about what is swept.
_OF_THE_CALL = ("spec", "output", "dry_run", "as_json")


class _RunsByDefault(click.Group):
    """A group whose first command needs no name: `wgprof sweep --tunnels 1,2` runs a sweep."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[SPEC.toml] [OPTIONS]")
        formatter.write_usage(ctx.command_path, "show|report NAME.sweep [OPTIONS]")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Command.format_options(run, ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(name="sweep", cls=_RunsByDefault)
def command() -> None:
    """Record a matrix of configurations in the lab, each several times, into one file.

    Every repeat has all configurations in a random order of its own, so that drift of the machine favours none.  The
    same command again goes on where it ended; Ctrl-C keeps what there is (exit code 4).  A recording that fails is
    tried once more, then noted with its reason (exit code 1); the next call tries it again.

    \b
    wgprof sweep --tunnels 1,2,4 --module vanilla,inline --duration 10 -o mine.sweep
    wgprof sweep --one-at-a-time --cpus 2,1 --mtu 1420,512 --serial-work none,tx.send:3000
    wgprof sweep matrix.toml --dry-run
    wgprof sweep show mine.sweep --predict 1
    wgprof sweep report mine.sweep
    """


def _listed(_ctx: click.Context, param: click.Parameter, value: str | None) -> list[object] | None:
    """The values between the commas, as a file would have them."""
    if value is None:
        return None
    return [_value(str(param.name), part.strip()) for part in value.split(",")]


def _value(name: str, part: str) -> object:
    if name in ("tunnels", "cpus", "mtu"):
        return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else part
    if name == "threaded":
        return _YES_NO.get(part, part)
    if name == "lab_crypto":
        try:
            return float(part)
        except ValueError:
            return part
    return part


@command.command()
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--tunnels", callback=_listed, help="Numbers of tunnels, as in 1,2,4.  Default: 1.")
@click.option("--cpus", callback=_listed, help="Numbers of CPUs.  Default: 2.")
@click.option(
    "--module", callback=_listed, help="distribution, vanilla, steered or inline, or several.  Default: distribution."
)
@click.option("--threaded", callback=_listed, help="NAPI polls in threads: no, yes, or no,yes.  Default: no.")
@click.option(
    "--workload", callback=_listed, help="tcp, bidir, udp-small, udp-paced or idle, or several.  Default: tcp."
)
@click.option(
    "--mtu", callback=_listed, help="The tunnels' MTUs, as in 1420,512: how large packets are.  Default: 1420."
)
@click.option(
    "--serial-work",
    callback=_listed,
    help="Netfilter rules inside a stage, as in none,tx.send:3000,rx.deliver:3000.  Default: none.",
)
@click.option("--kernel", callback=_listed, help="6.1, 6.12 or 7.2, or several.  Default: 6.12.")
@click.option(
    "--lab-crypto",
    callback=_listed,
    help="Crypto's shares of a packet's cost, 0.1 to 0.6, or off.  With a share packets are NOT ENCRYPTED.",
)
@click.option(
    "--one-at-a-time",
    is_flag=True,
    help="Not all combinations: for each module the first value of every option, and each other value alone.",
)
@click.option("--duration", type=float, default=10.0, show_default=True, help="Seconds of each recording.")
@click.option("--repeats", type=int, default=3, show_default=True, help="Recordings of each configuration.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the random orders.")
@SAMPLE
@INTERVAL
@DETAIL
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  Default: SPEC.sweep, or a name that the same options give again.",
)
@click.option("--dry-run", is_flag=True, help="Print the order and the time it will take, and record nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def run(
    ctx: click.Context, /, spec: Path | None, output: Path | None, dry_run: bool, as_json: bool, **_: object
) -> int:
    """Record the matrix; `wgprof sweep` without a command is this one."""
    matrix = _matrix(ctx, spec)
    out = output or (spec.with_suffix(SUFFIX) if spec else Path(f"wgprof-{matrix.key}{SUFFIX}"))
    _check_output(out)
    notes = Console(stderr=True, highlight=False)
    for reason in matrix.left_out:
        notes.print(f"Left out: {reason}.", markup=False, soft_wrap=True)
    if any(share is not None for share in matrix.lab_crypto):
        notes.print("With a share of lab-crypto the packets are NOT ENCRYPTED, which every view will say first.")
    if dry_run:
        _print_plan(matrix, as_json)
        return 0
    sweep = complete_sweep(out, matrix)
    interrupted = False
    if sweep is None:
        with part_of(out, matrix) as part:
            with SweepDisplay(notes, part.sweep) as display:
                interrupted = not run_sweep(part, lab_recorder(matrix, notes, display), display)
            part.pack()
            sweep = part.sweep
    _report(sweep, out, interrupted, as_json)
    if interrupted:
        return EXIT_INTERRUPTED
    return 1 if sweep.in_state(FAILED) else 0


command.add_command(show_command, "show")
command.add_command(report_command, "report")


def _matrix(ctx: click.Context, spec: Path | None) -> Matrix:
    """What is asked, each of its configurations one that the lab can be."""
    given = {
        name: value
        for name, value in ctx.params.items()
        if name not in _OF_THE_CALL and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if spec is not None and given:
        option = next(iter(given)).replace("_", "-")
        raise UsageError(
            f"{spec} says what to sweep, so --{option} does not go with it", "Change the file, or leave it."
        )
    if "interval" in given:
        given["interval_ms"] = given.pop("interval")
    matrix = matrix_of(_read(spec), spec.name) if spec is not None else matrix_of(given, "the command line")
    for configuration in matrix.configurations:
        if configuration.module not in (DISTRIBUTION, *variant_names()):
            raise UsageError(
                f"there is no module {configuration.module!r}",
                f"There are {', '.join((DISTRIBUTION, *variant_names()))}.",
            )
        workload_named(configuration.workload)
        recipe_for(configuration.kernel)
        module = None if configuration.module == DISTRIBUTION else configuration.module
        check_lab({**asdict(configuration), "module": module})
    return matrix


def _read(spec: Path) -> Mapping[str, Any]:
    """Raises UsageError if it is no TOML."""
    try:
        if spec.stat().st_size > _LARGEST_SPEC:
            raise UsageError(f"{spec} is too large for a matrix", "docs/sweep.md shows one.")
        return tomllib.loads(spec.read_text())
    except OSError as error:
        raise UsageError(f"{spec} could not be read: {error.strerror}", "Check the path.") from error
    except ValueError as error:
        raise UsageError(f"{spec} is not TOML: {str(error)[:200]}", "docs/sweep.md shows one.") from error


def _check_output(out: Path) -> None:
    if out.suffix != SUFFIX:
        raise UsageError(f"{out} does not end in {SUFFIX}", "A sweep is no recording: name it NAME.sweep.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {out.absolute().parent}", "Make it first, or choose another -o.")


def _print_plan(matrix: Matrix, as_json: bool) -> None:
    """The order, and the time it will take."""
    sweep = Sweep.of(matrix, "")
    seconds = sum(expected_s(matrix, run.configuration) for run in sweep.runs)
    if as_json:
        values = {"version": _JSON_VERSION, "expected_s": seconds, **sweep.document()}
        click.echo(json.dumps(values, indent=1))
        return
    for planned in sweep.runs:
        click.echo(f"{planned.number:4d}  repeat {planned.repeat}  {planned.configuration.label(sweep.axes)}")
    count, shown = len(matrix.configurations), time_words(seconds)
    click.echo(f"{count} configurations, {matrix.repeats} repeats: {len(sweep.runs)} recordings, about {shown}.")


def _report(sweep: Sweep, out: Path, interrupted: bool, as_json: bool) -> None:
    done, failed, waiting = (sweep.in_state(state) for state in (DONE, FAILED, WAITING))
    size = out.stat().st_size
    if as_json:
        values = {
            "version": _JSON_VERSION,
            "path": str(out),
            "bytes": size,
            "recordings": len(sweep.runs),
            "done": len(done),
            "waiting": len(waiting),
            "failed": [{"number": r.number, "repeat": r.repeat, "configuration": r.configuration.label(sweep.axes),
                        "reason": r.reason} for r in failed],
            "interrupted": interrupted,
        }  # fmt: skip
        click.echo(json.dumps(values, indent=1))
    if interrupted:
        missing = len(waiting)
        click.echo(f"Interrupted; the same command again makes the recordings that are missing: {missing}.", err=True)
    for lost in failed:
        click.echo(f"Failed: {lost.configuration.label(sweep.axes)}, repeat {lost.repeat}: {lost.reason}", err=True)
    click.echo(f"Recordings done: {len(done)} of {len(sweep.runs)}.", err=True)
    click.echo(f"Wrote {out} ({human_size(size)})", err=as_json)
