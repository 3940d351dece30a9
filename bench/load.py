"""Counted traffic in the lab's machine, from the host's side; guest/load.py makes it."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab.machine import Machine

GUEST_NAME = "load.py"
#: An entry of MachineSettings.payload.
PAYLOAD = (Path(__file__).parent / "guest" / "load.py", GUEST_NAME)


@dataclass(frozen=True)
class Load:
    """What guest/load.py is asked for; its head explains the fields."""

    kind: str
    tunnels: int = 1
    soak: bool = False
    pin: bool = False
    packets: int = 0
    size: int = 0
    burst: int = 1
    gap_ns: int = 0
    bytes: int = 0
    seconds: float = 0.0
    ramp_s: float = 0.0


@dataclass(frozen=True)
class Report:
    """What happened between two looks at the guest, before the first packet and after the last one."""

    elapsed_ns: int
    soaked: int  # counts of the left-over processes of all CPUs
    switches: int  # context switches of all CPUs
    sent: int  # packets the sender's WireGuard interfaces took
    arrived: int  # packets the receiver's WireGuard interfaces delivered
    dropped: int  # what both ends' interfaces counted as dropped
    received_bytes: int  # by the receiving applications (TCP)
    idle_ns: tuple[int, ...]  # a CPU; the kernel's account, to 10 ms
    softirq_ns: tuple[int, ...]  # a CPU; sampled by the kernel at its ticks

    @property
    def goodput_bps(self) -> float:
        return self.received_bytes * 8e9 / self.elapsed_ns

    @property
    def busy_ce(self) -> tuple[float, ...]:
        """The share of the time each CPU was not idle."""
        return tuple(max(0.0, 1 - idle / self.elapsed_ns) for idle in self.idle_ns)


def command(load: Load) -> str:
    """The guest's command line for it."""
    return f"python3 /payload/{GUEST_NAME} {shlex.quote(json.dumps(asdict(load)))}"


def read_report(text: str) -> Report:
    """What the guest printed."""
    values = json.loads(text)
    return Report(**{**values, "idle_ns": tuple(values["idle_ns"]), "softirq_ns": tuple(values["softirq_ns"])})


def run_load(machine: Machine, load: Load, timeout_s: float = 60.0) -> Report:
    """Raises MachineError if the load cannot be made."""
    return read_report(machine.check(command(load), timeout_s))


def run_watched(machine: Machine, load: Load) -> tuple[Report, float]:
    """As `run_load` for a load of some seconds; also how many CPUs' worth of the host the guest's CPUs got meanwhile.

    A guest cannot see when its CPUs wait for the host's, and takes that for busy time.
    """
    job = machine.start(command(load), load.seconds + 60)
    time.sleep(load.ramp_s + (load.seconds - load.ramp_s) / 4)
    used_s, since_s = machine.vcpu_seconds(), time.monotonic()
    time.sleep((load.seconds - load.ramp_s) / 2)
    host_ce = (machine.vcpu_seconds() - used_s) / (time.monotonic() - since_s)
    result = machine.wait(job, load.seconds + 60)
    if result.exit_code:
        raise MachineError("the load could not be made", result.stderr.strip()[-200:])
    return read_report(result.stdout), host_ce
