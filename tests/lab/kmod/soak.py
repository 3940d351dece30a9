"""Many packets over a bad link while keys change: `python -m tests.lab.kmod.soak [--kernel K].. [--variant V]..`.

Both ends of a tunnel send numbered packets to each other over a link that loses, reorders and doubles (netem).
The module is made from the distribution's source with one number changed, so that keys are renewed every few
seconds.  What arrives from the link is compared with what is delivered, packet by packet (witness.py).
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.lab.kmod.bed import TUNNEL, booted, identity, load_talkative, troubles
from tests.lab.kmod.witness_report import Witness, parse_witnesses
from wgprof.errors import MachineError, WgprofError
from wgprof.kmod.build import Module, build
from wgprof.kmod.chroot import Progress
from wgprof.kmod.environment import chroot_environment
from wgprof.kmod.source import take_source
from wgprof.kmod.suite import SUITES, find_suite
from wgprof.kmod.variant import variant_names
from wgprof.lab.image import ensure_image
from wgprof.lab.lock import POLL_S

#: What the link does.
LINK = "delay 5ms reorder 5% loss 1% duplicate 1%"
FLOWS = 4
#: Both ends together: what two emulated CPUs carry without a queue that overflows.
RATE_PPS = 1200
#: A sender asks for a new key when its own is this old; WireGuard sends a handshake every REKEY_TIMEOUT (5 s) at most.
REKEY_AFTER_S = 3


def build_impatient(variant: str, kernel: str, progress: Progress) -> Module:
    """The variant with keys that are renewed after REKEY_AFTER_S.  Raises as `build`, MachineError."""
    with TemporaryDirectory() as folder:
        source = Path(folder) / f"rekey-after-{REKEY_AFTER_S}s"
        version = take_source(chroot_environment(find_suite(kernel), progress), source).version
        messages = source / "messages.h"
        text, count = re.subn(r"\bREKEY_AFTER_TIME = \d+", f"REKEY_AFTER_TIME = {REKEY_AFTER_S}", messages.read_text())
        if count != 1:
            raise MachineError(f"messages.h of {version} does not set REKEY_AFTER_TIME once")
        messages.write_text(text)
        return build(variant, kernel, progress, source)


def soak(kernel: str, variant: str, count: int, progress: Progress) -> tuple[list[Witness], list[str], float]:
    """Send `count` packets each way; both ends' witnesses, all that is wrong, and the seconds without the boot.

    Raises MachineError.
    """
    image = ensure_image(kernel, progress=lambda line, done: None)
    module = build_impatient(variant, kernel, progress)
    seconds = 2 * count / RATE_PPS
    with booted(image, module, notify=progress) as machine:
        started = time.monotonic()
        load_talkative(machine, module)
        machine.check(f"modprobe sch_netem; {TUNNEL} up", 120)
        loaded = identity(machine)
        words = f"{FLOWS} {count // FLOWS} {RATE_PPS // 2} {LINK}"
        output = machine.check(f"{TUNNEL} netem {words}", 120 + 3 * seconds)
        faults = [] if loaded == identity(machine) and loaded[:2] == (variant, module.patch_hash) else ["other module"]
        machine.check(f"{TUNNEL} down; rmmod wireguard")
        faults += troubles(machine.check("dmesg"))
        took = time.monotonic() - started
    witnesses = parse_witnesses(output)
    for witness in witnesses:
        faults += [f"{witness.end}: {fault}" for fault in witness.faults() + witness.vacuous()]
        if witness.keys < seconds / 30:
            faults.append(f"{witness.end}: {witness.keys} keys in {seconds:.0f} s: they were not renewed as planned")
    return witnesses, faults, took


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)


@click.command()
@click.option("--kernel", "kernels", multiple=True, type=click.Choice(list(SUITES)), default=["6.12"])
@click.option("--variant", "variants", multiple=True, type=click.Choice(variant_names()), default=variant_names())
@click.option("--packets", default=100_000, show_default=True, help="Each way.")
def main(kernels: tuple[str, ...], variants: tuple[str, ...], packets: int) -> None:
    """Run it on each combination and print a table."""
    failed = False
    click.echo(f"{packets} packets each way, {FLOWS} flows, netem {LINK}, REKEY_AFTER_TIME {REKEY_AFTER_S} s")
    click.echo(
        "| kernel | variant | to | arrived | delivered | twice | misordered | lost | by the link | keys | seconds |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|---|---|")
    for kernel in kernels:
        for variant in variants:
            time.sleep(2 * POLL_S)  # whoever waits for the lab gets it first
            try:
                witnesses, faults, took = soak(kernel, variant, packets, _say)
            except WgprofError as error:
                witnesses, faults, took = [], [error.sentence], 0.0
            for one in witnesses:
                order = "none" if one.wrong_order < 0 else f"from {one.wrong_order}"
                click.echo(
                    f"| {kernel} | {variant} | {one.end} | {one.arrived} | {one.delivered} | {one.delivered_twice} "
                    f"| {order} | {one.sent - one.delivered} | {one.lost_on_link} | {one.keys} | {took:.0f} |"
                )
                _say(str(one))
            for fault in faults:
                click.echo(f"{kernel} {variant} FAILED: {fault}")
            failed = failed or bool(faults)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
