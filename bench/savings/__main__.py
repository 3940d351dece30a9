"""What the inline module saves: `python -m bench.savings [--kernel 6.12] [--part costs]..`.

costs   instructions a packet under `-icount`: vanilla, the inline module in its queued mode, and inline, without
        and with the cipher, all of them in each boot; and what the saving implies at native crypto costs
stages  the same stage by stage, from wgprof's recordings
cpus    which CPUs a single tunnel uses, from recordings with CPUs that run in parallel
dial    goodput over the crypto dial, with CPUs that run in parallel

Interrupted, it prints what it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TypeVar

import click

from bench.savings import costs, dial, stages
from bench.savings.place import Modules, Place, build_modules, machine_settings
from bench.savings.table import costs_text, cpus_text, dial_text, implied_text, stages_text
from wgprof.errors import MachineError
from wgprof.lab.image import LabImage, ensure_image
from wgprof.lab.machine import EmulatorFailure, Machine
from wgprof.lab.qemu import MachineSettings

T = TypeVar("T")
#: What can be measured on its own.
PARTS = ("costs", "stages", "cpus", "dial")
RECORDING_S = 12.0


def note(line: str) -> None:
    click.echo(line, err=True)


@dataclass
class Results:
    """What has been measured so far, and of which modules."""

    modules: list[str] = field(default_factory=list)
    samples: list[costs.Sample] = field(default_factory=list)
    known_work: list[float] = field(default_factory=list)
    stage_costs: list[stages.StageCost] = field(default_factory=list)
    stage_cpus: list[stages.StageCpus] = field(default_factory=list)
    settings: list[dial.Setting] = field(default_factory=list)
    points: list[dial.Point] = field(default_factory=list)

    def keep_sample(self, sample: costs.Sample) -> None:
        self.samples.append(sample)
        cost = sample.cost
        crypto = "cipher" if sample.has_cipher else "no crypto"
        note(
            f"boot {sample.boot} {crypto:9} {sample.tunnels} x {sample.shape:18} {sample.way:14} {sample.side:8} "
            f"{cost.instructions:9,.0f} instructions/packet, {cost.packets} packets, {cost.lost} lost"
        )

    def keep_point(self, point: dial.Point) -> None:
        self.points.append(point)
        crypto = f"crypto {point.share:.0%}" if point.share else "cipher"
        busy = " + ".join(f"{ce:.2f}" for ce in point.busy_ce)
        what = f"repeat {point.repeat} {crypto:10} {point.tunnels} x {point.way:8}"
        note(f"{what} {point.goodput_bps / 1e6:6.0f} Mbit/s, {busy} CE")

    def text(self) -> list[str]:
        parts = [self.modules]
        if self.samples:
            parts += [costs_text(self.samples, self.known_work), implied_text(self.samples)]
        if self.stage_costs:
            parts.append(stages_text(self.stage_costs, self.samples))
        if self.stage_cpus:
            parts.append(cpus_text(self.stage_cpus))
        if self.points:
            parts.append(dial_text(self.points))
        return "\n\n".join("\n".join(part) for part in parts).splitlines()


def with_machines(boots: int, image: LabImage, settings: MachineSettings, use: Callable[[Machine, int], None]) -> None:
    """Boot until `use` has come to its end `boots` times.  A machine that fails costs what was left of its boot."""
    whole = 0
    for boot in range(1, 2 * boots + 1):
        try:
            with Machine(image, settings, note) as machine:
                use(machine, boot)
            whole += 1
        except MachineError as error:
            note(f"boot {boot} ended early: {error.sentence}: {error.remedy}")
        if whole >= boots:
            return


def measure_costs(results: Results, image: LabImage, modules: Modules, boots: int) -> None:
    """All ways in each boot."""

    def use(machine: Machine, boot: int) -> None:
        place = Place(machine, modules)
        results.known_work.append(costs.known_work(place))
        costs.measure(place, boot, results.keep_sample)

    with_machines(boots, image, machine_settings(modules, icount=True), use)


def measure_stages(results: Results, kernel: str, seconds: float) -> None:
    """Recordings of both modules."""
    for tunnels in stages.TUNNELS:
        for module in stages.MODULES:
            record = partial(stages.record_costs, kernel, module, tunnels, seconds, note)
            results.stage_costs += patiently(record)


def measure_cpus(results: Results, kernel: str, seconds: float) -> None:
    """Recordings of one tunnel with CPUs in parallel."""
    for module in stages.MODULES:
        results.stage_cpus += patiently(partial(stages.record_cpus, kernel, module, seconds, note))


def patiently(record: Callable[[], list[T]]) -> list[T]:
    """Record again if the emulator failed, once; then go on without."""
    for _ in range(2):
        try:
            return record()
        except EmulatorFailure as error:
            note(f"{error.sentence}: {error.remedy}")
    return []


def measure_dial(results: Results, image: LabImage, modules: Modules, repeats: int, seconds: float) -> None:
    """A boot for each setting of the dial, so that no boot takes the lab for long."""
    settings = machine_settings(modules, icount=False)

    def calibrate(machine: Machine, _boot: int) -> None:
        results.settings += dial.calibrate(Place(machine, modules), seconds)

    with_machines(1, image, settings, calibrate)
    for repeat in range(1, repeats + 1):
        for setting in results.settings:

            def use(machine: Machine, _boot: int, repeat: int = repeat, setting: dial.Setting = setting) -> None:
                dial.measure(Place(machine, modules), repeat, setting, seconds, results.keep_point)

            with_machines(1, image, settings, use)


@click.command()
@click.option("--kernel", default="6.12", show_default=True)
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS, show_default=True)
@click.option("--boots", default=3, show_default=True, help="Boots for the costs.")
@click.option("--repeats", default=2, show_default=True, help="Times every point of the dial is measured.")
@click.option("--seconds", default=4.0, show_default=True, help="Length of one measurement over the dial.")
@click.option("--json", "as_json", is_flag=True, help="Print every measurement as JSON.")
def main(kernel: str, parts: tuple[str, ...], boots: int, repeats: int, seconds: float, as_json: bool) -> None:
    """Measure and print what the inline module saves."""
    image = ensure_image(kernel, progress=lambda line, done: note(line))
    modules = build_modules(image, note)
    results = Results(modules.names())
    try:
        if "costs" in parts:
            measure_costs(results, image, modules, boots)
        if "stages" in parts:
            measure_stages(results, kernel, RECORDING_S)
        if "cpus" in parts:
            measure_cpus(results, kernel, RECORDING_S)
        if "dial" in parts:
            measure_dial(results, image, modules, repeats, seconds)
    except KeyboardInterrupt:
        note("interrupted; this is what was measured so far")
    if as_json:
        click.echo(json.dumps({"version": 1, "kernel": image.release, **asdict(results)}, indent=1))
    else:
        click.echo("\n".join(results.text()))


if __name__ == "__main__":
    main()
