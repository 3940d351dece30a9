"""How long the agent takes until its first data: `python -m bench.start RECORDING..`, of recordings in the lab.

The lab is emulated.  What the same start takes on this machine is told by proportion: the probes are compiled here,
too, which is most of it.  Needs bcc.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from tests.captures.facts import KERNELS
from wgprof.recording.reader import open_recording
from wgprof.targets.local import python_with_bcc

ROOT = Path(__file__).resolve().parent.parent
AIM_LAB_S = 20.0
AIM_HERE_S = 3.0
RUNS = 3


def compiled_here_s(kernel: str) -> float:
    """Seconds that compiling a captured kernel's probes takes on this machine, the least of some runs."""
    python = python_with_bcc()
    if not python:
        raise click.ClickException("bcc is missing: run `make setup`")
    command = [python, str(ROOT / "bench/start_here.py"), str(ROOT), kernel]
    return min(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(RUNS))


def captured_kernel(release: str) -> str:
    """The captured kernel of the same series; raises ClickException if there is none."""
    for kernel in KERNELS:
        if release.startswith(f"{kernel}."):
            return kernel
    raise click.ClickException(f"no capture of kernel {release}: there are {', '.join(KERNELS)}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True)
def main(*, paths: tuple[Path, ...]) -> None:
    """Print by kernel the median and the most of the recordings' starts, in seconds."""
    starts: dict[str, list[dict[str, float]]] = {}
    for path in paths:
        with open_recording(path) as recording:
            starts.setdefault(str(recording.manifest["machine"]["kernel"]), []).append(recording.manifest["startup"])
    click.echo("kernel                  recordings  start  most  compile  attach  compile here  start here")
    reached = True
    for release, several in sorted(starts.items()):
        middle = sorted(several, key=lambda startup: startup["start_s"])[len(several) // 2]
        most = max(startup["start_s"] for startup in several)
        here = compiled_here_s(captured_kernel(release))
        start_here = middle["start_s"] * here / middle["compile_s"]
        reached = reached and middle["start_s"] <= AIM_LAB_S and start_here <= AIM_HERE_S
        click.echo(
            f"{release:24}{len(several):10}{middle['start_s']:7.1f}{most:6.1f}{middle['compile_s']:9.1f}"
            f"{middle['attach_s']:8.1f}{here:14.2f}{start_here:12.2f}"
        )
    click.echo(
        f"aims: the median within {AIM_LAB_S:.0f} s in the lab, {AIM_HERE_S:.0f} s here by proportion: "
        f"{'reached' if reached else 'NOT reached'}"
    )
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
