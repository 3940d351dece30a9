"""The support matrix: `python -m tests.lab.support [--kernel K].. [--module M].. [--tunnels N].. [--napi WAY]..`.

Records each combination as a user would, one after another, and keeps what came out of it as a file of
its own.  docs/support-matrix.md is written from those files alone, so a run that was cut short goes on
where it ended, and a row is made anew with --again.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from tests.lab.support_row import Case, Row, examined
from tests.lab.support_text import document
from wgprof.kmod.variant import variant_names
from wgprof.lab.lock import POLL_S
from wgprof.lab.recipe import RECIPES

RESULTS = Path("matrix-logs/support")
DOCUMENT = Path("docs/support-matrix.md")
WGPROF = Path(sys.executable).with_name("wgprof")
DISTRIBUTION = "distribution"
MODULES = (DISTRIBUTION, *variant_names())
NAPI = ("softirq", "threaded")
TUNNELS = (1, 4)
#: How long to wait for another lab on this machine, unless WGPROF_LAB_WAIT says otherwise, and for a recording after.
LAB_WAIT_S = "7200"
PATIENCE_S = 900.0
IN_USE = "the lab is in use"


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


def record(case: Case, seconds: float, folder: Path) -> Row | None:
    """One recording with `wgprof record`; what goes wrong is the row's, but that the lab was in use all the time."""
    path, began = folder / f"{case.name}.wgprof", time.monotonic()
    path.unlink(missing_ok=True)
    environment = {"WGPROF_LAB_WAIT": LAB_WAIT_S, **os.environ}
    limit = seconds + PATIENCE_S + float(environment["WGPROF_LAB_WAIT"])
    words = ["record", "--target", "lab", "--duration", f"{seconds:g}", "--output", str(path), *case.options()]
    try:
        done = subprocess.run(
            [WGPROF, *words], check=False, capture_output=True, text=True, timeout=limit, env=environment
        )
    except subprocess.TimeoutExpired:
        return Row(case, error="it did not end")
    (folder / f"{case.name}.log").write_text(done.stdout + done.stderr)
    if not path.exists():
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        why = lines[-1] if lines else f"exit code {done.returncode}"
        return None if why.startswith(IN_USE) else Row(case, error=why[:200])
    _say(f"{case.name}: recorded in {time.monotonic() - began:.0f} s")
    return examined(case, path)


def cases(kernels: Iterable[str], modules: Iterable[str], tunnels: Iterable[int], napi: Iterable[str]) -> list[Case]:
    """All combinations, kernel by kernel."""
    return [
        Case(kernel, "" if module == DISTRIBUTION else module, number, way == "threaded")
        for kernel, module, number, way in itertools.product(kernels, modules, tunnels, napi)
    ]


@dataclass(frozen=True)
class Results:
    """The rows in a folder, a JSON file each."""

    folder: Path

    def has(self, case: Case) -> bool:
        """Whether there is a recording of it: what went wrong may go right the next time."""
        return any(row.case == case and not row.error for row in self.rows())

    def put(self, row: Row) -> None:
        (self.folder / f"{row.case.name}.json").write_text(json.dumps(asdict(row), indent=1))

    def rows(self) -> list[Row]:
        """All rows, kernel by kernel in the order of RECIPES."""
        found = [Row.from_json(json.loads(path.read_text())) for path in self.folder.glob("*.json")]
        order = {kernel: number for number, kernel in enumerate(RECIPES)}
        return sorted(found, key=lambda row: (order.get(row.case.kernel, len(order)), row.case.order()))


@click.command()
@click.option("--kernel", "kernels", multiple=True, type=click.Choice(list(RECIPES)), help="All, if not given.")
@click.option("--module", "modules", multiple=True, type=click.Choice(MODULES), help="All, if not given.")
@click.option("--tunnels", multiple=True, type=int, help="1 and 4, if not given.")
@click.option("--napi", multiple=True, type=click.Choice(NAPI), help="Both, if not given.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of each recording.")
@click.option("--again", is_flag=True, help="Record also what has a result already.")
@click.option("--judge", is_flag=True, help="Record nothing: judge anew the recordings that are there.")
@click.option("--results", default=RESULTS, type=click.Path(path_type=Path), help="Where results and recordings stay.")
@click.option("--document", "target", default=DOCUMENT, type=click.Path(path_type=Path), help="Document to write.")
def main(
    *,
    kernels: tuple[str, ...],
    modules: tuple[str, ...],
    tunnels: tuple[int, ...],
    napi: tuple[str, ...],
    seconds: float,
    again: bool,
    judge: bool,
    results: Path,
    target: Path,
) -> None:
    """Record every combination that has no result yet, and write the matrix from all results."""
    results.mkdir(parents=True, exist_ok=True)
    kept = Results(results)
    for case in cases(kernels or tuple(RECIPES), modules or MODULES, tunnels or TUNNELS, napi or NAPI):
        if judge:
            if (path := results / f"{case.name}.wgprof").exists():
                kept.put(examined(case, path))
            continue
        if kept.has(case) and not again:
            continue
        time.sleep(2 * POLL_S)  # whoever waits for the lab gets it first
        _say(case.name)
        row = record(case, seconds, results)
        if row is None:
            _say(f"{case.name}: no result, {IN_USE}")
            continue
        _say(f"{case.name}: {row.summary}")
        kept.put(row)
    rows = kept.rows()
    target.write_text(document(rows))
    click.echo(f"Wrote {target} ({len(rows)} rows)")
    sys.exit(0 if all(row.good for row in rows) else 1)


if __name__ == "__main__":
    main()
