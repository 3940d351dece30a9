"""Caps that were predicted at half load, against what then passed at full load: `python -m tests.lab.caps [NAME]..`.

Each scenario saturates one server.  It is recorded as it is, and once more with its sender held to half of what had
passed; the cap that the second recording states for that server is compared with what passed in the first.  Of a NAPI
that delivered few packets a poll that is the cap if its polls are full, as they are when it is at its limit; the other,
which is a lower bound, is printed as well.  What is in the folder is not recorded again.  Exits with 1 if a cap is off
by more than the aim.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click

from tests.lab.scenarios import FOLDER, Labs, kinds_of_machine, record_once_more, recorded
from wgprof.analysis.estimate import Estimate
from wgprof.analysis.laws import SOFTIRQ, Law
from wgprof.analysis.summary import analyse
from wgprof.errors import WgprofError
from wgprof.lab.recipe import DEFAULT_KERNEL, RECIPES
from wgprof.lab.scenario import Scenario, scenario_named
from wgprof.recording.reader import open_recording

AIM = 0.10
#: The server that each scenario saturates.
SATURATED = {
    "serial-tx": ("tx.work", "tx"),
    "serial-rx": ("rx.napi", "rx"),
    "serial-rx-small": ("rx.napi", "rx"),
    "rss-funnel": (SOFTIRQ, "rx"),
}
_LENGTH = re.compile(r"--length=(\d+)")
_BITRATE = re.compile(r"--bitrate=\S+")


@dataclass(frozen=True)
class Prediction:
    """Packets a second of one server."""

    scenario: str
    server: str
    half_pps: float  # passed when the cap was stated
    now_pps: Estimate  # the cap with what a packet took then
    full_pps: Estimate | None  # of a NAPI, with full polls
    passed_pps: float  # at full load

    @property
    def cap_pps(self) -> Estimate:
        """What is stated for a server at its limit."""
        return self.full_pps or self.now_pps

    @property
    def off(self) -> float:
        return self.cap_pps.value / self.passed_pps - 1

    def line(self) -> str:
        low, high = self.cap_pps.low, self.cap_pps.high
        interval = "?" if low is None or high is None else f"{low:,.0f}..{high:,.0f}"
        least = f"{self.now_pps.value:,.0f}" if self.full_pps else ""
        return (
            f"{self.scenario:16} {self.server:11} {self.half_pps:10,.0f} {least:>9} {self.cap_pps.value:9,.0f}"
            f" {interval:>15} {self.passed_pps:9,.0f} {100 * self.off:+8.1f} %"
            f"  {'reached' if abs(self.off) <= AIM else 'MISSED'}"
        )


def held_to(scenario: Scenario, pps: float) -> Scenario:
    """The same with its sender held to a rate, and nothing to find."""
    options = " ".join(scenario.workload.options)
    length = _LENGTH.search(options)
    if length is None:
        raise ValueError(f"{scenario.name} does not say how long its datagrams are")
    held = _BITRATE.sub(f"--bitrate={round(pps * int(length[1]) * 8)}", options)
    return replace(scenario, workload=replace(scenario.workload, options=tuple(held.split())))


def busiest(recording: Path, server: tuple[str, str]) -> tuple[Law, float]:
    """The busiest server of a kind, and the packets a second that it passed.  Raises RecordingError."""
    with open_recording(recording) as opened:
        analysis = analyse(opened)
    laws = [law for law in analysis.laws.of(*server) if law.cap_pps]
    if not laws or analysis.spans is None:
        raise WgprofError(f"{recording.name}: nothing passed {server[0]}", "Record it again.")
    law = max(laws, key=lambda law: law.occupancy.value)
    return law, law.packets / float(analysis.spans.seconds.sum())


def predict(labs: Labs, name: str, kernel: str, folder: Path) -> Prediction:
    """Record what is not there, full load first.  Raises WgprofError."""
    scenario, server = scenario_named(name), SATURATED[name]
    kind = kinds_of_machine([scenario], kernel)[name]
    full, half = folder / f"{name}-{kernel}-0.wgprof", folder / f"{name}-{kernel}-half.wgprof"
    if not recorded(scenario, kernel, 0, full):
        record_once_more(labs, kind, scenario, 0, full)
    _, passed = busiest(full, server)
    held = held_to(scenario, passed / 2)
    if not recorded(held, kernel, 0, half):
        record_once_more(labs, kind, held, 0, half)
    law, before = busiest(half, server)
    assert law.cap_pps is not None
    return Prediction(name, server[0], before, law.cap_pps, law.full_cap_pps, passed)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(SATURATED)))
@click.option("--kernel", type=click.Choice(list(RECIPES)), default=DEFAULT_KERNEL, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=FOLDER, show_default=True)
def main(*, names: tuple[str, ...], kernel: str, folder: Path) -> None:
    """Predict the caps of scenarios at half load and measure them at full load."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with Labs() as labs:
        for name in names or SATURATED:
            try:
                rows.append(predict(labs, name, kernel, folder))
            except WgprofError as error:
                raise click.ClickException(f"{name}: {error.sentence}") from error
    click.echo(
        f"{'scenario':16} {'server':11} {'at half/s':>10} {'at least':>9} {'cap/s':>9} {'95 %':>15} {'passed/s':>9}"
        f" {'cap off':>10}"
    )
    for row in rows:
        click.echo(row.line())
    sys.exit(0 if all(abs(row.off) <= AIM for row in rows) else 1)


if __name__ == "__main__":
    main()
