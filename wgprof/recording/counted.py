"""The tables made of cells: stages, executions, arrivals, depths and histograms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wgprof.agent.layout import CELL_KINDS, CellKind
from wgprof.recording.cells import Cells, CellStore, Ints, Steps
from wgprof.recording.schema import BY_NAME
from wgprof.recording.sink import Names, Sink

#: Table -> the group of cells it is made of, and its text column if it has one.  It takes those counters that it has.
_TABLES = {
    "stages": ("stage", "stage"),
    "executions": ("execution", "server"),
    "arrivals": ("arrival", "queue"),
    "depths": ("depth", "queue"),
    "polls": ("poll", "server"),
    "heads": ("order", "server"),
    "moves": ("order", "server"),
    "preemptions": ("preemption", "stage"),
    "wakeups": ("wake", "server"),
    "contention": ("lock", "lock"),
    "ipis": ("ipi", ""),
}
_METRIC = {
    "stage": "service",
    "execution": "delay",
    "arrival": "arrival_depth",
    "depth": "depth",
    "poll": "packets",
    "order": "blocked",
    "preemption": "preemption",
    "wake": "runqueue",
    "lock": "wait",
}
_BY_GROUP = {group: [kind for kind in CELL_KINDS if kind.group == group] for group, _ in _TABLES.values()}
_METRICS = [f"{kind.name}.{_METRIC[kind.group]}" for kind in CELL_KINDS if kind.group in _METRIC]
_METRIC_NUMBER = np.array(
    [_METRICS.index(f"{k.name}.{_METRIC[k.group]}") if k.group in _METRIC else -1 for k in CELL_KINDS]
)
_SOFTIRQ = next(kind for kind in CELL_KINDS if kind.group == "softirq")


class CountedTables:
    """Feeds the tables of what the probes count, an interval at a time.

    Afterwards `slots` has every slot that was met, with the kind it was met first as, and
    `backwards` how many cells of a kind went backwards.
    """

    def __init__(self, spill: Path | None) -> None:
        self.sinks: dict[str, Sink] = {}
        for name, (group, column) in _TABLES.items():
            names = {column: Names([kind.name for kind in _BY_GROUP[group]])} if column else {}
            self.sinks[name] = Sink(BY_NAME[name], names, spill)
        self.sinks["histograms"] = Sink(BY_NAME["histograms"], {"metric": Names(_METRICS)}, spill)
        self.slots: dict[int, CellKind] = {}
        self.backwards: dict[str, int] = {}
        self._store = CellStore()
        self._depth_max: dict[tuple[int, int], int] = {}

    def baseline(self, cells: Cells) -> None:
        """Take the cells of the first tick as the beginning."""
        self._note(self._store.update(cells))

    def interval(self, cells: Cells, t_ns: int, dt_ns: int) -> dict[int, dict[str, int]]:
        """Add an interval's rows.  Returns, for each CPU, what the softirq cell gained."""
        steps = self._store.update(cells)
        self._note(steps)
        for name, (group, column) in _TABLES.items():
            add = self._add_depths if group == "depth" else self._add_rows
            for number, (kind, rows) in enumerate(_by_kind(steps, _BY_GROUP[group])):
                fixed = {"t_ns": t_ns, "dt_ns": dt_ns} | ({column: number} if column else {})
                add(self.sinks[name], fixed, kind, steps, rows)
        self._add_histograms(steps, t_ns, dt_ns)
        return self._softirqs(steps)

    def _note(self, steps: Steps) -> None:
        for number in np.unique(steps.kind[steps.backwards]):
            kind = CELL_KINDS[number]
            count = int(np.count_nonzero(steps.backwards & (steps.kind == number)))
            self.backwards[kind.name] = self.backwards.get(kind.name, 0) + count
        slots, first = np.unique(steps.slot, return_index=True)
        for slot, row in zip(slots.tolist(), first.tolist(), strict=True):
            self.slots.setdefault(slot, CELL_KINDS[steps.kind[row]])

    @staticmethod
    def _add_rows(sink: Sink, fixed: dict[str, int], kind: CellKind, steps: Steps, rows: Ints) -> None:
        wanted = {column.name for column in sink.table.columns}
        taken = [i for i, name in enumerate(kind.counters) if name in wanted]
        if len(taken) < len(kind.counters):
            rows = rows[steps.counters[rows][:, taken].any(axis=1)]
        columns = {kind.counters[i]: steps.counters[rows, i] for i in taken}
        if "object" in wanted:
            columns["object"] = steps.slot[rows]
        sink.add(len(rows), **fixed, cpu=steps.cpu[rows], **columns)

    def _add_depths(self, sink: Sink, fixed: dict[str, int], kind: CellKind, steps: Steps, rows: Ints) -> None:
        """A depth belongs to a queue, whichever CPU looked: one row for all CPUs."""
        slots, group = np.unique(steps.slot[rows], return_inverse=True)
        columns: dict[str, Ints] = {}
        for i, name in enumerate(kind.counters):
            columns[name] = np.zeros(len(slots), np.int64)
            (np.maximum if name == "depth_max" else np.add).at(columns[name], group, steps.counters[rows, i])
        for row, slot in enumerate(slots.tolist()):
            key = (kind.number, slot)
            self._depth_max[key] = max(self._depth_max.get(key, 0), int(columns["depth_max"][row]))
            columns["depth_max"][row] = self._depth_max[key]
        sink.add(len(slots), **fixed, object=slots, **columns)

    def _add_histograms(self, steps: Steps, t_ns: int, dt_ns: int) -> None:
        rows, buckets = np.nonzero(steps.histogram)
        known = _METRIC_NUMBER[steps.kind[rows]] >= 0
        rows, buckets = rows[known], buckets[known]
        self.sinks["histograms"].add(
            len(rows),
            t_ns=t_ns,
            dt_ns=dt_ns,
            cpu=steps.cpu[rows],
            object=steps.slot[rows],
            metric=_METRIC_NUMBER[steps.kind[rows]],
            bucket=buckets,
            count=steps.histogram[rows, buckets],
        )

    @staticmethod
    def _softirqs(steps: Steps) -> dict[int, dict[str, int]]:
        rows = np.flatnonzero(steps.kind == _SOFTIRQ.number)
        return {
            int(steps.cpu[row]): dict(zip(_SOFTIRQ.counters, steps.counters[row].tolist(), strict=False))
            for row in rows.tolist()
        }


def _by_kind(steps: Steps, kinds: list[CellKind]) -> Iterator[tuple[CellKind, Ints]]:
    """For each kind, the rows that gained something."""
    for kind in kinds:
        yield kind, np.flatnonzero(steps.gained & (steps.kind == kind.number))
