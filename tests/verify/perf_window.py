"""Runs perf's window as the agent does, under the system's Python: perf_window.py ROOT SECONDS [--stop] [--path=PATH]

Frames go to stdout.  With --stop, the end is asked for before anything is measured; --path says where perf may be.
"""

import os
import sys

sys.path.insert(0, sys.argv[1])

from wgprof.agent.perf import Control, PerfWindow
from wgprof.agent.stream import Stream

control, asker = os.pipe()
asked: list[bytes] = []


def on_control() -> None:
    asked.append(os.read(control, 1))


for option in sys.argv[3:]:
    if option == "--stop":
        os.write(asker, b"x")
    elif option.startswith("--path="):
        os.environ["PATH"] = option.partition("=")[2]
orders = Control(control, on_control, stopped=lambda: bool(asked), go=lambda: True)
PerfWindow(Stream(1, compress=False), orders).run(float(sys.argv[2]))
