"""The captures as facts for the attach plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wgprof.agent.btf import BtfError
from wgprof.agent.plan import Facts

KERNELS = ("6.1", "6.12", "7.2")
#: The same kernels with the inline variant of the module (kmod/inline).
INLINE = tuple(f"{kernel}-inline" for kernel in KERNELS)


def captured(kernel: str) -> dict[str, Any]:
    values = json.loads((Path(__file__).parent / f"{kernel}.json").read_text())
    assert isinstance(values, dict)
    return values


def captured_facts(kernel: str, **changes: Any) -> Facts:
    """What a real kernel offered; `changes` replaces single facts."""
    values = captured(kernel)

    def offset(path: str) -> int:
        found = values["offsets"].get(path)
        if found is None:
            raise BtfError(f"no {path}")
        return int(found)

    facts: dict[str, Any] = {
        "symbols": {n: tuple((a, m) for a, m in places) for n, places in values["symbols"].items()},
        "traceable": frozenset((name, module) for name, module in values["traceable"]),
        "arguments": lambda module, function: values["arguments"][module].get(function),
        # Which number a function has is of no interest, only whether it has one.
        "function_id": lambda module, function: 1 if function in values["arguments"][module] else None,
        "offset": offset,
        "tracepoints": frozenset(values["tracepoints"]),
        "module_fentry": values["module_fentry"],
        "kernel_fentry": values["kernel_fentry"],
        "kprobes": values["kprobes"],
        "preemptible": values["preemptible"],
    }
    return Facts(**{**facts, **changes})


def captured_perf(kernel: str) -> dict[str, Any]:
    """What perf printed on a real kernel with a busy tunnel; made by perf_capture.py."""
    values = json.loads((Path(__file__).parent / f"perf-{kernel}.json").read_text())
    assert isinstance(values, dict)
    return values
