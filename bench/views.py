"""How long it takes to draw a part of a large recording: `python -m bench.views`.

The recordings are those of bench.analysis: a real one repeated until it has ten million journey events, and until it
lasts 30 s.  First it is read and made as coarse as a screen; then, for each view, a part is cut out of that, analysed
and drawn, as when somebody moves a filter.  Each recording has a process of its own, on at most two CPUs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bench.analysis import CPUS, ROOT, most_resident, repeated
from wgprof.analysis.coarser import for_screens
from wgprof.analysis.selection import Part, Selection
from wgprof.analysis.summary import analyse, analyse_part
from wgprof.recording.reader import open_recording
from wgprof.views.catalogue import VIEWS, pictures

EXAMPLE = ROOT / "reports" / "example.wgprof"
#: Seconds for the first page and for a filter, by the recording.
LIMITS = {"10 million events": (3.0, 0.3), "30 s": (1.0, 0.1)}
_TIMES = 3


def _measure(path: Path) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    started = time.perf_counter()
    with open_recording(path) as recording:
        whole = for_screens(recording)
    del recording
    analysis = analyse(whole)
    list(pictures(VIEWS[0], whole, analysis, Selection()))
    click.echo(f"  first page {time.perf_counter() - started:.2f} s, at most {most_resident() / 1e6:,.0f} MB resident")
    length_s = analysis.window.recorded_s if analysis.window is not None else 0.0
    for view in VIEWS:
        taken = [_filter(view.name, whole, Selection(n * length_s / 9, (n + 5) * length_s / 9)) for n in range(_TIMES)]
        click.echo(f"  {view.name:10} {sorted(taken)[_TIMES // 2] * 1e3:4.0f} ms")


def _filter(name: str, whole: Part, selection: Selection) -> float:
    started = time.perf_counter()
    part = Part(whole, selection)
    analysis = analyse_part(part)
    (view,) = (view for view in VIEWS if view.name == name)
    for picture in pictures(view, part, analysis, selection):
        picture.figure.to_json()
    return time.perf_counter() - started


@click.command()
@click.option("--like", type=click.Path(path_type=Path, exists=True), default=EXAMPLE)
@click.option("--measure", type=click.Path(path_type=Path), hidden=True)
def main(like: Path, measure: Path | None) -> None:
    """Print the first page and, for each view, the median of three filters, each with its JSON."""
    if measure is not None:
        _measure(measure)
        return
    with TemporaryDirectory() as folder:
        for name, wanted in (("10 million events", {"events": 10_000_000}), ("30 s", {"seconds": 30})):
            path = Path(folder) / "repeated.wgprof"
            repeated(like, path, **wanted)
            first, each = LIMITS[name]
            click.echo(f"{name}: wanted {first:.0f} s for the first page, {each * 1e3:.0f} ms for a filter", err=False)
            sys.stdout.flush()
            subprocess.run([sys.executable, "-m", "bench.views", "--measure", str(path)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
