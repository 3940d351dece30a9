"""Compiles the programs for a captured kernel and loads what can be loaded; prints the outcome as JSON.

Runs under the system's Python, for bcc:
load_programs.py ROOT KERNEL [--kprobes] [--cast] [--detail] [--look-up] [--slots=N] [--cpus=N]
"""

import json
import os
import sys

sys.path.insert(0, sys.argv[1])

from tests.captures.facts import captured_facts
from wgprof.agent.btf import Btf
from wgprof.agent.kernel import find_cast
from wgprof.agent.loader import Programs
from wgprof.agent.plan import load_plan, resolve

LOADABLE = {"kprobe", "kretprobe", "tracepoint", "perf"}
root, kernel, *options = sys.argv[1:]
values = dict(option.lstrip("-").partition("=")[::2] for option in options)
changes = {"module_fentry": False, "kernel_fentry": False} if "kprobes" in values else {}
probes = os.path.join(root, "probes")
with open(os.path.join(probes, "plan.json")) as stream:
    resolved = resolve(load_plan(stream.read(), "detail" in values), captured_facts(kernel, **changes))
# What a kernel cannot have of --detail is no fault of the programs.
assert not resolved.missing or "detail" in values, resolved.missing
cast = None
if "cast" in values:
    with open("/sys/kernel/btf/vmlinux", "rb") as stream:
        cast = find_cast(Btf(stream.read()))
    assert cast, "this kernel has no bpf_rdonly_cast: it came with 6.2"
slots, cpus = int(values.get("slots", 64)), int(values.get("cpus", 4))
programs = Programs(probes, resolved, slots, cpus, cast, look_up="look-up" in values)
outcome = {}
for attachment in resolved.attachments:
    error = ""
    if attachment.kind in LOADABLE:
        try:
            programs.load(attachment)
        except Exception as problem:
            error = str(problem)
    outcome[attachment.point] = {"kind": attachment.kind, "error": error}
print(json.dumps(outcome))
