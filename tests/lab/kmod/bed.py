"""A machine of the lab with a variant in it, and what its kernel's log must not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wgprof.kmod.build import Module
from wgprof.kmod.lab import load_in, payload
from wgprof.lab.image import LabImage
from wgprof.lab.lock import Notify
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings

SCRIPTS = Path(__file__).parent
GUEST_SCRIPTS = ("tunnel.sh", "flows.py", "witness.py")
TUNNEL = "bash /payload/tunnel.sh"

#: Room for what WireGuard says of every object it makes (dynamic debug), beside the boot's own messages.
LOG_BUFFER = "log_buf_len=16M"

#: What the kernel's log must not contain.
TROUBLE = re.compile(
    r"\b(BUG|WARNING|Oops|Call Trace|general protection|refcount_t|unregister_netdevice|leaked?|lockup|blocked for)\b"
    r"|still has objects|detected stalls?|self-detected stall"
)


@contextmanager
def booted(
    image: LabImage,
    *modules: Module,
    cpus: int = 2,
    append: str = "",
    files: tuple[tuple[Path, str], ...] = (),
    notify: Notify = print,
) -> Iterator[Machine]:
    """A fresh machine with modules, the guest's scripts and more files under /payload; nothing is loaded yet."""
    settings = MachineSettings(
        cpus=cpus,
        append=f"{LOG_BUFFER} {append}".strip(),
        payload=(*map(payload, modules), *((SCRIPTS / name, name) for name in GUEST_SCRIPTS), *files),
    )
    with Machine(image, settings, notify=notify) as machine:
        yield machine


def load_talkative(machine: Machine, module: Module, parameters: str = "") -> None:
    """Load the variant; it then says in the kernel's log which peers and keys it makes and destroys."""
    load_in(machine, module, f"{parameters} dyndbg=+p".strip())


def identity(machine: Machine) -> tuple[str, ...]:
    """What is loaded, and where: the variant, its patch hash, and its code's address (another load has another)."""
    facts = machine.check(
        "cd /sys/module/wireguard && cat parameters/wgprof_variant parameters/wgprof_patch sections/.text"
    )
    return tuple(facts.split())


def troubles(log: str) -> list[str]:
    """The lines of a kernel log that must not be there."""
    return [line for line in log.splitlines() if TROUBLE.search(line)]
