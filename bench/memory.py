"""Whether the agent's memory grows: `python -m bench.memory RECORDING`, of one that lasted some minutes.

With many peers: `wgprof record --target lab --tunnels 32 --duration 600`, which has 64, 32 on each end.
Exits with 1 if any minute after the first took more than the aim beyond the first.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from wgprof.analysis.tables import ints
from wgprof.recording.reader import open_recording

AIM = 0.05
MINUTE_NS = 60_000_000_000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(*, path: Path) -> None:
    """Print the agent's resident memory by minute."""
    with open_recording(path) as recording:
        intervals, objects = recording.table("intervals"), recording.table("objects")
        lost = int(recording.manifest["losses"]["total"])
    at, resident = ints(intervals, "t_ns"), ints(intervals, "agent_rss_bytes") / 1e6
    minute = (at - at.min()) // MINUTE_NS
    highest = [float(resident[minute == number].max()) for number in sorted(set(minute.tolist()))]
    peers = int((objects["kind"] == "peer").sum())
    click.echo(f"{peers} peers, {len(intervals):,} intervals, {lost} events lost; most resident in each minute, MB:")
    click.echo("  " + " ".join(f"{value:.1f}" for value in highest))
    grown = max(highest[1:], default=highest[0]) / highest[0] - 1
    reached = "reached" if grown <= AIM else "NOT reached"
    click.echo(f"  grew by {100 * grown:.1f} % after the first; limit {100 * AIM:.0f} %: {reached}")
    sys.exit(0 if grown <= AIM else 1)


if __name__ == "__main__":
    main()
