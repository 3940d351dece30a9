"""Variants in the lab: which module an image needs, and loading it there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.kmod.build import Module, build
from wgprof.kmod.chroot import Progress
from wgprof.kmod.elf import module_info
from wgprof.kmod.load import load
from wgprof.kmod.runner import Outcome
from wgprof.lab.image import LabImage
from wgprof.lab.machine import Machine

#: What a module without encryption wants to see on the kernel's command line (kmod/lab).
LAB_TOKEN = "wgprof.lab=crypto-dial"  # noqa: S105


@dataclass(frozen=True)
class LabRunner:
    """A machine of the lab as a place to load modules."""

    machine: Machine

    def run(self, command: str) -> Outcome:
        result = self.machine.run(command)
        return Outcome(result.exit_code, result.stdout + result.stderr)


def build_for(image: LabImage, variant: str, progress: Progress, lab_crypto: bool = False) -> Module:
    """The variant for an image's kernel.  Raises MachineError if the build's headers are of another release."""
    module = build(variant, image.kernel, progress, lab_crypto=lab_crypto)
    if module.release != image.release:
        raise MachineError(
            f"{variant} was built for {module.release}, but the lab's image runs {image.release}",
            "One of the two is older: build the image again, or remove the build environment from the cache.",
        )
    return module


def payload(module: Module) -> tuple[Path, str]:
    """The module as an entry of MachineSettings.payload."""
    return Path(module.path), f"{module.variant}.ko"


def load_in(machine: Machine, module: Module, parameters: str = "") -> None:
    """Load a module that was given to the machine as payload in place of the image's own."""
    depends = module_info(Path(module.path)).get("depends", "")
    load(LabRunner(machine), f"/payload/{module.variant}.ko", depends, take_down=True, parameters=parameters)
