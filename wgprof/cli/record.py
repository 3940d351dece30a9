"""`wgprof record`: profile WireGuard for a while and write one file."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from wgprof.errors import UsageError, WgprofError
from wgprof.kmod.variant import variant_names
from wgprof.lab.machine import EmulatorFailure, NeverBooted
from wgprof.lab.tunnel import DEFAULT_MTU, NO_WORK, check_mtu, serial_work_of, why_without_effect
from wgprof.recording.finish import Finished
from wgprof.recording.part import SUFFIX
from wgprof.recording.sizes import human_size
from wgprof.targets.base import RecordRequest, Target
from wgprof.targets.choose import choose_target
from wgprof.targets.lab import LabSettings
from wgprof.targets.session import Progress, Session, default_name

EXIT_INTERRUPTED = 4
#: Names the probes can compare with.
MAX_INTERFACES = 8
LAB_ATTEMPTS = 2
#: What the crypto dial can be set to (kmod/lab).
CRYPTO_SHARES = (0.1, 0.6)
_JSON_VERSION = 1
_LONGEST_S = 86_400.0
_LONGEST_STACKS_S = 600.0


def _sample(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    if value == "auto":
        return 0
    if value.isdecimal() and 0 < int(value) <= 1 << 30:
        return int(value)
    raise UsageError(f"--sample {value} is neither auto nor a number from 1", "Use --sample auto, or N for one in N.")


def _interval(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    digits = value.removesuffix("ms")
    if digits.isdecimal() and 10 <= int(digits) <= 10_000:
        return int(digits)
    raise UsageError(f"--interval {value} is not a time from 10ms to 10000ms", "For example --interval 100ms.")


SAMPLE = click.option(
    "--sample", default="auto", show_default=True, callback=_sample, help="Journeys: one packet in N, or auto."
)
INTERVAL = click.option(
    "--interval", default="100ms", show_default=True, callback=_interval, help="Length of a counting window."
)
DETAIL = click.option(
    "--detail", is_flag=True, help="Also what costs more: threads' waits for a CPU, IPIs, the rings' locks."
)


@click.command("record")
@click.option("--duration", type=float, default=30.0, show_default=True, help="Seconds to record.")
@click.option("-i", "--interface", "interfaces", multiple=True, help="Only this WireGuard interface (repeatable).")
@click.option("--target", default="auto", show_default=True, help="auto, local (this machine) or lab (QEMU).")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@SAMPLE
@INTERVAL
@click.option(
    "--stacks",
    type=float,
    default=0.0,
    metavar="SECONDS",
    help="After the recording, have perf sample stacks and counters for so long.",
)
@DETAIL
@click.option("--anonymize", is_flag=True, help="Labels for public keys, addresses and host names in the file.")
@click.option("--kernel", help="Lab: kernel to boot, 6.1, 6.12 or 7.2.")
@click.option("--tunnels", type=int, help="Lab: number of tunnels.")
@click.option("--cpus", type=int, help="Lab: number of CPUs of the machine.")
@click.option("--workload", help="Lab: traffic: tcp, bidir, udp-small, udp-paced or idle.")
@click.option("--module", help="Lab: module to profile, vanilla, steered or inline; default: the distribution's own.")
@click.option(
    "--lab-crypto",
    type=float,
    help="Lab, with --module: crypto's share of a packet's cost, 0.1 to 0.6. The packets are NOT ENCRYPTED.",
)
@click.option("--mtu", type=int, help="Lab: the tunnels' MTU, 88 to 1440: how large their packets are.  Default: 1420.")
@click.option(
    "--serial-work",
    metavar="STAGE:RULES",
    help="Lab: so many netfilter rules inside tx.send or rx.deliver, as in tx.send:3000, or none.",
)
@click.option("--threaded/--no-threaded", default=None, help="Lab: NAPI polls in kernel threads or in softirq.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    *,
    duration: float,
    interfaces: tuple[str, ...],
    target: str,
    output: Path | None,
    sample: int,
    interval: int,
    stacks: float,
    detail: bool,
    anonymize: bool,
    as_json: bool,
    **lab_options: object,
) -> int:
    """Profile WireGuard for a while and write one file.

    With --target auto, profiles this machine if it has a WireGuard interface and can be probed; else
    boots a stock kernel in QEMU (the lab), sets up a real tunnel there and profiles that.

    Ctrl-C ends the recording early; the file is complete and the exit code 4.  A recorder that was
    killed leaves FILE.part, which `wgprof recover` finishes.

    --anonymize is done when the file is finished. Until then FILE.part has keys and addresses; it is removed once
    the file is whole. Of a recorder that was killed it stays; `wgprof recover` anonymises what it makes of it.

    \b
    wgprof record --duration 30
    wgprof record --target local -i wg0 -o slow.wgprof
    wgprof record -i wg0 --anonymize -o shareable.wgprof
    wgprof record --target lab --tunnels 4 --workload udp-small
    wgprof record --target lab --tunnels 4 --module inline
    """
    if not 0 < duration <= _LONGEST_S:
        raise UsageError(f"--duration {duration:g} is not a time to record", "Use seconds, from 0.1 to 86400.")
    if not (stacks == 0 or 0.1 <= stacks <= _LONGEST_STACKS_S):
        raise UsageError(f"--stacks {stacks:g} is not a time to sample", "Use seconds, from 0.1 to 600; 0 for none.")
    given = {name: value for name, value in lab_options.items() if value is not None}
    if given and target == "local":
        option = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{option} is for the lab", "Leave it out, or use --target lab.")
    if len(interfaces) > MAX_INTERFACES:
        raise UsageError(f"-i can be given {MAX_INTERFACES} times", "Leave it out to record all interfaces.")
    check_lab(given)
    notes = Console(stderr=True, highlight=False)

    def notify(line: str) -> None:
        notes.print(line, markup=False, soft_wrap=True)

    chosen = choose_target(target, LabSettings(**given), notify)  # type: ignore[arg-type]
    if given and chosen.name != "lab":
        notify("The lab's options are ignored: this machine is profiled.")
    out = output or default_name(chosen.name)
    check_output(out)
    request = RecordRequest(
        duration_s=duration,
        interfaces=interfaces,
        interval_ms=interval,
        sample=sample,
        stacks_s=stacks,
        detail=detail,
        anonymize=anonymize,
    )
    session, finished = record_patiently(chosen, request, out, notes, notify)
    for message in session.messages:
        notify(f"note: {message}")
    _report(finished, session.interrupted, as_json)
    if not finished.complete and not session.interrupted:
        return 1
    return EXIT_INTERRUPTED if session.interrupted else 0


class Display(Protocol):
    """Shows how a recording gets on; entered again for each attempt."""

    def __enter__(self) -> Display: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, progress: Progress) -> None: ...


class Interrupted(WgprofError):
    """Ctrl-C, and there is no finished file."""


def record_patiently(
    target: Target,
    request: RecordRequest,
    out: Path,
    notes: Console,
    notify: Callable[[str], None],
    own_display: Display | None = None,
) -> tuple[Session, Finished]:
    """Record; a lab whose emulator failed before anything was recorded is started again.

    Raises Interrupted, or another WgprofError.
    """
    for left in reversed(range(LAB_ATTEMPTS)):
        try:
            with own_display or _Display(notes, request.duration_s) as display:
                session = Session(target, request, out, display.show, version("wgprof"))
                return session, _run(session)
        except EmulatorFailure as failure:
            if not left or isinstance(failure, NeverBooted):
                raise
            notify(f"{failure.sentence}; trying again")
    raise AssertionError("the last attempt returns or raises")


def check_lab(given: Mapping[str, object]) -> None:
    """Raises UsageError for a number of CPUs, a module, a share of crypto, an MTU or work that the lab cannot have."""
    cpus = given.get("cpus")
    if isinstance(cpus, int) and not 1 <= cpus <= 64:
        raise UsageError(f"the lab cannot have {cpus} CPUs", "Choose 1 to 64; more than this host has are mostly idle.")
    _check_module(given.get("module"), given.get("lab_crypto"))
    mtu, work = given.get("mtu", DEFAULT_MTU), given.get("serial_work", NO_WORK)
    assert isinstance(mtu, int) and isinstance(work, str)
    check_mtu(mtu)
    serial_work_of(work)
    if why := why_without_effect(work, mtu, str(given.get("workload", ""))):
        raise UsageError(why, "Leave one of them out.")


def _check_module(module: object, share: object) -> None:
    if module is not None and module not in variant_names():
        raise UsageError(f"there is no module {module!r}", f"There are {', '.join(variant_names())}.")
    if share is None:
        return
    if module is None:
        raise UsageError("--lab-crypto goes with --module", f"Add --module {'|'.join(variant_names())}.")
    least, most = CRYPTO_SHARES
    if not (isinstance(share, float) and least <= share <= most):
        raise UsageError(f"--lab-crypto {share:g} is not a share from {least:g} to {most:g}", "For example 0.3.")


def check_output(out: Path) -> None:
    if out.suffix == SUFFIX:
        raise UsageError(f"{out} would be taken for a recording that was cut off", "Choose another name.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {out.absolute().parent}", "Make it first, or choose another -o.")


def _run(session: Session) -> Finished:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Before there is anything to keep, and the second time, nobody wants to wait.
        if session.interrupted or not session.recording:
            raise KeyboardInterrupt
        session.interrupt()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return session.run()
    except KeyboardInterrupt:
        if not session.recording:
            raise Interrupted("interrupted before anything was recorded", "No file was written.") from None
        remedy = f"What was recorded is kept; finish it with `wgprof recover {session.part}`."
        raise Interrupted("interrupted before the file was finished", remedy) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(finished: Finished, interrupted: bool, as_json: bool) -> None:
    if as_json:
        values = {
            "version": _JSON_VERSION,
            "path": str(finished.path),
            "bytes": finished.size,
            "duration_s": finished.duration_s,
            "journeys": finished.journeys,
            "complete": finished.complete,
            "interrupted": interrupted,
            "end_reason": finished.end_reason,
            "message": finished.message,
        }
        click.echo(json.dumps(values, indent=1))
    if interrupted:
        click.echo(f"Interrupted after {finished.duration_s:.1f} s; the file is complete.", err=True)
    click.echo(f"Wrote {finished.path} ({human_size(finished.size)})", err=as_json)


_PHASES = {
    "starting": "Starting",
    "attaching": "Attaching the probes",
    "recording": "Recording",
    "sampling": "Sampling stacks with perf",
    "finishing": "Finishing the file",
}


class _Display:
    """A progress bar on a terminal, a line a phase elsewhere."""

    def __init__(self, console: Console, duration_s: float) -> None:
        self._duration_s = duration_s
        self._phase = ""
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("Starting", total=duration_s)

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        if progress.phase != self._phase:
            self._phase = progress.phase
            words = _PHASES[progress.phase]
            self._bar.update(self._task, description=words)
            if self._bar.disable and self._phase != "starting":
                seconds = f" for {self._duration_s:g} s" if self._phase == "recording" else ""
                self._console.print(f"{words}{seconds} ..", markup=False, soft_wrap=True)
        self._bar.update(self._task, completed=min(progress.elapsed_s, self._duration_s))
