"""Parts what a recording has as one sum: delivery from the stack above it, packets from the polls around them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from wgprof.analysis.histogram import REPRESENTATIVE, counts_of
from wgprof.analysis.tables import FloatArray, IntArray, only
from wgprof.model.costs import Quantity
from wgprof.model.sums import Sums

#: Fewer packets than this say nothing about a cost.
LEAST = 100
QUANTILES = 64
#: Polls of fewer packets than this say nothing about what the stack costs for more; and the ranks that are compared.
_LONG_POLLS, _TYPICAL = 3.0, 0.95
#: More alike than this, packets and polls of an interval and CPU cannot be told apart.
_ALIKE = 0.95


def part_delivery(data: Sums, supers_per_packet: float) -> tuple[Quantity, Quantity] | None:
    """What a packet costs in GRO, and what its products cost in the stack, ns; None if a recording cannot tell.

    The service of the last packet of a poll has the stack in it.  Its share of packets is known, so the cheapest
    others are taken for those that GRO only kept; their mean is at most that of those that it did keep, whose own
    may reach the dearest of them.
    """
    stage = "rx.deliver"
    counts = counts_of(only(data.histograms, metric=f"{stage}.service"))
    packets = int(counts.sum())
    kept = round(packets * (1 - supers_per_packet))
    if min(kept, packets - kept) < LEAST:
        return None
    low = np.minimum(np.cumsum(counts), kept)
    low = np.diff(low, prepend=0)
    scale = data.service_ns(stage) / max(data.packets(stage), 1) / (float(counts @ REPRESENTATIVE) / packets)
    deliver = scale * float(low @ REPRESENTATIVE) / kept
    dearest = scale * float(REPRESENTATIVE[np.flatnonzero(low)[-1]])
    stack = scale * float((counts - low) @ REPRESENTATIVE) / (packets - kept) - deliver
    # What the stack costs grows with what GRO made; what it grows by a packet is a cost of packets.
    grows = min(scale * _growth(data, counts - low), stack * supers_per_packet)
    deliver, dearest, stack = deliver + grows, dearest + grows, stack - grows / supers_per_packet
    # As much as the packets that were kept cost more, those that went up cost less.
    other = max(stack - max(dearest - deliver, 0.0) / supers_per_packet, 0.5 * stack)
    why = f"measured: the cheapest {100 * kept / packets:.3g} % of {stage}, as many as were not the last of a poll"
    shape = table_of(low)
    return (
        replace(Quantity(deliver, deliver, max(dearest, deliver), why=why), shape="table", table=shape),
        Quantity(stack, other, stack, why=f"measured: what the others cost more in {stage}"),
    )


def _growth(data: Sums, last: IntArray) -> float:
    """How much longer polls' last packets take for each packet of the poll, in a histogram's ns; 0 if polls are short.

    Longer polls are taken for those whose last packet took longer: the ranks of both are compared.
    """
    runs = counts_of(only(data.histograms, metric="rx.napi.packets"))
    runs[0] = 0
    if runs.sum() < LEAST or float(runs @ REPRESENTATIVE) < _LONG_POLLS * float(runs.sum()):
        return 0.0
    ranks = np.linspace(0.0, _TYPICAL, QUANTILES)
    length, took = (
        REPRESENTATIVE[np.searchsorted(np.cumsum(counts), np.maximum(ranks * counts.sum(), 1))]
        for counts in (runs, last)
    )
    return max(float(np.polyfit(length, took, 1)[0]), 0.0)


def table_of(counts: IntArray) -> tuple[float, ...]:
    """A histogram as quantiles at equal steps, with mean 1."""
    ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES * counts.sum()
    table = REPRESENTATIVE[np.searchsorted(np.cumsum(counts), ranks)]
    return tuple(float(q) for q in table / table.mean())


def part_softirqs(sums: Sums) -> tuple[Quantity, Quantity]:
    """NET_RX softirqs outside of WireGuard's stages, ns: a packet received, and a peer's poll in them.

    Least squares over intervals and CPUs, since packets are received on one CPU and polled on others; where these are
    too much alike, or nobody polls in softirqs, the two are assumed to cost the same.
    """
    spent = _by_cpu(sums.cpus, "probe_net_rx_ns")
    received = _by_cpu(only(sums.stages, stage="rx.receive"), "packets").reindex(spent.index, fill_value=0.0)
    polls = _by_cpu(sums.softirq_polls, "executions").reindex(spent.index, fill_value=0.0)
    counts = np.stack([received.to_numpy(dtype=np.float64), polls.to_numpy(dtype=np.float64)], axis=1)
    ns = spent.to_numpy(dtype=np.float64)
    used = counts.sum(axis=1) > 0
    fit = _least_squares(counts[used], ns[used])
    if fit is None:
        same = float(ns.sum() / max(counts.sum(), 1.0))
        why = "NET_RX softirqs, by packets and polls alike; the recording does not part them"
        packet = Quantity(same, 0.5 * same, float(ns.sum() / max(counts[:, 0].sum(), 1.0)), True, why)
        return packet, Quantity(same, 0.0, 2 * same, True, why)
    (packet_ns, poll_ns), (packet_error, poll_error) = fit
    why = "measured: NET_RX softirqs, by packets and polls of intervals and CPUs"
    return (
        Quantity(packet_ns, max(packet_ns - packet_error, 0.0), packet_ns + packet_error, why=why),
        Quantity(poll_ns, max(poll_ns - poll_error, 0.0), poll_ns + poll_error, why=why),
    )


def _by_cpu(rows: pd.DataFrame, column: str) -> pd.Series[float]:
    return rows.groupby(["t_ns", "cpu"], observed=True)[column].sum().astype(np.float64)


def _correlation(counts: FloatArray) -> float:
    packets, polls = (counts - counts.mean(axis=0)).T
    return abs(float(packets @ polls)) / max(float(np.linalg.norm(packets) * np.linalg.norm(polls)), 1e-9)


def _least_squares(counts: FloatArray, ns: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Two costs and the half widths of their 95 % intervals; None if they are not told apart, or make no sense."""
    if len(ns) < 20 or (counts.sum(axis=0) < LEAST).any() or _correlation(counts) > _ALIKE:
        return None
    weights = 1 / np.sqrt(counts.sum(axis=1))
    weighted = counts * weights[:, None]
    costs, *_ = np.linalg.lstsq(weighted, ns * weights, rcond=None)
    if (costs <= 0).any():
        return None
    left = ns * weights - weighted @ costs
    spread = float(left @ left) / (len(ns) - 2) * np.linalg.inv(weighted.T @ weighted)
    return costs, 1.96 * np.sqrt(np.diag(spread))
