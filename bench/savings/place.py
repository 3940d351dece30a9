"""A machine of the lab in which modules, their mode and their crypto are changed between measurements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.load import PAYLOAD
from wgprof.kmod.build import Module
from wgprof.kmod.elf import module_info
from wgprof.kmod.lab import LAB_TOKEN, LabRunner, build_for
from wgprof.kmod.load import load
from wgprof.lab.image import LabImage
from wgprof.lab.lock import Notify
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.workload import set_up_tunnels

TUNNELS = 4  # always made; a measurement uses the first of them
_PARAMETERS = "/sys/module/wireguard/parameters"


@dataclass(frozen=True)
class Way:
    """A data path: a module and, if it has a choice, its mode."""

    name: str
    module: str
    mode: str = ""


VANILLA = Way("vanilla", "vanilla")
QUEUED = Way("inline, queued", "inline", "queued")
INLINE = Way("inline", "inline", "inline")
WAYS = (VANILLA, QUEUED, INLINE)


@dataclass(frozen=True)
class Modules:
    """The builds that are compared, each with the cipher and with the dial in its place."""

    real: dict[str, Module]
    dial: dict[str, Module]

    @property
    def payload(self) -> tuple[tuple[Path, str], ...]:
        return tuple((Path(module.path), _guest_name(module)) for module in (*self.real.values(), *self.dial.values()))

    def names(self) -> list[str]:
        """A line about each: what it is for, from which source, with which rules."""
        return [
            f"{module.variant} for {module.release}, source {module.source_version}, patch {module.patch_hash}"
            for module in self.real.values()
        ]


def build_modules(image: LabImage, notify: Notify) -> Modules:
    """Build what is missing.  Raises what wgprof.kmod.build raises."""
    names = {way.module: None for way in WAYS}
    return Modules(
        {name: build_for(image, name, notify) for name in names},
        {name: build_for(image, name, notify, lab_crypto=True) for name in names},
    )


def _guest_name(module: Module) -> str:
    return f"{module.variant}.ko"


@dataclass(frozen=True)
class Dial:
    """How much work stands for the cipher."""

    steps: int  # 0: as many as the module's calibration finds for the share
    permille: int = 100
    rest_ns: int = 0  # 0: the module's own assumption

    @property
    def parameters(self) -> str:
        words = [f"wgprof_crypto_permille={self.permille}"]
        words += [f"wgprof_crypto_steps={self.steps}"] if self.steps else []
        words += [f"wgprof_rest_ns={self.rest_ns}"] if self.rest_ns else []
        return " ".join(words)


class Place:
    """The machine, booted; see `machine_settings`."""

    def __init__(self, machine: Machine, modules: Modules) -> None:
        self.machine = machine
        self._modules = modules

    def use(self, name: str, dial: Dial | None = None) -> None:
        """Exchange the module, with the cipher or with the dial in its place, and make the tunnels anew."""
        module = (self._modules.dial if dial else self._modules.real)[name]
        self.machine.run("ip netns del wga; ip netns del wgb")
        depends = module_info(Path(module.path)).get("depends", "")
        parameters = dial.parameters if dial else ""
        load(LabRunner(self.machine), f"/payload/{_guest_name(module)}", depends, True, parameters)
        set_up_tunnels(self.machine, TUNNELS, threaded=False)
        self.machine.check("modprobe dummy; ip -n wga link add dummy0 type dummy; ip -n wga link set dummy0 up")

    def switch(self, way: Way) -> None:
        """Set the mode of all devices."""
        if way.mode:
            one = f"for mode in /sys/class/net/wg*/wgprof/mode; do echo {way.mode} >$mode; done"
            self.machine.check(f"for side in wga wgb; do ip netns exec $side sh -c '{one}'; done")

    def cut(self, is_cut: bool) -> None:
        """Let what is sent end in a dummy device instead of going to the other side."""
        route = "192.0.2.2/32 dev dummy0"
        self.machine.check(f"ip -n wga route {f'add {route} src 192.0.2.1' if is_cut else f'del {route}'}")

    def parameter(self, name: str) -> int:
        """A parameter of the loaded module."""
        return int(self.machine.check(f"cat {_PARAMETERS}/wgprof_{name}"))


def machine_settings(modules: Modules, icount: bool, extra: tuple[tuple[Path, str], ...] = ()) -> MachineSettings:
    """Two CPUs, as many as the smallest host has cores."""
    payload = (*modules.payload, PAYLOAD, *extra)
    return MachineSettings(cpus=2, icount=icount, append=LAB_TOKEN, payload=payload)
