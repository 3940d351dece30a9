"""The outer path in the window: the interfaces that carry the tunnels, and each CPU's receive softirq."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wgprof.analysis.names import clean
from wgprof.analysis.tables import Tables, only, total, within
from wgprof.analysis.window import Window


@dataclass(frozen=True)
class OuterInterface:
    """One interface that carries tunnels; what its driver did not tell is empty."""

    label: str
    carries: tuple[str, ...]
    driver: str
    rx_queues: int
    tx_queues: int
    rps: bool  # whether any receive queue is spread over CPUs in software
    rss_hash: Mapping[str, str]  # udp4 and udp6 -> the fields of a packet that choose its queue
    irq_cpus: tuple[int, ...]  # where its interrupts may run
    rx_pps: float
    tx_pps: float


@dataclass(frozen=True)
class Softnet:
    """What a CPU's receive softirq did; rates are per second."""

    cpu: int
    processed_pps: float
    share: float  # of all CPUs' packets
    dropped: int
    squeezed: int
    rps_per_s: float  # wake-ups by other CPUs' RPS


@dataclass(frozen=True)
class OuterPath:
    interfaces: tuple[OuterInterface, ...] = ()
    softnet: tuple[Softnet, ...] = ()


def outer_path(recording: Tables, window: Window) -> OuterPath:
    """Of a recording that has none of it, nothing."""
    described = recording.manifest.get("outer")
    rows = [row for row in described if isinstance(row, dict)] if isinstance(described, list) else []
    return OuterPath(tuple(_interface(row, recording, window) for row in rows), tuple(_softnet(recording, window)))


def _interface(row: Mapping[str, Any], recording: Tables, window: Window) -> OuterInterface:
    mine = only(within(recording.table("interfaces"), window), netns=row.get("netns"), name=row.get("name"))
    name, place = clean(row.get("name", ""), 16), clean(row.get("netns_name", ""), 20)
    irqs = [irq for irq in _list(row, "irqs") if isinstance(irq, dict)]
    cpus = {cpu for irq in irqs for cpu in _list(irq, "effective") or _list(irq, "affinity") if isinstance(cpu, int)}
    hashed = row.get("rss_hash")
    return OuterInterface(
        f"{name}@{place}" if place else name,
        tuple(clean(label) for label in _list(row, "carries")),
        clean(row.get("driver", ""), 20),
        _count(row, "rx_queues"),
        _count(row, "tx_queues"),
        any(str(mask).strip("0,") for mask in _list(row, "rps_cpus")),
        {clean(k, 8): clean(v) for k, v in hashed.items()} if isinstance(hashed, dict) else {},
        tuple(sorted(cpus)),
        total(mine, "rx_packets") / window.duration_s,
        total(mine, "tx_packets") / window.duration_s,
    )


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row.get(name)
    return value if isinstance(value, list) else []


def _count(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0


def _softnet(recording: Tables, window: Window) -> list[Softnet]:
    frame = within(recording.table("softnet"), window)
    everything = max(total(frame, "processed"), 1)
    rows = []
    for cpu in sorted({int(c) for c in frame["cpu"].unique()}):
        mine = only(frame, cpu=cpu)
        processed = total(mine, "processed")
        rows.append(
            Softnet(
                cpu,
                processed / window.duration_s,
                processed / everything,
                total(mine, "dropped"),
                total(mine, "time_squeeze"),
                total(mine, "received_rps") / window.duration_s,
            )
        )
    return rows
