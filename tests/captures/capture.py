"""Regenerates the captures: boots each kernel of the lab and asks it.  `python -m tests.captures.capture`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from wgprof.lab.image import ensure_image
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.targets.zipapp import build_agent

HERE = Path(__file__).parent
KERNELS = ("6.1", "6.12", "7.2")


def capture(kernel: str) -> str:
    """What the agent sees on a kernel, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        agent = build_agent(Path(folder) / "agent.pyz")
        payload = ((agent, "agent.pyz"), (HERE / "in_guest.py", "in_guest.py"))
        image = ensure_image(kernel, progress=lambda line, done: print(line))
        with Machine(image, MachineSettings(payload=payload), print) as machine:
            return machine.check("modprobe wireguard && python3 /payload/in_guest.py", 120)


if __name__ == "__main__":
    for kernel in KERNELS:
        (HERE / f"{kernel}.json").write_text(capture(kernel))
