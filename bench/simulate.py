"""How fast the simulator is: packets and events a second on one core, beside the reference in simpy.

python -m bench.simulate            the table
python -m bench.simulate --large    also a prediction of 64 cores and 256 tunnels, 10 seeds of 1 s
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace

from wgprof.model.costs import Costs, known
from wgprof.model.machine import Machine, read_machine
from wgprof.model.machines import shipped
from wgprof.model.predict import ALL, Architecture, Ask, predict
from wgprof.model.reference.rules import Reference
from wgprof.model.simulate import simulate

_SECONDS, _WARMUP = 0.3, 0.1
_REFERENCE_S = 0.01


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    machine = replace(read_machine(shipped("papers-gateway")), rss_queues=64)
    started = time.perf_counter()
    _compiled(machine, ALL[0], 2, 1)
    print(f"first simulation, with compiling or loading the compiled code: {time.perf_counter() - started:.1f} s")
    numbers = f"{'Mpackets/s':>12}{'Mevents/s':>11}{'simpy kpackets/s':>18}{'faster':>8}"
    print(f"{'architecture':20}{'cores':>6}{'tunnels':>8}{numbers}")
    for cores, tunnels in ((8, 4), (32, 16), (64, 256)):
        for architecture in ALL:
            packets, events = _compiled(machine, architecture, cores, tunnels)
            slow = _reference(machine, architecture, cores, tunnels) if cores <= 32 else None
            beside = f"{slow / 1e3:18.1f}{packets / slow:8.0f}" if slow else ""
            print(f"{architecture.label:20}{cores:6}{tunnels:8}{packets / 1e6:12.2f}{events / 1e6:11.1f}{beside}")
    if options.large:
        _large(machine)


def _compiled(machine: Machine, architecture: Architecture, cores: int, tunnels: int) -> tuple[float, float]:
    """Packets and events per second of this process's CPU time."""
    scenario = machine.scenario(cores, tunnels, architecture.module, architecture.threaded, "rx", 1420)
    began = time.process_time()
    result = simulate(scenario, machine.costs, 1, _SECONDS, _WARMUP)
    took = time.process_time() - began
    assert result is not None
    # The warm-up is simulated too, and not counted.
    whole = (_SECONDS + _WARMUP) / _SECONDS
    return result.packets * whole / took, result.counts["events"] * whole / took


def _reference(machine: Machine, architecture: Architecture, cores: int, tunnels: int) -> float:
    scenario = machine.scenario(cores, tunnels, architecture.module, architecture.threaded, "rx", 1420)
    exact = Costs(1420, {name: known(q.value) for name, q in machine.costs.costs.items()})
    reference = Reference(scenario, exact, 1)
    began = time.process_time()
    reference.run(_REFERENCE_S)
    return sum(reference.delivered) / (time.process_time() - began)


def _large(machine: Machine) -> None:
    for bands in (False, True):
        wall, cpu = time.perf_counter(), time.process_time()
        predict(Ask(machine, (64,), (256,), seeds=10, seconds=1.0, bands=bands))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        what = "with bands" if bands else "without bands"
        print(f"predict 64 cores, 256 tunnels, all modules, 10 seeds of 1 s, {what}:")
        print(f"  {wall:.0f} s; {cpu:.0f} s of CPU time on {os.cpu_count()} CPUs")


if __name__ == "__main__":
    main()
