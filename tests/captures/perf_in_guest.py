"""Runs in a lab machine, with the agent's zipapp on sys.path: prints what perf prints there, as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

sys.path.insert(0, "/payload/agent.pyz")

from wgprof.agent import perf as agent

SECONDS = 2.0
#: Samples that are kept: so many different ones of WireGuard, and so many others.
KEPT, OTHERS = 16, 3
perf = shutil.which("perf") or sys.exit("the image has no perf")


def run(command: list[str], **options: Any) -> dict[str, Any]:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", env=agent.environment(), **options
    )
    return {"exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr[:2000]}


def sampled() -> dict[str, Any]:
    """perf record into perf script, as the agent does it."""
    record = subprocess.Popen(
        agent.record_command(perf, agent.sampling_event(perf), SECONDS),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=agent.environment(),
    )
    done = run(agent.script_command(perf), stdin=record.stdout)
    record.wait()
    return {**done, "stdout": some_of(done["stdout"])}


def some_of(script: str) -> str:
    samples = [sample for sample in script.split("\n\n") if sample.strip()]
    different: dict[str, str] = {}
    for sample in samples:
        if " wg_" in sample:
            different.setdefault(sample.partition("\n")[2], sample)
    others = [sample for sample in samples if sample not in different.values()]
    return "\n\n".join([*list(different.values())[:KEPT], *others[:OTHERS]]) + "\n\n"


def latency() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kwork.data")
        recorded = run(agent.kwork_record_command(perf, SECONDS, path))
        return run(agent.kwork_latency_command(perf, path)) if recorded["exit_code"] == 0 else recorded


def refused() -> dict[str, Any]:
    """The same without privileges."""
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
    return {
        "stat": run(agent.stat_command(perf, 0.1, True), **nobody),
        "stacks": run(agent.record_command(perf, "cpu-clock", 0.1), **nobody),
        "kwork": run(agent.kwork_record_command(perf, 0.1, "/dev/null"), **nobody),
    }


print(
    json.dumps(
        {
            "version": agent.ask(perf, "--version").stdout.strip(),
            "event": agent.sampling_event(perf),
            "speaks_json": agent.speaks_json(perf),
            "json": run(agent.stat_command(perf, SECONDS, True)),
            "csv": run(agent.stat_command(perf, SECONDS, False)),
            "stacks": sampled(),
            "kwork": latency(),
            "refused": refused(),
            "unknown_event": run([perf, "stat", "-a", "-A", "-j", "-e", "no-such-event", "--", "true"]),
            "unknown_command": run([perf, "no-such-command"]),
            "unknown_option": run([perf, "stat", "--no-such-option", "--", "true"]),
        },
        indent=1,
    )
)
