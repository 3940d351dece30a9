"""How many journey events a second reach a file: `python -m bench.drain`, on this machine's own kernel.

A producer on one core emits journey events with the probes' own code; on another core they are drained
into a file, in turn by the agent's code (bulk, frames) and by a Python function that bcc
calls for each event.  First at the rate asked for, which must not lose any, then as fast as the producer
can.  Every event of the agent's file is then read back and counted.  Needs two cores, root and bcc.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from wgprof.agent.frames import open_frame, read_raw
from wgprof.recording.events import EVENT
from wgprof.recording.part import PartWriter
from wgprof.targets.local import python_with_bcc

ROOT = Path(__file__).resolve().parent.parent
AIM_PER_S = 4_000_000
AIM_RATIO = 10
#: The real probes emit one or two events a call of the kernel; many here, so that the calls do not limit.
PER_CALL = 16


@dataclass(frozen=True)
class Outcome:
    """What became of the events of one run; `cpu_s` is the draining process's, kernel time included."""

    how: str
    produced: int
    lost: int  # found the ring buffer full
    written: int
    producer_s: float
    cpu_s: float
    waited_s: float  # the drain was ready to run and had no CPU

    @property
    def produced_per_s(self) -> float:
        return self.produced / self.producer_s

    @property
    def written_per_s(self) -> float:
        return self.written / self.producer_s

    @property
    def cpu_ns(self) -> float:
        """The drain's CPU time an event."""
        return self.cpu_s * 1e9 / self.written

    def line(self) -> str:
        return (
            f"{self.how:9} {self.produced_per_s / 1e6:8.2f} {self.written_per_s / 1e6:8.2f} {self.lost:10d}"
            f" {self.lost / self.produced:7.2%} {self.cpu_ns:8.1f} {self.cpu_s / self.producer_s:8.1%}"
            f" {self.waited_s:8.3f}"
        )


def measure(how: str, events: int, rate: float, path: Path) -> Outcome:
    """One run; `rate` 0 is as fast as the producer can.  Raises ClickException."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise click.ClickException("the producer and the drain need a core each, and this machine has one")
    python = python_with_bcc()
    if python is None:
        raise click.ClickException("bcc is missing: run `make setup`")
    request = {"how": how, "events": events, "rate": rate, "per_call": PER_CALL, "cpus": cpus[:2], "path": str(path)}
    command = [python, "-I", str(ROOT / "bench" / "drain_here.py"), str(ROOT), json.dumps(request)]
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*become_root, *command], check=False, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"the drain failed: {done.stderr.strip()[-2000:]}")
    return Outcome(how, **json.loads(done.stdout.splitlines()[-1]))


def frames_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while (raw := read_raw(stream)) is not None:
            yield raw


def check(path: Path, outcome: Outcome) -> None:
    """Every event that was not lost is in the file, whole and once: events are numbered.  Raises ClickException."""
    found, last = 0, -1
    for raw in frames_of(path):
        nonces = np.frombuffer(open_frame(raw).payload, EVENT)["nonce"].astype(np.int64)
        if (np.diff(nonces, prepend=last) < 1).any():
            raise click.ClickException(f"the events around number {last} are not in order")
        found, last = found + len(nonces), int(nonces[-1])
    if found != outcome.produced - outcome.lost or (not outcome.lost and last != outcome.produced - 1):
        raise click.ClickException(f"the file has {found} events of {outcome.produced}, and {outcome.lost} were lost")


def recorder_ns(path: Path, copy: Path) -> float:
    """CPU time an event of the unprivileged side: reading and checking frames, appending them to the .part file."""
    began, size = time.process_time(), 0
    with PartWriter(copy) as writer:
        for raw in frames_of(path):
            writer.append(raw)
            size += len(raw)
    return (time.process_time() - began) * 1e9 / (size / EVENT.itemsize)


def at_rate(how: str, events: int, rate: float, folder: Path) -> Outcome:
    path = folder / how
    outcome = measure(how, events, rate, path)
    click.echo(outcome.line())
    if how == "wgprof":
        check(path, outcome)
    return outcome


@click.command()
@click.option("--events", default=20_000_000, show_default=True, help="Events of a run; each takes 40 bytes of file.")
@click.option("--rate", default=AIM_PER_S, show_default=True, help="Events a second that must not lose any.")
@click.option("--rounds", default=2, show_default=True)
def main(events: int, rate: int, rounds: int) -> None:
    """Drain the same events in turn with wgprof's agent and with bcc's callback."""
    click.echo("          produced  written       lost    lost  CPU/event  core's  waited\n"
               "            M/s      M/s      events  share       ns     share       s")  # fmt: skip
    with TemporaryDirectory(prefix="wgprof-bench-") as name:
        folder = Path(name)
        runs = [
            (how, pace, at_rate(how, events, pace, folder))
            for _ in range(rounds)
            for how in ("wgprof", "callback")
            for pace in (rate, 0)
        ]
        behind = recorder_ns(folder / "wgprof", folder / "copy")
    paced = [outcome for how, pace, outcome in runs if how == "wgprof" and pace]
    lost = sum(outcome.lost for outcome in paced)
    reached = min(outcome.produced_per_s for outcome in paced) > 0.99 * rate and not lost
    ours = min((o for how, pace, o in runs if how == "wgprof" and not pace), key=lambda o: o.written_per_s)
    # The callback's best run at either pace: being overrun costs it something.
    peer = max((o for how, _, o in runs if how == "callback"), key=lambda o: o.written_per_s)
    ratio = ours.written_per_s / peer.written_per_s
    click.echo(
        f"{rate / 1e6:g} M events/s from kernel to file, one core for the drain: {lost} lost of"
        f" {sum(outcome.produced for outcome in paced)}: {'reached' if reached else 'MISSED'}\n"
        f"as fast as the producer's core can: {ours.written_per_s / 1e6:.2f} M/s written, callback"
        f" {peer.written_per_s / 1e6:.2f} M/s: {ratio:.1f}x: {'reached' if ratio >= AIM_RATIO else 'MISSED'}\n"
        f"CPU time an event: {ours.cpu_ns:.1f} ns, callback {peer.cpu_ns:.0f} ns: {peer.cpu_ns / ours.cpu_ns:.0f}x;"
        f" the recorder behind the agent: {behind:.1f} ns"
    )


if __name__ == "__main__":
    main()
