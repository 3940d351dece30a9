"""The variants on a real kernel: traffic, order, switching, steering, and nothing left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wgprof.kmod.lab import LAB_TOKEN, LabRunner, build_for, load_in, payload
from wgprof.kmod.load import LoadError, status
from wgprof.lab.image import LabImage
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings

pytestmark = pytest.mark.lab

SCRIPTS = Path(__file__).parent / "kmod"
TUNNEL = "bash /payload/tunnel.sh"
#: What the kernel's log must not contain.
TROUBLE = re.compile(r"\b(BUG|WARNING|Oops|Call Trace|refcount|leak|stall|lockup|dead loop)\b", re.IGNORECASE)


@contextmanager
def booted(image: LabImage, variant: str, cpus: int = 2, lab_crypto: bool = False, append: str = "") -> Iterator[Any]:
    module = build_for(image, variant, print, lab_crypto)
    files = (payload(module), *((path, path.name) for path in SCRIPTS.iterdir() if path.is_file()))
    with Machine(image, MachineSettings(cpus=cpus, append=append, payload=files), notify=print) as machine:
        yield machine, module


def assert_clean(machine: Machine) -> None:
    machine.check(f"{TUNNEL} down; rmmod wireguard")
    log = machine.check("dmesg")
    assert not TROUBLE.search(log), log


def results(output: str) -> list[dict[str, int]]:
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert len(found) == 2, output
    return found


@pytest.mark.usefixtures("lab_free")
@pytest.mark.parametrize("variant", ["vanilla", "steered", "inline"])
def test_flows_arrive_whole_and_in_order(lab_image: LabImage, variant: str) -> None:
    with booted(lab_image, variant) as (machine, module):
        load_in(machine, module)
        machine.check(f"{TUNNEL} up")
        assert status(LabRunner(machine)).variant == variant
        for result in results(machine.check(f"{TUNNEL} order 4 4000 2000", 120)):
            assert (result["lost"], result["duplicates"], result["late"]) == (0, 0, 0)
        assert_clean(machine)


@pytest.mark.usefixtures("lab_free")
def test_switching_modes_loses_and_reorders_nothing(lab_image: LabImage) -> None:
    with booted(lab_image, "inline") as (machine, module):
        load_in(machine, module)
        machine.check(f"{TUNNEL} up")
        for result in results(machine.check(f"{TUNNEL} switch 1 20000 3000", 120)):
            assert (result["lost"], result["duplicates"], result["late"]) == (0, 0, 0)
        machine.check(f"{TUNNEL} down; rmmod wireguard; {TUNNEL} repeat 5", 120)
        machine.check(f"insmod /payload/wireguard.ko; {TUNNEL} up")
        assert_clean(machine)


@pytest.mark.usefixtures("lab_free")
def test_inline_loses_only_what_the_link_loses(lab_image: LabImage) -> None:
    with booted(lab_image, "inline") as (machine, module):
        load_in(machine, module)
        machine.check(f"modprobe sch_netem; {TUNNEL} up")
        output = machine.check(f"{TUNNEL} netem 1 20000 3000 delay 5ms loss 1% reorder 5% duplicate 1%", 180)
        dropped = [int(number) for number in re.findall(r"dropped (\d+)", output)]
        for result in results(output):
            assert result["duplicates"] == 0
            assert 0 < result["lost"] <= max(dropped)
        assert_clean(machine)


@pytest.mark.usefixtures("lab_free")
def test_steered_survives_cpus_coming_and_going(lab_image: LabImage) -> None:
    with booted(lab_image, "steered", cpus=4) as (machine, module):
        load_in(machine, module)
        machine.check(f"{TUNNEL} up")
        for result in results(machine.check(f"{TUNNEL} hotplug 4 3000 1500", 120)):
            assert (result["lost"], result["duplicates"], result["late"]) == (0, 0, 0)
        for bad in ("9999", "3-1", "x", "0-99"):
            choice = "/sys/class/net/wg0/wgprof/deliver_cpus"
            said = machine.check(f"ip netns exec left sh -c 'echo {bad} > {choice} || cat {choice}' 2>/dev/null")
            assert said == "any\n"
        assert_clean(machine)


@pytest.mark.usefixtures("lab_free")
def test_module_without_encryption_stays_in_the_lab(lab_image: LabImage) -> None:
    with booted(lab_image, "inline", lab_crypto=True) as (machine, module):
        with pytest.raises(LoadError):
            load_in(machine, module, "wgprof_crypto_permille=300")
        assert "refusing to load" in machine.check("dmesg")
    with booted(lab_image, "inline", lab_crypto=True, append=LAB_TOKEN) as (machine, module):
        load_in(machine, module, "wgprof_crypto_permille=300")
        assert "NOT ENCRYPTED" in machine.check("dmesg")
        assert int(machine.check("cat /sys/module/wireguard/parameters/wgprof_crypto_steps")) > 0
        machine.check(f"{TUNNEL} up")
        assert status(LabRunner(machine)).variant == "inline-lab-crypto"
