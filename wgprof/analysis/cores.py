"""What each CPU did: the kernel's own account beside the time the probes measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from wgprof.analysis.tables import FloatArray, IntArray, Totals, ints, only, total, within
from wgprof.analysis.window import Window

BUSY_COLUMNS = ("user_ns", "system_ns", "softirq_ns", "irq_ns", "steal_ns")
PROBE_COLUMNS = ("probe_net_rx_ns", "probe_net_tx_ns", "probe_other_ns")

#: What measured time is shown as, in the order of the path: name -> (stages, executions).  All measured times exclude
#: what is nested in them, so they add up without overlap.
TRACKS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tx.stage": (("tx.stage",), ()),
    "tx.encrypt": (("tx.encrypt",), ("encrypt.work",)),
    "tx.send": (("tx.send",), ("tx.work",)),
    "rx.receive": (("rx.receive",), ()),
    "rx.decrypt": (("rx.decrypt",), ("decrypt.work",)),
    "rx.deliver": (("rx.deliver",), ("rx.napi",)),
}
OTHER_SOFTIRQ = "other softirq"


@dataclass(frozen=True)
class Core:
    """One CPU in the window.  Shares are fractions of the window; `measured` is by track and cores-equivalent."""

    cpu: int
    busy: float
    user: float
    system: float
    softirq: float
    irq: float
    steal: float
    measured: Mapping[str, float]


def core_rows(cpus: pd.DataFrame, stages: pd.DataFrame, executions: pd.DataFrame, window: Window) -> list[Core]:
    """Every CPU of the machine, in order."""
    cpus, stages, executions = within(cpus, window), within(stages, window), within(executions, window)
    length_ns = window.end_ns - window.start_ns
    rows = []
    measured_on = Measured(stages, executions)
    for cpu in sorted({int(c) for c in cpus["cpu"].unique()}):
        mine = only(cpus, cpu=cpu)
        spent = {column: total(mine, column) for column in BUSY_COLUMNS}
        # The kernel accounts in ticks, so its own sum is the fair denominator.
        everything = sum(spent.values()) + total(mine, "idle_ns") or length_ns
        share = {column: value / everything for column, value in spent.items()}
        measured = {track: ns / length_ns for track, ns in measured_on.cpu(cpu, mine).items()}
        user, system, softirq, irq, steal = (share[column] for column in BUSY_COLUMNS)
        rows.append(Core(cpu, sum(share.values()), user, system, softirq, irq, steal, measured))
    return rows


class Measured:
    """Time the probes measured on each CPU."""

    def __init__(self, stages: pd.DataFrame, executions: pd.DataFrame) -> None:
        self._stages = Totals(stages, "stage", ("service_ns",), by="cpu")
        self._executions = Totals(executions, "server", ("busy_ns",), by="cpu")

    def cpu(self, number: int, account: pd.DataFrame) -> dict[str, int]:
        """In ns, by track; without overlap, so the values may be added.  `account`: the CPU's rows of `cpus`."""
        spent = {}
        for track, (of_stages, of_servers) in TRACKS.items():
            spent[track] = sum(self._stages.of(stage, [number])["service_ns"] for stage in of_stages)
            spent[track] += sum(self._executions.of(server, [number])["busy_ns"] for server in of_servers)
        spent[OTHER_SOFTIRQ] = sum(total(account, column) for column in PROBE_COLUMNS)
        return spent


@dataclass(frozen=True)
class CoreSeries:
    """CPU time over time.  Each matrix has a row for each CPU and a column for each bin; values are fractions."""

    start_s: FloatArray  # of each bin, after the start of the recording
    width_s: FloatArray
    cpus: tuple[int, ...]
    busy: npt.NDArray[np.float64]  # by the kernel's account
    measured: Mapping[str, npt.NDArray[np.float64]]  # by track
    softirq: npt.NDArray[np.float64] | None = None  # of that account
    irq: npt.NDArray[np.float64] | None = None


def core_series(
    cpus: pd.DataFrame,
    stages: pd.DataFrame,
    executions: pd.DataFrame,
    intervals: pd.DataFrame,
    most_bins: int,
    began_ns: int | None = None,
) -> CoreSeries:
    """The whole recording in at most `most_bins` bins of whole intervals; `began_ns`: as `Bins.of`."""
    bins = Bins.of(intervals, most_bins, began_ns)
    numbers = np.array(sorted({int(c) for c in cpus["cpu"].unique()}), dtype=np.int64)
    shape = (numbers.size, bins.width_s.size)
    width_ns = np.maximum(bins.width_s * 1e9, 1)

    def matrix(frame: pd.DataFrame, values: IntArray) -> npt.NDArray[np.float64]:
        out = np.zeros(shape)
        row, column = np.searchsorted(numbers, ints(frame, "cpu")), bins.find(ints(frame, "t_ns"))
        good = (row < numbers.size) & (column >= 0)
        np.add.at(out, (row[good], column[good]), values[good])
        return out

    busy = matrix(cpus, np.sum([ints(cpus, c) for c in BUSY_COLUMNS], axis=0))
    account = busy + matrix(cpus, ints(cpus, "idle_ns"))
    measured = {}
    for track, (of_stages, of_servers) in TRACKS.items():
        stage_rows = stages[stages["stage"].isin(of_stages)]
        server_rows = executions[executions["server"].isin(of_servers)]
        spent = matrix(stage_rows, ints(stage_rows, "service_ns")) + matrix(server_rows, ints(server_rows, "busy_ns"))
        measured[track] = spent / width_ns
    measured[OTHER_SOFTIRQ] = matrix(cpus, np.sum([ints(cpus, c) for c in PROBE_COLUMNS], axis=0)) / width_ns

    def share(part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.divide(part, account, out=np.zeros(shape), where=account > 0)

    softirq, irq = (share(matrix(cpus, ints(cpus, column))) for column in ("softirq_ns", "irq_ns"))
    return CoreSeries(bins.start_s, bins.width_s, tuple(int(n) for n in numbers), share(busy), measured, softirq, irq)


@dataclass(frozen=True)
class Bins:
    """Consecutive intervals taken together, so that a screen can show them."""

    first_ns: IntArray  # start of each bin
    start_s: FloatArray
    width_s: FloatArray

    @classmethod
    def of(cls, intervals: pd.DataFrame, most: int, began_ns: int | None = None) -> Bins:
        """At most `most` bins over all intervals.  `began_ns`: when time was zero, if not when the first began."""
        order = np.argsort(ints(intervals, "t_ns"))
        starts, lengths = ints(intervals, "t_ns")[order], ints(intervals, "dt_ns")[order]
        if not starts.size:
            return cls(starts, np.zeros(0), np.zeros(0))
        together = -(-starts.size // max(most, 1))
        edges = np.arange(0, starts.size, together)
        first_ns = starts[edges]
        ends = np.append(first_ns[1:], starts[-1] + lengths[-1])
        began = int(first_ns[0]) if began_ns is None else began_ns
        return cls(first_ns, (first_ns - began) / 1e9, (ends - first_ns) / 1e9)

    def find(self, t_ns: IntArray) -> IntArray:
        """The bin of each time; -1 before the first."""
        return np.searchsorted(self.first_ns, t_ns, side="right").astype(np.int64) - 1
