"""Which target: what the user named, or what `auto` finds."""

from __future__ import annotations

from collections.abc import Callable

from wgprof.errors import UsageError
from wgprof.targets.base import Target
from wgprof.targets.lab import LabSettings, LabTarget
from wgprof.targets.local import LocalTarget, why_not, wireguard_interfaces

NAMES = ("auto", "local", "lab")


def choose_target(name: str, lab: LabSettings, notify: Callable[[str], None]) -> Target:
    """The target of that name.  `auto` takes this machine if it can be profiled, else the lab, and says why."""
    if name == "auto":
        reason = why_not()
        if reason is None:
            notify(f"Profiling this machine: it has {', '.join(wireguard_interfaces())}.")
            return LocalTarget()
        notify(f"Using the lab (a QEMU machine with a real kernel and tunnel): {reason}.")
        return LabTarget(lab, notify)
    if name == "local":
        return LocalTarget()
    if name == "lab":
        return LabTarget(lab, notify)
    if name.startswith("ssh://"):
        raise UsageError("the ssh target is not there yet", "Run wgprof on the gateway itself: --target local.")
    raise UsageError(f"there is no target {name!r}", f"Targets are {', '.join(NAMES)}.")
