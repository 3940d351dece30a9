"""How long the analysis of a large recording takes, and how much memory: `python -m bench.analysis`.

The large recording is a real one (reports/example.wgprof, or --like) repeated end to end until it has as many journey
events as asked for: its intervals, queues and disorder are real, only longer.  What is measured is what `wgprof show`
does before it prints: open the file, analyse, diagnose.  Each run is a process of its own, on at most two CPUs; memory
is the most that was resident.  `cpu_s` is CPU time of the whole process, imports too: on a machine that is busy with
something else it says more than the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import pandas as pd
import pyarrow as pa

from wgprof.recording.reader import open_recording
from wgprof.recording.schema import BY_NAME, TABLES
from wgprof.recording.writer import write_recording

ROOT = Path(__file__).resolve().parent.parent
#: Seconds and bytes that are to be kept to, by the recording.
LIMITS = {"large": (10.0, 2 << 30), "of 30 s": (2.0, 2 << 30)}
CPUS = 2


def repeated(source: Path, out: Path, *, events: int = 0, seconds: float = 0.0) -> tuple[int, float]:
    """Write `source` repeated until it has so many events or lasts so long; returns its events and seconds."""
    with open_recording(source) as recording:
        frames = {table.name: recording.table(table.name) for table in TABLES}
        manifest = recording.manifest
    intervals, journeys = frames["intervals"], frames["journeys"]
    begin = int(intervals["t_ns"].min())
    period = int((intervals["t_ns"] + intervals["dt_ns"]).max()) - begin
    times = max(1, -(-events // len(journeys)), round(seconds * 1e9 / period))
    step = int(journeys["nonce"].max()) + 1
    # Sampling must go on as it was: every nonce keeps its divisors, and what its multiple is modulo 2^32.
    step += -step % int(np.lcm.reduce([1 << 32, *np.unique(intervals["sample_every"].to_numpy().clip(1)).tolist()]))
    tables: dict[str, pa.Table] = {}
    for name, frame in frames.items():
        shifted = [_shifted(name, frame, number * period, number * step) for number in range(times)]
        whole = pd.concat(shifted if "t_ns" in frame or name == "journeys" else [frame], ignore_index=True)
        tables[name] = pa.Table.from_pandas(whole, schema=BY_NAME[name].arrow, preserve_index=False)
        frames[name] = frame.iloc[:0]
    write_recording(out, manifest, tables)
    return tables["journeys"].num_rows, times * period / 1e9


def _shifted(name: str, frame: pd.DataFrame, by_ns: int, by_nonce: int) -> pd.DataFrame:
    """A table as it would be `by_ns` later."""
    if name == "journeys":
        return frame.assign(end_ns=frame["end_ns"] + by_ns, nonce=frame["nonce"] + np.uint64(by_nonce))
    return frame.assign(t_ns=frame["t_ns"] + by_ns) if "t_ns" in frame else frame


def measured(path: Path) -> dict[str, float]:
    """Seconds by part, and the most memory, of one process that analyses a file."""
    child = subprocess.run([sys.executable, "-m", "bench.analysis", "--analyse", str(path)], cwd=ROOT, check=True,
                           capture_output=True, text=True)  # fmt: skip
    found: dict[str, float] = json.loads(child.stdout)
    return found


def _analyse(path: Path) -> dict[str, float]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    from wgprof.analysis.summary import analyse
    from wgprof.rules.diagnose import diagnose

    started = time.perf_counter()
    with open_recording(path) as recording:
        analysis = analyse(recording)
        analysed = time.perf_counter()
        diagnose(analysis, recording)
    done = time.perf_counter()
    times = {"analyse_s": analysed - started, "rules_s": done - analysed, "all_s": done - started}
    return {**times, "cpu_s": time.process_time(), "memory": most_resident()}


def most_resident() -> int:
    """The most memory this program had, in bytes.  ru_maxrss would count what its parent had before it began."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@click.command()
@click.option("--events", default=10_000_000, show_default=True, help="Journey events of the large recording.")
@click.option(
    "--like", type=click.Path(path_type=Path), default=ROOT / "reports" / "example.wgprof", help="What to repeat."
)
@click.option("--runs", default=3, show_default=True)
@click.option("--analyse", "only", type=click.Path(path_type=Path), hidden=True, help="Analyse one file, print JSON.")
def main(events: int, like: Path, runs: int, only: Path | None) -> None:
    """Build both recordings, analyse each some times, print seconds and memory against the limits."""
    if only is not None:
        click.echo(json.dumps(_analyse(only)))
        return
    with TemporaryDirectory() as folder:
        for name, wanted in (("large", {"events": events}), ("of 30 s", {"seconds": 30.0})):
            path = Path(folder) / "recording.wgprof"
            count, seconds = repeated(like, path, **wanted)  # type: ignore[arg-type]
            size = path.stat().st_size / 1e6
            click.echo(
                f"{name}: {count:,} journey events, {seconds:,.0f} s, {size:,.0f} MB; of {runs} runs on {CPUS} CPUs:"
            )
            rows = [measured(path) for _ in range(runs)]
            for part in ("analyse_s", "rules_s", "all_s", "cpu_s"):
                values = sorted(row[part] for row in rows)
                click.echo(
                    f"  {part:10} {values[0]:6.2f} .. {values[-1]:6.2f} s, median {values[len(values) // 2]:6.2f}"
                )
            most_s, most_bytes = LIMITS[name]
            best, memory = min(row["all_s"] for row in rows), max(row["memory"] for row in rows)
            kept = "reached" if best <= most_s and memory <= most_bytes else "NOT reached"
            click.echo(f"  memory     {memory / 1e9:6.2f} GB; limits {most_s:.0f} s, {most_bytes / 1e9:.2f} GB: {kept}")


if __name__ == "__main__":
    main()
