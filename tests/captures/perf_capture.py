"""Regenerates what perf printed on the lab's kernels, at traffic: `python -m tests.captures.perf_capture`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.captures.facts import KERNELS
from wgprof.lab.image import ensure_image
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.workload import Traffic, set_up_tunnels, workload_named
from wgprof.targets.zipapp import build_agent

HERE = Path(__file__).parent


def capture(kernel: str) -> str:
    """What perf prints on a kernel whose tunnel is busy, as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        agent = build_agent(Path(folder) / "agent.pyz")
        payload = ((agent, "agent.pyz"), (HERE / "perf_in_guest.py", "perf_in_guest.py"))
        image = ensure_image(kernel, progress=lambda line, done: print(line))
        with Machine(image, MachineSettings(payload=payload), print) as machine:
            set_up_tunnels(machine, 1, threaded=False)
            traffic = Traffic(machine, workload_named("bidir"), 1)
            traffic.listen()
            traffic.send(120)
            return machine.check("python3 /payload/perf_in_guest.py", 180)


if __name__ == "__main__":
    for kernel in KERNELS:
        (HERE / f"perf-{kernel}.json").write_text(capture(kernel))
