"""What perf saw after the recording proper: where WireGuard's CPU time is inside its functions.

Another window than the probes', so the two agree only as far as the traffic stayed the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from wgprof.analysis.tables import Tables, ints, only, total

#: Rows of the table `stacks` that are no stack.
ELSEWHERE, MORE = "[elsewhere]", "[more]"
#: perf's name of a work item -> the same in the table `executions`.
WORKS: Mapping[str, str] = {
    "wg_packet_encrypt_worker": "encrypt.work",
    "wg_packet_decrypt_worker": "decrypt.work",
    "wg_packet_tx_worker": "tx.work",
}


@dataclass(frozen=True)
class HotStack:
    """A stack over all CPUs; `path` begins at the first function of WireGuard's, if there is one."""

    thread: str
    path: tuple[str, ...]
    cpus: tuple[int, ...]
    samples: int
    ce: float  # CPU seconds a second


@dataclass(frozen=True)
class Counted:
    """A counter of perf's, all CPUs together; `per_s` is None if it was not counted."""

    event: str
    state: str
    per_s: float | None


@dataclass(frozen=True)
class WorkDelay:
    """Mean time from queued to running of a kind of work, by perf and by the probes."""

    work: str
    count: int
    perf_ns: float
    probes_ns: float | None


@dataclass(frozen=True)
class Sampled:
    """Everything of perf's window; lists are empty where perf saw nothing."""

    window_s: float
    samples: int
    stacks: list[HotStack]  # the hottest first
    counters: list[Counted]
    delays: list[WorkDelay]
    wanting: list[str]  # what perf could not do, and what to do about it

    @property
    def wireguard_ce(self) -> float:
        return sum(stack.ce for stack in self.stacks)

    @property
    def instructions_per_cycle(self) -> float | None:
        counted = {c.event: c.per_s for c in self.counters}
        cycles, instructions = counted.get("cycles"), counted.get("instructions")
        return instructions / cycles if cycles and instructions is not None else None


def sampled_of(recording: Tables) -> Sampled | None:
    """What perf saw; None if it was not asked to look."""
    perf = recording.manifest.get("perf")
    parts = perf.get("parts") if isinstance(perf, dict) else None
    stacks, counters = recording.table("stacks"), recording.table("perf_stat")
    if not parts and stacks.empty and counters.empty:
        return None
    hz = perf.get("sample_hz", 0) if isinstance(perf, dict) else 0
    window_s = max((float(frame["dt_ns"].iloc[0]) / 1e9 for frame in (stacks, counters) if len(frame)), default=0.0)
    return Sampled(
        window_s,
        total(stacks, "samples"),
        _hot_stacks(stacks, hz * window_s),
        _counted(counters, window_s),
        _delays(recording.table("kwork"), recording.table("executions")),
        [_wanting(part) for part in parts or [] if isinstance(part, dict) and part.get("state") != "ok"],
    )


def _hot_stacks(stacks: pd.DataFrame, samples_a_ce: float) -> list[HotStack]:
    found = []
    ours = stacks[~stacks["stack"].isin([ELSEWHERE])]
    for (thread, stack), rows in ours.groupby(["thread", "stack"], observed=True, sort=False):
        samples = total(rows, "samples")
        cpus = tuple(sorted(ints(rows, "cpu").tolist()))
        ce = samples / samples_a_ce if samples_a_ce > 0 else 0.0
        found.append(HotStack(str(thread), _path(str(stack)), cpus, samples, ce))
    return sorted(found, key=lambda hot: (-hot.samples, hot.path, hot.thread))


def _path(folded: str) -> tuple[str, ...]:
    """From the first function of WireGuard's on: how a thread or softirq got there is the same for all."""
    functions = folded.split(";")
    first = next((place for place, name in enumerate(functions) if name.startswith("wg_")), 0)
    return tuple(functions[first:])


def _counted(counters: pd.DataFrame, window_s: float) -> list[Counted]:
    found = []
    for event, rows in counters.groupby("event", observed=True, sort=False):
        counted = only(rows, state="counted")
        per_s = total(counted, "value") / window_s if len(counted) and window_s > 0 else None
        state = "counted" if len(counted) else str(rows["state"].iloc[0])
        found.append(Counted(str(event), state, per_s))
    return found


def _delays(kwork: pd.DataFrame, executions: pd.DataFrame) -> list[WorkDelay]:
    found = []
    for name, rows in only(kwork, kind="workqueue").groupby("name", observed=True, sort=False):
        count = total(rows, "count")
        work = WORKS.get(str(name))
        if work is None or not count:
            continue
        probed = only(executions, server=work)
        delayed = total(probed, "delayed")
        mean = float((ints(rows, "delay_mean_ns") * (ints(rows, "count") / count)).sum())
        found.append(WorkDelay(work, count, mean, total(probed, "delay_ns") / delayed if delayed else None))
    return found


def _wanting(part: Mapping[str, Any]) -> str:
    sentence = f"perf {part.get('part', '')}: {part.get('sentence') or part.get('state', '')}"
    return f"{sentence}. {part['remedy']}" if part.get("remedy") else sentence
