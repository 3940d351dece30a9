"""What needs a machine of its own: the kernel's own test, and a module without encryption."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.kmod.bed import TUNNEL, booted, troubles
from tests.lab.kmod.selftest import PASSED, run_selftest
from wgprof.kmod.lab import LAB_TOKEN, LabRunner, build_for, load_in
from wgprof.kmod.load import status
from wgprof.lab.image import LabImage

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_free")]


def test_the_kernels_own_test_passes_on_inline(lab_image: LabImage, tmp_path: Path) -> None:
    """All variants and kernels: `make matrix`."""
    result = run_selftest(lab_image, "inline", tmp_path, print)
    assert (result.faults, result.last_line) == ((), PASSED)


def test_a_module_without_encryption_works_in_the_lab_and_says_what_it_is(lab_image: LabImage) -> None:
    """That it loads nowhere else: tests/lab/test_kmod.py."""
    module = build_for(lab_image, "inline", print, lab_crypto=True)
    with booted(lab_image, module, append=LAB_TOKEN) as machine:
        load_in(machine, module, "wgprof_crypto_permille=300")
        assert "NOT ENCRYPTED" in machine.check("dmesg")
        assert int(machine.check("cat /sys/module/wireguard/parameters/wgprof_crypto_steps")) > 0
        machine.check(f"{TUNNEL} up", 120)
        assert status(LabRunner(machine)).variant == "inline-lab-crypto"
        assert machine.check("modinfo -F version /payload/inline-lab-crypto.ko").strip().endswith("-lab-only")
        machine.check(f"{TUNNEL} down; rmmod wireguard")
        assert troubles(machine.check("dmesg")) == []
