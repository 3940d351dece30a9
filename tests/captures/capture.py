"""Regenerates the captures: boots each kernel of the lab and asks it, with its own module and with the inline variant.

python -m tests.captures.capture [NAME..], where a name is that of a file: 6.12 or 6.12-inline.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from wgprof.kmod.lab import build_for, load_in, payload
from wgprof.lab.image import ensure_image
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.targets.zipapp import build_agent

HERE = Path(__file__).parent
KERNELS = ("6.1", "6.12", "7.2")
NAMES = tuple(f"{kernel}{variant}" for kernel in KERNELS for variant in ("", "-inline"))


def capture(name: str) -> str:
    """What the agent sees on a kernel, as JSON."""
    kernel, _, variant = name.partition("-")
    with tempfile.TemporaryDirectory() as folder:
        agent = build_agent(Path(folder) / "agent.pyz")
        image = ensure_image(kernel, progress=lambda line, done: print(line))
        module = build_for(image, variant, print) if variant else None
        files = [(agent, "agent.pyz"), (HERE / "in_guest.py", "in_guest.py")]
        files += [payload(module)] if module else []
        with Machine(image, MachineSettings(payload=tuple(files)), print) as machine:
            if module:
                load_in(machine, module)
            return machine.check("modprobe wireguard && python3 /payload/in_guest.py", 120)


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        (HERE / f"{name}.json").write_text(capture(name))
