"""The two servers of a peer that keep its packets' order: what their runs found, what they waited for, where they ran.

`tx.work` is the peer's transmit work (wg_packet_tx_worker), `rx.napi` its NAPI (wg_packet_rx_poll).  Both
stop at the first packet that is not encrypted or decrypted yet, whatever lies behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from wgprof.analysis.histogram import DURATION_UNIT_NS, REPRESENTATIVE, HistogramSums, duration_quantiles_ns, quantiles
from wgprof.analysis.tables import IntArray, by_object, only, total, within
from wgprof.analysis.window import Window

SERVERS = ("tx.work", "rx.napi")
#: Of `histograms`.
METRICS = tuple(f"{server}.{what}" for server in SERVERS for what in ("packets", "blocked"))
#: What a run can find; they exclude each other.
CLASSES = ("productive", "empty_queue", "head_not_ready")
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Polls:
    """Runs of a server in the window by what they found, of one peer or (`object` None) of all together."""

    server: str
    object: int | None
    executions: int
    productive: int
    empty_queue: int
    head_not_ready: int
    wasted_share: float  # of the executions
    wasted_ce: float  # CPU seconds a second in those that took nothing
    packets_mean: float | None  # of the productive ones
    packets_p50: float | None
    packets_p99: float | None
    missed: int  # caused by NAPI_STATE_MISSED
    missed_wasted: int
    nested: int  # on top of a crypt worker
    nested_wasted: int
    nested_wasted_ce: float


@dataclass(frozen=True)
class Heads:
    """Times a server stood before a head that was not ready, counted when they ended."""

    server: str
    object: int | None
    episodes: int
    blocked_share: float  # of the time; of all peers together the mean number that stood
    mean_ns: float | None
    p50_ns: float | None
    p99_ns: float | None
    residual_ns: float | None  # how much longer it stands, mean over moments at which it does (Cox 1962, ch. 5)
    ready_share: float | None  # of the blocked time, after the head was ready; None without --detail


@dataclass(frozen=True)
class Moves:
    """Where a server ran: moves between CPUs, and each CPU's share of its executions, the largest first."""

    server: str
    object: int | None
    executions: int
    moves: int
    moves_per_s: float
    stay_mean_ns: float | None  # from one move to the next
    cpus: tuple[tuple[int, float], ...]


def poll_rows(polls: pd.DataFrame, executions: pd.DataFrame, histograms: HistogramSums, window: Window) -> list[Polls]:
    """For each server first all peers together, then every peer."""
    executions = within(executions, window)

    def row(server: str, number: int | None, mine: pd.DataFrame) -> Polls:
        runs, counts = _of(only(executions, server=server), number), histograms.of(f"{server}.packets", number).copy()
        counts[0] = 0  # of the productive ones alone
        p50, p99 = quantiles(counts, (0.5, 0.99))
        productive, empty, not_ready = (total(mine, name) for name in CLASSES)
        everything = productive + empty + not_ready
        return Polls(
            server=server,
            object=number,
            executions=everything,
            productive=productive,
            empty_queue=empty,
            head_not_ready=not_ready,
            wasted_share=(empty + not_ready) / everything if everything else 0.0,
            wasted_ce=total(runs, "empty_ns") / 1e9 / window.duration_s,
            packets_mean=total(runs, "packets") / productive if productive else None,
            packets_p50=p50,
            packets_p99=p99,
            missed=total(mine, "missed"),
            missed_wasted=total(mine, "missed_wasted"),
            nested=total(mine, "nested"),
            nested_wasted=total(mine, "nested_wasted"),
            nested_wasted_ce=total(mine, "nested_wasted_ns") / 1e9 / window.duration_s,
        )

    return list(_rows(within(polls, window), row))


def head_rows(heads: pd.DataFrame, histograms: HistogramSums, window: Window) -> list[Heads]:
    """For each server first all peers together, then every peer."""

    def row(server: str, number: int | None, mine: pd.DataFrame) -> Heads:
        counts = histograms.of(f"{server}.blocked", number)
        episodes, blocked_ns, timed_ns = (total(mine, name) for name in ("episodes", "blocked_ns", "timed_ns"))
        p50, p99 = duration_quantiles_ns(counts, (0.5, 0.99))
        return Heads(
            server,
            number,
            episodes,
            blocked_ns / 1e9 / window.duration_s,
            blocked_ns / episodes if episodes else None,
            p50,
            p99,
            _residual_ns(counts),
            total(mine, "ready_ns") / timed_ns if timed_ns else None,
        )

    return list(_rows(within(heads, window), row))


def _residual_ns(counts: IntArray) -> float | None:
    """Half the mean square over the mean: long times hold more moments."""
    lengths = REPRESENTATIVE * DURATION_UNIT_NS
    whole = float(counts @ lengths)
    return float(counts @ lengths**2) / whole / 2 if whole > 0 else None


def move_rows(moves: pd.DataFrame, executions: pd.DataFrame, window: Window) -> list[Moves]:
    """For each server that ran first all peers together, then every peer."""
    moves, executions = within(moves, window), within(executions, window)

    def row(server: str, number: int | None, runs: pd.DataFrame) -> Moves:
        mine = _of(only(moves, server=server), number)
        moved = total(mine, "moves")
        return Moves(
            server,
            number,
            total(runs, "executions"),
            moved,
            moved / window.duration_s,
            total(mine, "stay_ns") / moved if moved else None,
            _shares(runs),
        )

    return list(_rows(executions[executions["object"] != 0], row))


def _shares(runs: pd.DataFrame) -> tuple[tuple[int, float], ...]:
    counts = runs.groupby("cpu")["executions"].sum()
    everything = int(counts.sum())
    if not everything:
        return ()
    order = np.argsort(-counts.to_numpy(), kind="stable")
    return tuple((int(counts.index[at]), float(counts.iloc[at]) / everything) for at in order if counts.iloc[at])


def _rows(frame: pd.DataFrame, row: Callable[[str, int | None, pd.DataFrame], _Row]) -> Iterator[_Row]:
    for server in SERVERS:
        mine = only(frame, server=server)
        if not len(mine):
            continue
        yield row(server, None, mine)
        for number, of_peer in by_object(mine).items():
            yield row(server, number, of_peer)


def _of(frame: pd.DataFrame, number: int | None) -> pd.DataFrame:
    return frame if number is None else only(frame, object=number)
