"""Compiles the probes of a captured kernel, under the system's Python for bcc; prints how many seconds it took.

start_here.py ROOT KERNEL
"""

import os
import sys
import time

root, kernel = sys.argv[1:]
sys.path.insert(0, root)

from tests.captures.facts import captured_facts
from wgprof.agent.loader import Programs
from wgprof.agent.plan import load_plan, resolve

probes = os.path.join(root, "probes")
with open(os.path.join(probes, "plan.json")) as stream:
    resolved = resolve(load_plan(stream.read(), False), captured_facts(kernel))
began = time.monotonic()
Programs(probes, resolved, slots=64, cpus=os.cpu_count() or 1)
print(round(time.monotonic() - began, 3))
