"""One configuration of a sweep: what kind of lab is recorded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from wgprof.lab.tunnel import DEFAULT_MTU, NO_WORK, serial_work_of, why_without_effect

#: The distribution's own module, as a value beside the variants of wgprof.kmod.
DISTRIBUTION = "distribution"
#: What can differ between configurations, in the order in which people want to read it.
AXES = ("tunnels", "cpus", "module", "threaded", "workload", "mtu", "serial_work", "lab_crypto", "kernel")
#: Of these, what is compared: the architectures.
COMPARED = ("module", "threaded")


@dataclass(frozen=True)
class Configuration:
    """The settings of one lab; `lab_crypto` is None for real encryption, else crypto's share of a packet's cost."""

    tunnels: int
    cpus: int
    module: str
    threaded: bool
    workload: str
    lab_crypto: float | None
    kernel: str
    mtu: int = DEFAULT_MTU
    serial_work: str = NO_WORK  # as wgprof.lab.tunnel reads it

    @property
    def why_impossible(self) -> str:
        """Why there can be no such lab, in a sentence that names the fields; empty if there can."""
        if self.threaded and self.module == "inline":
            return "threaded yes cannot be with module inline, which has no NAPI a peer"
        if self.lab_crypto is not None and self.module == DISTRIBUTION:
            return f"lab-crypto {self.lab_crypto:g} cannot be with module distribution, which has no dial"
        return why_without_effect(self.serial_work, self.mtu, self.workload)

    def label(self, axes: Collection[str] = AXES) -> str:
        """Its name on a screen, by some of its axes: those that differ."""
        work = serial_work_of(self.serial_work)
        words = {
            "tunnels": f"{self.tunnels} tunnel{'s' if self.tunnels > 1 else ''}",
            "cpus": f"{self.cpus} CPU{'s' if self.cpus > 1 else ''}",
            "module": self.module,
            "threaded": "threaded" if self.threaded else "",
            "workload": self.workload,
            "mtu": f"MTU {self.mtu}",
            "serial_work": work.label if work else "",
            "lab_crypto": "real crypto" if self.lab_crypto is None else f"crypto dialled to {self.lab_crypto:g}",
            "kernel": f"kernel {self.kernel}",
        }
        return ", ".join(words[axis] for axis in AXES if axis in axes and words[axis])


def varying(configurations: Collection[Configuration]) -> tuple[str, ...]:
    """The axes on which they differ, and the module in any case: what a label has to name."""
    return tuple(axis for axis in AXES if axis == "module" or len({getattr(c, axis) for c in configurations}) > 1)
