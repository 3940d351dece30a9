"""What a plant runs in the machine, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from wgprof.lab.machine import Machine
from wgprof.lab.plant import Plant
from wgprof.lab.workload import WORKLOADS


class Guest:
    """Remembers scripts and their limits."""

    def __init__(self, cpus: int) -> None:
        self.settings = SimpleNamespace(cpus=cpus)
        self.ran: list[str] = []
        self.started: list[tuple[str, float]] = []

    def check(self, command: str, timeout: float) -> str:
        self.ran.append(command)
        return ""

    def start(self, command: str, limit_s: float) -> None:
        self.started.append((command, limit_s))


def run(plant: Plant, cpus: int = 2) -> Guest:
    guest = Guest(cpus)
    machine = cast(Machine, guest)
    plant.before_tunnels(machine)
    plant.before_traffic(machine)
    plant.with_traffic(machine, 8.0)
    return guest


def test_a_plant_that_does_nothing_runs_nothing() -> None:
    guest = run(Plant(WORKLOADS["tcp"]))
    assert guest.ran == [] and guest.started == []


def test_scripts_know_the_cpu_that_the_first_tunnel_sends_on() -> None:
    guest = run(Plant(WORKLOADS["tcp"], "true", "false", seed=5), cpus=3)
    shift, setup = guest.ran
    assert "seq 5" in shift and "wireguard" in shift
    assert "CPUS=3 SEND_CPU=0 OTHER_CPU=1" in setup and setup.endswith("true")
    ((during, limit),) = guest.started
    assert "SEND_CPU=0" in during and during.endswith("false") and limit == 8.0


def test_a_setup_that_fails_halfway_fails() -> None:
    (setup,) = run(Plant(WORKLOADS["tcp"], setup="false\ntrue")).ran
    assert setup.index("set -e") < setup.index("false")
