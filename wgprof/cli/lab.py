"""`wgprof lab`: the kernels that wgprof boots where there is no WireGuard to profile."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wgprof.cli import scenario
from wgprof.lab.image import LabImage, ensure_image, list_images
from wgprof.lab.image import Progress as Report
from wgprof.lab.kvm import usable
from wgprof.lab.machine import Machine
from wgprof.lab.own_qemu import ensure_qemu
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.recipe import DEFAULT_KERNEL, RECIPES
from wgprof.lab.terminal import attach
from wgprof.lab.workload import set_up_tunnels

KERNEL = click.option(
    "--kernel", type=click.Choice(list(RECIPES)), default=DEFAULT_KERNEL, show_default=True, help="Kernel series."
)
CPUS = click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="The machine's CPUs.")
MEMORY = click.option(
    "--memory", type=click.IntRange(512), default=2048, show_default=True, metavar="MB", help="The machine's memory."
)


@click.group(name="lab")
def command() -> None:
    """Real kernels in a virtual machine, for where there is no WireGuard to profile.

    \b
    An image is a stock Debian kernel with its WireGuard, bcc and iperf3, built once (a minute or two)
    under ~/.cache/wgprof/lab and never changed by a run.  `wgprof record --target lab` builds and boots
    it by itself; the commands here are for looking inside.

    \b
      wgprof lab build --kernel 6.1     build an image ahead of time
      wgprof lab run -- uname -r        run one command in a fresh machine
      wgprof lab shell                  look around in one
      wgprof lab scenario serial-tx     plant a bottleneck, record it, see whether it is found
      wgprof lab list                   what is built, and how large it is

    QEMU emulates the CPU unless KVM is proved to work: kernels, packets and probes are real, speed is not.
    """


@command.command()
@KERNEL
@click.option("--force", is_flag=True, help="Build it again even if it is sound.")
def build(kernel: str, force: bool) -> None:
    """Build the image of a kernel series, or check the one there is.

    Needs root or user namespaces, mmdebstrap, the network, and about 4 GB of space while it works.
    An interrupted build goes on where it stopped.
    """
    with progress_on_stderr() as report:
        image = ensure_image(kernel, progress=report, rebuild=force)
    ensure_qemu(note)
    usable(image, note)
    size = sum(path.stat().st_blocks * 512 for path in image.directory.iterdir())
    note(f"Wrote {image.directory} ({size / 1e6:.0f} MB), kernel {image.release}")


@command.command(name="run", context_settings={"ignore_unknown_options": True})
@KERNEL
@CPUS
@MEMORY
@click.option("--icount", is_flag=True, help="Counted instructions: costs repeat exactly, there is no parallelism.")
@click.option("--timeout", type=click.FloatRange(min=1), default=600, show_default=True, metavar="SECONDS")
@click.option(
    "--with",
    "files",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="A file or folder to find under /payload in the machine; may be repeated.",
)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND..")
def run_command(
    *,
    kernel: str,
    cpus: int,
    memory: int,
    icount: bool,
    timeout: float,
    files: tuple[Path, ...],
    words: tuple[str, ...],
) -> None:
    """Run a command as root in a fresh machine and exit with its exit code.

    \b
    A single word is a shell line; several are a command and its arguments:
      wgprof lab run -- bpftool feature probe kernel
      wgprof lab run 'modprobe wireguard && grep -c wg_ /proc/kallsyms'

    The machine is thrown away afterwards.  A command that takes longer than --timeout ends with 124.
    """
    payload = tuple((path, path.resolve().name) for path in files)
    settings = MachineSettings(cpus=cpus, memory_mb=memory, icount=icount, payload=payload)
    line = words[0] if len(words) == 1 else shlex.join(words)
    with Machine(_image(kernel), settings, note) as machine:
        result = machine.run(line, timeout)
    click.echo(result.stdout, nl=False)
    click.echo(result.stderr, nl=False, err=True)
    sys.exit(result.exit_code)


@command.command()
@KERNEL
@CPUS
@MEMORY
@click.option("--tunnels", type=click.IntRange(0, 64), default=1, show_default=True, help="Tunnels to set up first.")
def shell(kernel: str, cpus: int, memory: int, tunnels: int) -> None:
    """A root shell in a fresh machine, with a tunnel between the namespaces wga and wgb.

    Leave it with `exit` or Ctrl-D.  What you change is gone afterwards.
    """
    with Machine(_image(kernel), MachineSettings(cpus=cpus, memory_mb=memory), note) as machine:
        if tunnels:
            set_up_tunnels(machine, tunnels, False)
            note("try: ip netns exec wga wg show; ip netns exec wga ping -c 3 10.0.0.2")
        code = attach(machine)
    sys.exit(code)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(as_json: bool) -> None:
    """The images: state and size."""
    images = list_images()
    if as_json:
        rows = [asdict(image) for image in images]
        click.echo(json.dumps({"version": 1, "images": rows}, indent=1))
        return
    table = Table("kernel", "distribution", "state", "release", "size")
    for image in images:
        size = f"{image.size_bytes / 1e6:.0f} MB" if image.size_bytes else ""
        table.add_row(image.kernel, f"Debian {image.suite}", image.state, image.release, size)
    Console().print(table)


command.add_command(scenario.command)


def note(line: str) -> None:
    """One line about what is going on, out of the way of results."""
    click.echo(line, err=True)


@contextmanager
def progress_on_stderr() -> Iterator[Report]:
    """A progress bar on a terminal, a line for each step elsewhere."""
    if not sys.stderr.isatty():
        yield lambda line, done: note(line)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("lab image", total=1.0, visible=False)  # a sound image needs no bar
        yield lambda line, done: bar.update(task, description=line, completed=done, visible=True)


def _image(kernel: str) -> LabImage:
    with progress_on_stderr() as report:
        return ensure_image(kernel, progress=report)
