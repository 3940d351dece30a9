"""What a packet costs, in instructions, on a machine of the lab under `-icount`.

There virtual time advances with every instruction of any CPU, and CPUs take turns.  While one CPU
executes, another that has work to do waits, and the kernel takes that for busy time: the sum of the
CPUs' busy times counts such instructions twice.  So the instructions that are *left over* are counted
instead: a process on every CPU, which runs only when nothing else wants to, counts the rounds of a
loop (as Andrew Morton's cyclesoak did).  How many rounds an idle machine makes in a nanosecond is
measured in the same boot; the rounds that are missing under load are what the load cost.
The machine's own background work (timer ticks) is in both and so in neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.load import Load, Report, run_load
from wgprof.errors import MachineError
from wgprof.lab.machine import EmulatorFailure, Machine

#: -icount shift=2 (wgprof/lab/qemu.py): an instruction takes 2^2 ns of virtual time.
NS_PER_INSTRUCTION = 4
#: A load takes a second or two.  Now and then the emulator is late with a CPU's timer, and the load, which
#: notices, or never ends, has to be made again.
TIMEOUT_S = 15.0
ATTEMPTS = 3
IDLE = Load("none", soak=True, seconds=1.0)


@dataclass(frozen=True)
class Cost:
    """One load's cost, all CPUs together."""

    instructions: float  # a packet
    switches: float  # context switches a packet
    packets: int
    lost: int


def instructions(loaded: Report, idle: Report) -> float:
    """What the load executed: the time it took, less the time that its left-over rounds take."""
    return (loaded.elapsed_ns - loaded.soaked * idle.elapsed_ns / idle.soaked) / NS_PER_INSTRUCTION


class Meter:
    """Measures loads on one machine, once it has been seen idle."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._idle = _run(machine, IDLE)

    def cost(self, load: Load, arrives: bool = True) -> Cost:
        """A packet's cost.  `arrives` is False if nobody is meant to receive: then packets sent are counted."""
        report = _run(self._machine, replace(load, soak=True, pin=True))
        packets = report.arrived if arrives else report.sent
        lost = report.sent - report.arrived if arrives else 0
        return Cost(instructions(report, self._idle) / packets, report.switches / packets, packets, lost)


def _run(machine: Machine, load: Load) -> Report:
    for left in reversed(range(ATTEMPTS)):
        try:
            return run_load(machine, load, TIMEOUT_S)
        except EmulatorFailure:
            raise
        except MachineError:
            if not left:
                raise
    raise AssertionError("the last attempt returns or raises")
