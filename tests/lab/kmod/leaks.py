"""Load, traffic, mode switch, unload, again and again: `python -m tests.lab.kmod.leaks [--times 50] ..`.

The machine's slab allocator notes who allocated each object (slub_debug=U) and keeps caches apart
(slab_nomerge), so that an object that WireGuard's code left behind has its name on it, and a cache of its own
that is not empty at unload is a warning.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass

import click

from tests.lab.kmod.bed import TUNNEL, booted, troubles
from wgprof.errors import MachineError
from wgprof.kmod.build import Module
from wgprof.kmod.chroot import Progress
from wgprof.kmod.lab import build_for, load_in
from wgprof.kmod.suite import SUITES
from wgprof.kmod.variant import variant_names
from wgprof.lab.image import LabImage, ensure_image
from wgprof.lab.lock import POLL_S
from wgprof.lab.machine import Machine

#: The older and the newer name of one setting.
SLAB_OPTIONS = "slab_nomerge slub_debug=U slab_debug=U"

#: Rounds before the first look: by then the machine has made what it makes once.
FIRST = 5

#: What unreclaimable slabs may grow by, which the whole machine uses: once, and with each round.
NOISE_KB = 1024.0
NOISE_KB_A_ROUND = 4.0

#: Every CPU keeps freed heads of packets for the next ones (NAPI_SKB_CACHE_SIZE, net/core/skbuff.c), which count as
#: allocated.  A packet that leaked also holds its data, which is in another cache.
RECYCLED = "skbuff_head_cache"


@dataclass(frozen=True)
class Leaks:
    """What was allocated after one of the first rounds and after the last; kB, and objects by cache."""

    rounds: int  # between the two looks
    traces: tuple[dict[str, int], dict[str, int]]
    slab_kb: tuple[int, int]
    percpu_kb: tuple[int, int]
    growth: dict[str, int]  # caches with more objects, whoever made them: processes and files come and go, too

    def faults(self) -> list[str]:
        """What grew by at least one a round.  Empty if nothing did."""
        before, after = self.traces
        by_us = {cache: count - before.get(cache, 0) for cache, count in after.items()}
        found = [] if before and after else ["the slab allocator does not note who allocates, so nothing can be said"]
        found += [
            f"{cache}: {more} more objects of WireGuard"
            for cache, more in by_us.items()
            if more >= self.rounds and cache != RECYCLED
        ]
        slab_kb, percpu_kb = (after - before for before, after in (self.slab_kb, self.percpu_kb))
        if percpu_kb > 0:
            found.append(f"per-CPU memory grew by {percpu_kb} kB")
        if slab_kb > NOISE_KB + NOISE_KB_A_ROUND * self.rounds:
            found.append(f"unreclaimable slabs grew by {slab_kb} kB")
        return found


def parse_leaks(output: str, first: int, last: int) -> Leaks:
    """What `tunnel.sh repeat` printed after two of its rounds."""

    def numbers(kind: str, at: int) -> dict[str, int]:
        return {name: int(count) for name, count in re.findall(rf"^{kind} {at} (\S+) (\d+)$", output, re.MULTILINE)}

    def size(name: str, at: int) -> int:
        match = re.search(rf"^{name}: {at} (\d+)$", output, re.MULTILINE)
        if match is None:
            raise MachineError(f"the machine did not say its {name} after round {at}", output[-300:])
        return int(match[1])

    slabs = numbers("slab", first), numbers("slab", last)
    growth = {
        name: count - slabs[0].get(name, 0)
        for name, count in slabs[1].items()
        if count >= slabs[0].get(name, 0) + last - first
    }
    return Leaks(
        last - first,
        (numbers("traces", first), numbers("traces", last)),
        (size("SUnreclaim", first), size("SUnreclaim", last)),
        (size("Percpu", first), size("Percpu", last)),
        growth,
    )


def repeat(machine: Machine, module: Module, times: int, first: int = FIRST) -> Leaks:
    """`times` rounds in a machine booted with SLAB_OPTIONS; another variant is taken out.  Raises MachineError."""
    load_in(machine, module)  # once, for the modules it needs
    machine.check("rmmod wireguard")
    return parse_leaks(
        machine.check(f"{TUNNEL} repeat {module.variant} {times} {first}", 60 + 15 * times), first, times
    )


def run(image: LabImage, variant: str, times: int, progress: Progress) -> tuple[Leaks, list[str], float]:
    """The rounds in a machine of their own: what stayed, all that is wrong, and the seconds it took."""
    module = build_for(image, variant, progress)
    with booted(image, module, append=SLAB_OPTIONS, notify=progress) as machine:
        started = time.monotonic()
        leaks = repeat(machine, module, times)
        return leaks, leaks.faults() + troubles(machine.check("dmesg")), time.monotonic() - started


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


@click.command()
@click.option("--kernel", type=click.Choice(list(SUITES)), default="6.12", show_default=True)
@click.option("--variant", "variants", multiple=True, type=click.Choice(variant_names()), default=variant_names())
@click.option("--times", default=50, show_default=True)
def main(kernel: str, variants: tuple[str, ...], times: int) -> None:
    """Run the rounds on each variant and print what stayed."""
    failed = False
    for variant in variants:
        time.sleep(2 * POLL_S)  # whoever waits for the lab gets it first
        image = ensure_image(kernel, progress=lambda line, done: None)
        leaks, faults, seconds = run(image, variant, times, _say)
        slab_kb, percpu_kb = (after - before for before, after in (leaks.slab_kb, leaks.percpu_kb))
        click.echo(
            f"{kernel} {variant}: {times} rounds in {seconds:.0f} s; from round {FIRST} to {times}: "
            f"unreclaimable slabs {slab_kb:+} kB, per-CPU memory {percpu_kb:+} kB; "
            f"objects of WireGuard {sum(leaks.traces[0].values())} then {sum(leaks.traces[1].values())}; "
            f"caches that grew by one a round or more, whoever made it: {leaks.growth or 'none'}"
        )
        for fault in faults:
            click.echo(f"{kernel} {variant} FAILED: {fault}")
        failed = failed or bool(faults)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
