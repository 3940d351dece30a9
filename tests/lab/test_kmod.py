"""The variants on a real kernel: traffic, order, switching, steering, the kernel's own test, nothing left behind.

One machine has all of them; a test loads the variant it wants, and what is loaded when it ends is taken out
again and must have left nothing in the kernel's log.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest

from tests.lab.conftest import SharedLab
from tests.lab.kmod.bed import TUNNEL, booted, identity, troubles
from tests.lab.kmod.leaks import SLAB_OPTIONS, repeat
from tests.lab.kmod.soak import LINK
from tests.lab.kmod.witness_report import parse_witnesses
from wgprof.kmod.build import Module
from wgprof.kmod.lab import LabRunner, build_for, load_in
from wgprof.kmod.load import LoadError, status
from wgprof.kmod.variant import variant_names
from wgprof.lab.image import LabImage
from wgprof.lab.machine import Machine

pytestmark = pytest.mark.lab

#: Of `steered`, in sysfs; and what the kernel's tracepoints call the task it places.
LISTS = ("encrypt_cpus", "decrypt_cpus", "transmit_cpus", "deliver_cpus")
TASKS = (
    "function wg_packet_encrypt_worker",
    "function wg_packet_decrypt_worker",
    "function wg_packet_tx_worker",
    "napi_poll: ",
)


BAD_LISTS = ("9999", "3-1", "x", "0-99", "", "-1", "1,,x")


class Bench:
    """A machine and the modules it can load."""

    def __init__(self, machine: Machine, modules: dict[str, Module]) -> None:
        self.machine = machine
        self.modules = modules

    def load(self, variant: str) -> None:
        module = self.modules[variant]
        load_in(self.machine, module)
        self.tunnel("up")
        assert identity(self.machine)[:2] == (variant, module.patch_hash)

    def tunnel(self, words: str, timeout: float = 120.0) -> str:
        return self.machine.check(f"{TUNNEL} {words}", timeout)

    def left(self, script: str) -> str:
        return self.machine.check(f"ip netns exec left sh -c {shlex.quote(script)}")

    def disturbances(self) -> int:
        """How often the last flows were disturbed."""
        return int(self.machine.check("cat /tmp/disturbances"))

    def clear(self) -> None:
        """Take out what is loaded; raises AssertionError if the kernel's log has anything to say."""
        self.machine.run(f"{TUNNEL} down")
        self.machine.check("! test -d /sys/module/wireguard || rmmod wireguard")
        log = self.machine.check("dmesg --read-clear")
        assert not troubles(log), log


@pytest.fixture(scope="module")
def machine_with_variants(lab_image: LabImage, shared_lab: SharedLab) -> Iterator[Bench]:
    shared_lab.free()
    modules = {name: build_for(lab_image, name, print) for name in variant_names()}
    modules["lab"] = build_for(lab_image, "inline", print, lab_crypto=True)
    with booted(lab_image, *modules.values(), cpus=4, append=SLAB_OPTIONS) as machine:
        yield Bench(machine, modules)


@pytest.fixture
def bench(machine_with_variants: Bench) -> Iterator[Bench]:
    yield machine_with_variants
    machine_with_variants.clear()


def assert_whole_and_in_order(output: str, packets: int) -> None:
    results = [json.loads(line) for line in output.splitlines()]
    assert len(results) == 2, output
    for result in results:
        assert result["received"] == packets
        assert (result["lost"], result["duplicates"], result["late"]) == (0, 0, 0)


@pytest.mark.parametrize("variant", variant_names())
def test_flows_arrive_whole_and_in_order(bench: Bench, variant: str) -> None:
    bench.load(variant)
    assert status(LabRunner(bench.machine)).variant == variant
    assert_whole_and_in_order(bench.tunnel("order 4 1000 1000"), 4000)


def test_switching_modes_loses_and_reorders_nothing(bench: Bench) -> None:
    bench.load("inline")
    assert_whole_and_in_order(bench.tunnel("switch 2 4000 1000"), 8000)
    assert bench.disturbances() > 10


def test_a_mode_that_does_not_exist_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.load("inline")
    mode = "/sys/class/net/wg0/wgprof/mode"
    assert bench.left(f"echo hold > {mode} && echo accepted; cat {mode}") == "inline\n"


def test_steered_survives_cpus_coming_and_going(bench: Bench) -> None:
    bench.load("steered")
    assert_whole_and_in_order(bench.tunnel("hotplug 4 1000 1000"), 4000)
    assert bench.disturbances() >= 4


def test_a_list_that_cannot_be_is_refused_and_changes_nothing(bench: Bench) -> None:
    bench.load("steered")
    for name in LISTS:
        path = f"/sys/class/net/wg0/wgprof/{name}"
        tries = "".join(f"echo '{bad}' > {path} && echo accepted '{bad}'; " for bad in BAD_LISTS)
        assert bench.left(f"echo 1-2 > {path}; {tries} cat {path}") == "1-2\n"


def test_steered_runs_each_task_where_it_is_told(bench: Bench) -> None:
    bench.load("steered")
    for cpu, name in enumerate(LISTS):
        bench.tunnel(f"choose {cpu} {name}")
    events = {
        "workqueue/workqueue_execute_start": "0",  # no condition
        "napi/napi_poll": 'dev_name == "wg0" && work > 0',
    }
    for event, condition in events.items():
        bench.machine.check(f"cd /sys/kernel/tracing/events/{event} && echo '{condition}' >filter && echo 1 >enable")
    assert_whole_and_in_order(bench.tunnel("order 1 1000 500"), 1000)
    trace = bench.machine.check("cd /sys/kernel/tracing && echo 0 >events/enable && cat trace && echo >trace")
    seen = {task: set(re.findall(rf"\[(\d+)\].*{task}", trace)) for task in TASKS}
    assert seen == dict(zip(TASKS, ({"000"}, {"001"}, {"002"}, {"003"}), strict=True))


@pytest.mark.parametrize("variant", ["inline", "steered"])
def test_nothing_happens_to_packets_beyond_what_the_link_does(bench: Bench, variant: str) -> None:
    bench.load(variant)
    bench.machine.check("modprobe sch_netem")
    for witness in parse_witnesses(bench.tunnel(f"netem 4 1000 600 {LINK}", 180)):
        assert witness.faults() + witness.vacuous() == []


def test_loading_and_unloading_again_and_again_leaves_nothing(bench: Bench) -> None:
    leaks = repeat(bench.machine, bench.modules["inline"], times=5, first=1)
    assert leaks.faults() == []


def test_module_without_encryption_stays_in_the_lab(bench: Bench) -> None:
    with pytest.raises(LoadError):
        load_in(bench.machine, bench.modules["lab"], "wgprof_crypto_permille=300")
    assert "refusing to load" in bench.machine.check("dmesg")
