"""The kernel's own test on every variant and kernel: `python -m tests.lab.kmod.matrix [--kernel K].. [--variant V]..`.

One after another, each in a fresh machine of the lab, whose lock is free in between.  A failure does
not end the run; the exit code is 1 if there was any.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from tests.lab.kmod.selftest import SelftestResult, attempt_selftest
from wgprof.kmod.suite import SUITES
from wgprof.kmod.variant import variant_names
from wgprof.lab.image import ensure_image
from wgprof.lab.lock import POLL_S

LOGS = Path("matrix-logs")


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


def table(results: list[SelftestResult]) -> str:
    """The results as a table in Markdown."""
    lines = ["| kernel | variant | result | seconds | last line |", "|---|---|---|---|---|"]
    for result in results:
        verdict = "passed" if result.passed else "**failed**: " + "; ".join(result.faults)
        lines.append(f"| {result.kernel} | {result.variant} | {verdict} | {result.seconds:.0f} | {result.last_line} |")
    return "\n".join(lines)


@click.command()
@click.option("--kernel", "kernels", multiple=True, type=click.Choice(list(SUITES)), help="All, if not given.")
@click.option("--variant", "variants", multiple=True, type=click.Choice(variant_names()), help="All, if not given.")
@click.option("--logs", default=LOGS, type=click.Path(path_type=Path), help="Where outputs and kernel logs stay.")
def main(kernels: tuple[str, ...], variants: tuple[str, ...], logs: Path) -> None:
    """Run netns.sh on every combination and print a table."""
    results = []
    for kernel in kernels or tuple(SUITES):
        image = ensure_image(kernel, progress=lambda line, done: None)
        for variant in variants or variant_names():
            time.sleep(2 * POLL_S)  # whoever waits for the lab gets it first
            _say(f"netns.sh on {variant}, {kernel}")
            result = attempt_selftest(image, variant, logs, _say)
            _say(f"{'passed' if result.passed else 'FAILED'} after {result.seconds:.0f} s: {result.last_line}")
            results.append(result)
    click.echo(table(results))
    sys.exit(0 if all(result.passed for result in results) else 1)


if __name__ == "__main__":
    main()
