"""What wgprof's own recordings say of the two modules: a stage's cost, and which CPUs ran it.

The probes' own cost is inside these figures.  Costs are recorded under `-icount` on one CPU, where a
clock shows the instructions of that CPU alone; which CPUs ran a stage, on two that run in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from bench.cost import NS_PER_INSTRUCTION
from wgprof.analysis.tables import DIRECTIONS, STAGES, only, total
from wgprof.recording.reader import Recording, open_recording
from wgprof.targets.base import RecordRequest
from wgprof.targets.lab import LabSettings, LabTarget
from wgprof.targets.session import Session

MODULES = ("vanilla", "inline")
TUNNELS = (1, 4)
_ORDER = tuple(stage for direction in DIRECTIONS for stage in STAGES[direction])
T = TypeVar("T")
CRYPTO_STAGES = ("tx.encrypt", "rx.decrypt")
#: What runs the stages on vanilla: work items, and each peer's NAPI.  Inline has none of them.
_SERVERS = ("encrypt.work", "tx.work", "decrypt.work", "rx.napi")


@dataclass(frozen=True)
class StageCost:
    """A stage's, or a worker's, own instructions a packet, without what ran on top of it."""

    module: str
    tunnels: int
    name: str
    packets: int
    instructions: float


@dataclass(frozen=True)
class StageCpus:
    """How many packets each CPU took through a stage, by CPU number.

    A sender that the scheduler moves takes its stages along, so the whole recording may show both CPUs where only
    one at a time was used: `busiest` is the share that the busiest CPU of each interval took.
    """

    module: str
    stage: str
    packets: tuple[int, ...]
    busiest: float


def record_costs(
    kernel: str, module: str, tunnels: int, seconds: float, notify: Callable[[str], None]
) -> list[StageCost]:
    """Record one module under -icount."""
    settings = LabSettings(kernel=kernel, cpus=1, tunnels=tunnels, icount=True, module=module)
    return _record(settings, seconds, notify, lambda recording: costs_of(recording, module, tunnels))


def record_cpus(kernel: str, module: str, seconds: float, notify: Callable[[str], None]) -> list[StageCpus]:
    """Record one tunnel on two CPUs."""
    settings = LabSettings(kernel=kernel, cpus=2, tunnels=1, module=module)
    return _record(settings, seconds, notify, lambda recording: cpus_of(recording, module))


def costs_of(recording: Recording, module: str, tunnels: int) -> list[StageCost]:
    """Each stage and each worker that moved packets."""
    stages, executions = recording.table("stages"), recording.table("executions")
    found = []
    for rows, column, names, time in (
        (stages, "stage", _ORDER, "service_ns"),
        (executions, "server", _SERVERS, "busy_ns"),
    ):
        for name in names:
            mine = only(rows, **{column: name})
            if packets := total(mine, "packets"):
                cost = total(mine, time) / packets / NS_PER_INSTRUCTION
                found.append(StageCost(module, tunnels, name, packets, cost))
    return found


def cpus_of(recording: Recording, module: str) -> list[StageCpus]:
    """Packets of each stage by CPU."""
    stages = recording.table("stages")
    cpus = sorted({int(cpu) for cpu in recording.table("cpus")["cpu"]})
    found = []
    for name in _ORDER:
        mine = only(stages, stage=name)
        by_cpu = tuple(total(only(mine, cpu=cpu), "packets") for cpu in cpus)
        most = mine.groupby(["t_ns", "cpu"])["packets"].sum().groupby("t_ns").max().sum()
        found.append(StageCpus(module, name, by_cpu, float(most) / max(1, sum(by_cpu))))
    return found


def _record(settings: LabSettings, seconds: float, notify: Callable[[str], None], read: Callable[[Recording], T]) -> T:
    with TemporaryDirectory(prefix="wgprof-savings-") as folder:
        path = Path(folder) / "recording.wgprof"
        request = RecordRequest(duration_s=seconds)
        Session(LabTarget(settings, notify), request, path, lambda progress: None, "bench").run()
        with open_recording(path) as recording:
            return read(recording)
