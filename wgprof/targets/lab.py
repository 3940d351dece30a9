"""The lab as a target: a stock kernel in QEMU, real tunnels, real traffic, the same agent."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.kmod.build import Module
from wgprof.kmod.lab import LAB_TOKEN, build_for, load_in, payload
from wgprof.lab.image import ensure_image
from wgprof.lab.machine import EmulatorFailure, Machine, host_cores
from wgprof.lab.own_qemu import host_qemu
from wgprof.lab.plant import Plant
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.recipe import DEFAULT_KERNEL, recipe_for
from wgprof.lab.tunnel import DEFAULT_MTU, NO_WORK, check_mtu, put_work, serial_work_of
from wgprof.lab.workload import (
    QUIET_END_S,
    START_S,
    Traffic,
    check_tunnels,
    set_up_tunnels,
    summary,
    traffic_seconds,
    workload_named,
)
from wgprof.targets.base import AgentProcess, RecordRequest
from wgprof.targets.zipapp import build_agent

#: After the last byte is sent iperf3's ends still exchange their results, through a busy tunnel.
REPORT_S = 15.0
#: What perf's own start, its reading of symbols and the look at work items may take beside its window.
SAMPLING_S = 60.0


@dataclass(frozen=True)
class LabSettings:
    """What kind of machine, tunnels and traffic to profile."""

    kernel: str = DEFAULT_KERNEL
    cpus: int = 2
    tunnels: int = 1
    workload: str = "tcp"
    threaded: bool = False  # NAPI in kernel threads (/sys/class/net/wgN/threaded)
    icount: bool = False  # counted instructions: costs repeat exactly, there is no parallelism
    memory_mb: int = 2048
    module: str = ""  # a variant of wgprof.kmod; empty: the distribution's own module
    lab_crypto: float | None = None  # crypto's share of a packet's cost, 0.1 to 0.6; the packets are NOT ENCRYPTED
    mtu: int = DEFAULT_MTU  # of the tunnels
    serial_work: str = NO_WORK  # wgprof.lab.tunnel: netfilter rules inside a stage


@dataclass(frozen=True)
class Booted:
    """A machine that is up, and the module of ours that it was given."""

    machine: Machine
    module: Module | None


class LabTarget:
    """Implements wgprof.targets.base.Target with a machine of its own.

    `notify` is called with one line about each step.  With a plant the traffic is the plant's, and so is
    what is done to the machine before and meanwhile.  A machine that is `booted` already is used as it is and
    left running; it has to fit the settings.
    """

    name = "lab"

    def __init__(
        self,
        settings: LabSettings | None = None,
        notify: Callable[[str], None] = lambda line: None,
        plant: Plant | None = None,
        booted: Booted | None = None,
    ) -> None:
        self.settings = settings or LabSettings()
        self._booted = booted
        self._plant = plant
        self.machine: Machine | None = None
        self._notify = notify
        self._resources = ExitStack()
        self._traffic: Traffic | None = None
        self._duration_s = 0.0
        self._sent_at = 0.0
        self._sent_until = 0.0
        self._vcpu_seconds_before = 0.0
        self._stacks_s = 0.0
        self._recorded: dict[str, object] | None = None  # results, once perf looks
        self._emulator_failed = False

    def start(self, request: RecordRequest) -> AgentProcess:
        """Image, machine, tunnels, agent.  Raises MachineError or UsageError, each with a remedy."""
        self._emulator_failed = False
        workload = self._plant.workload if self._plant else workload_named(self.settings.workload)
        recipe_for(self.settings.kernel)
        check_tunnels(self.settings.tunnels)
        check_mtu(self.settings.mtu)
        work = serial_work_of(self.settings.serial_work)
        host_qemu()
        self._duration_s = request.duration_s
        self._stacks_s = request.stacks_s
        booted = self._booted or self._resources.enter_context(booted_lab(self.settings, self._notify))
        machine, module = booted.machine, booted.module
        self.machine = machine
        if self._booted:
            machine.check("sh /payload/reset.sh")
        prewarmed = machine.start("exec python3 -c 'import bcc'", 60)  # reads half of the disk; meanwhile
        if module is not None and self.settings.module:
            load_in(machine, module, crypto_parameters(self.settings.lab_crypto))
            self._notify(f"lab: loaded {module.variant}, patch {module.patch_hash}")
            if self.settings.lab_crypto is not None:
                self._notify("lab: the packets are NOT ENCRYPTED, which every view of this recording will say first")
        if self._plant:
            self._plant.before_tunnels(machine)
        seconds = set_up_tunnels(machine, self.settings.tunnels, self.settings.threaded, self.settings.mtu)
        self._notify(f"lab: {self.settings.tunnels} tunnel(s) up after {seconds:.0f} s, workload {workload.name}")
        self._traffic = Traffic(machine, workload, self.settings.tunnels)
        self._traffic.listen()
        machine.wait(prewarmed, 90 * machine.patience)
        if self._plant:
            self._plant.before_traffic(machine)
        if work is not None:
            put_work(machine, work)
            self._notify(f"lab: {work.label}")
        streams = machine.open_agent(agent_command(request))
        return AgentProcess(stdout=streams.stdout, stdin=streams.stdin, description=self.describe())

    def recording_started(self) -> None:
        """Send traffic for as long as the recording lasts, less a margin at both ends."""
        if self.machine is None or self._traffic is None:
            return
        seconds = traffic_seconds(self._duration_s)
        self._vcpu_seconds_before = self.machine.vcpu_seconds()
        self._sent_at = time.monotonic()
        self._sent_until = self._sent_at + seconds
        self._traffic.send(seconds)
        if self._plant:
            self._plant.with_traffic(self.machine, seconds)

    def sampling_started(self) -> None:
        """Send the same traffic again, for perf: the recording's was over when its probes were taken off."""
        if self.machine is None or self._traffic is None:
            return
        self._recorded = self._measured()
        try:
            self._traffic.listen()
            self._traffic.send(self._stacks_s + SAMPLING_S * self.machine.patience)
        except MachineError as error:
            self._notify(f"there is no traffic for perf: {error.sentence}")
        time.sleep(START_S)

    def stopping(self) -> None:
        """End the traffic first: the emulator may not survive that probes are taken off under it (guest/init.sh)."""
        if self._traffic is not None and self._sent_at:
            with contextlib.suppress(MachineError):
                self._traffic.stop()
                time.sleep(QUIET_END_S)

    def results(self) -> dict[str, object]:
        """What the recording's traffic achieved, whether or not perf looked afterwards."""
        if self._recorded is None:
            return self._measured()
        if self._traffic is not None:
            with contextlib.suppress(MachineError):
                self._traffic.stop()
        return self._recorded

    def _measured(self) -> dict[str, object]:
        """Goodput at the receivers, and how much host CPU the guest's CPUs used meanwhile.

        A machine that died has no goodput, which the result says.
        """
        machine, traffic = self.machine, self._traffic
        if machine is None or traffic is None or not self._sent_at:
            return {}
        values: dict[str, object] = {
            "workload": self.settings.workload,
            "vcpus": self.settings.cpus,
            "host_cores": host_cores(),
            "host_cpu_s": round(machine.vcpu_seconds() - self._vcpu_seconds_before, 2),
            "host_wall_s": round(time.monotonic() - self._sent_at, 2),
        }
        try:
            if time.monotonic() < self._sent_until - 1:
                traffic.stop()
            return values | summary(traffic.results(REPORT_S * machine.patience))
        except MachineError as error:
            return values | {"error": error.sentence}

    def last_words(self) -> str:
        """What the agent wrote to its standard error; when the machine died, its console's last lines."""
        if self.machine is None:
            return ""
        try:
            return self.machine.agent_errors()
        except EmulatorFailure as error:
            # QEMU may take a moment to end after its guest's panic: remember that it is to blame.
            self._emulator_failed = True
            return f"{error.sentence}\n{error.remedy}"
        except MachineError as error:
            return f"{error.sentence}\n{error.remedy}"

    def never_recorded(self, sentence: str) -> MachineError:
        if self._emulator_failed or (self.machine is not None and not self.machine.alive):
            return EmulatorFailure(
                f"the lab's machine died: {sentence}", "Record again; the emulator fails now and then."
            )
        return MachineError(sentence, "Run `wgprof doctor --target lab`.")

    def close(self) -> None:
        self._resources.close()
        self.machine = None

    def describe(self) -> dict[str, object]:
        """For the manifest."""
        machine = self.machine.describe() if self.machine else {}
        return {"kind": self.name, "settings": asdict(self.settings), "machine": machine}


