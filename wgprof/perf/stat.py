"""Counters of each CPU: the output of `perf stat -a -A`, as JSON lines (-j) or as CSV (-x,)."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

#: What perf says of a counter; the last two in angle brackets in place of the value.
COUNTED, NOT_COUNTED, NOT_SUPPORTED = "counted", "not counted", "not supported"

#: More is not the output of the few counters the agent asks for.
MAX_COUNTERS = 1 << 17
_MAX_VALUE = (1 << 63) - 1
_CPU = re.compile(r"(?:CPU)?(\d{1,5})$")
#: `cpu_core/cycles/k` of a machine with two kinds of cores, `cycles:k` of others.
_PMU = re.compile(r"^[\w.]+/([^/]+)/\w*$")
_MODIFIER = re.compile(r":[a-zA-Z]+$")
#: `context-switches [software]` in CSV since 6.12.
_OF_PMU = re.compile(r" \[[^\]]*\]$")
_NS = {"msec": 1e6, "usec": 1e3, "sec": 1e9}


@dataclass(frozen=True)
class Counter:
    """An event counted on a CPU.  Clocks count nanoseconds."""

    cpu: int
    event: str
    state: str  # COUNTED, NOT_COUNTED or NOT_SUPPORTED
    value: int = 0
    runtime_ns: int = 0  # how long the counter ran; less than the window if counters had to take turns
    running: float = 0.0  # the same as a share, 0 to 1; the value has been scaled up by it


@dataclass(frozen=True)
class Counters:
    """What a run of perf stat counted, by CPU and event; `skipped` lines were not understood."""

    counters: tuple[Counter, ...]
    skipped: int


def parse_stat(text: str) -> Counters:
    """Read the output of any version's `perf stat -a -A -j` or `-x,`."""
    found: dict[tuple[int, str], Counter] = {}
    skipped = 0
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        counter = _from_json(line) if line.startswith("{") else _from_csv(line)
        if counter is None or len(found) >= MAX_COUNTERS:
            skipped += 1
            continue
        key = counter.cpu, counter.event
        # A CPU of a hybrid machine has a row for each kind of core, and counts in one of them.
        if key not in found or found[key].state != COUNTED:
            found[key] = counter
    return Counters(tuple(found.values()), skipped)


def _from_json(line: str) -> Counter | None:
    try:
        row: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    names = ("cpu", "counter-value", "unit", "event", "event-runtime", "pcnt-running")
    return _counter(*(str(row.get(name, "")) for name in names))


def _from_csv(line: str) -> Counter | None:
    fields = line.split(",")
    if len(fields) < 6:
        return None
    return _counter(*fields[:6])


def _counter(cpu: str, value: str, unit: str, event: str, runtime: str, running: str) -> Counter | None:
    """A counter of the columns both forms have, None if they make no sense."""
    found, name = _CPU.match(cpu.strip()), _plain(event.strip())
    if found is None or not name:
        return None
    number = int(found[1])
    state = value.strip().strip("<>")
    if state in (NOT_COUNTED, NOT_SUPPORTED):
        return Counter(number, name, state)
    amounts = [_number(text) for text in (value, runtime, running)]
    if any(amount is None for amount in amounts):
        return None
    count, runtime_ns, percent = (amount or 0.0 for amount in amounts)
    whole = round(count * _NS.get(unit.strip(), 1.0))
    if whole > _MAX_VALUE or runtime_ns > _MAX_VALUE:
        return None
    return Counter(number, name, COUNTED, whole, round(runtime_ns), min(percent / 100, 1.0))


def _plain(event: str) -> str:
    """The event's name without its PMU and its modifiers."""
    event = _OF_PMU.sub("", event)
    of_pmu = _PMU.match(event)
    name = of_pmu[1] if of_pmu else event
    return _MODIFIER.sub("", name)[:100] if name.isprintable() else ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