@contextlib.contextmanager
def booted_lab(settings: LabSettings, notify: Callable[[str], None]) -> Iterator[Booted]:
    """A machine with the agent and the module that the settings ask for.  Raises MachineError or UsageError."""
    image = ensure_image(settings.kernel, progress=lambda line, done: notify(line))
    dial = settings.lab_crypto is not None
    module = None
    if settings.module:
        module = build_for(image, settings.module, lambda line: notify(f"lab: {line}"), lab_crypto=dial)
    with tempfile.TemporaryDirectory(prefix="wgprof-agent-") as folder:
        agent = build_agent(Path(folder) / "agent.pyz")
        machine_settings = MachineSettings(
            cpus=settings.cpus,
            memory_mb=settings.memory_mb,
            icount=settings.icount,
            # Only there a module without encryption agrees to be loaded.
            append=LAB_TOKEN if dial else "",
            payload=((agent, "agent.pyz"), *(() if module is None else (payload(module),))),
        )
        notify(f"lab: booting kernel {image.release} with {settings.cpus} CPUs")
        with Machine(image, machine_settings, notify) as machine:
            yield Booted(machine, module)


def crypto_parameters(share: float | None) -> str:
    """The module parameter that sets crypto's share; none for a module that encrypts."""
    return "" if share is None else f"wgprof_crypto_permille={round(share * 1000)}"


def agent_command(request: RecordRequest) -> str:
    """The agent's command line in the guest."""
    return f"exec python3 /payload/agent.pyz record --request {shlex.quote(json.dumps(asdict(request)))}"
