"""Builds the facts that rules look at.

A new table that a rule can use is read here, in one place; a rule never touches a table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wgprof.analysis.cores import BUSY_COLUMNS, PROBE_COLUMNS, TRACKS
from wgprof.analysis.estimate import Estimate, mean_of, ratio, share
from wgprof.analysis.laws import cpu_shares, packets_by_cpu
from wgprof.analysis.nodes import nodes_of
from wgprof.analysis.queues import Queue
from wgprof.analysis.spans import Spans
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import STAGES, FloatArray, Tables, only, total, within
from wgprof.rules import polling
from wgprof.rules.facts import Cpu, Device, Facts, Work

#: A peer with less of all packets sent sends keepalives.
_SENDS = 0.01
_CRYPTO = ("tx.encrypt", "rx.decrypt")


def facts_of(analysis: Analysis, recording: Tables) -> Facts | None:
    """Build the facts of a recording; None when nothing flowed."""
    window, spans = analysis.window, analysis.spans
    if window is None or spans is None:
        return None
    stages, executions = within(recording.table("stages"), window), within(recording.table("executions"), window)
    cpus, manifest = recording.table("cpus"), recording.manifest
    decrypt = only(stages, stage=STAGES["rx"][1])
    nodes = nodes_of(manifest)
    return Facts(
        analysis,
        spans,
        analysis.laws,
        _cpus(cpus, stages, executions, spans),
        _entered(stages),
        {cpu: int(packets.sum()) for cpu, packets in packets_by_cpu(stages, STAGES["rx"][0], spans).items()},
        packets_by_cpu(stages, STAGES["rx"][1], spans),
        _ratios(spans.by(decrypt, "cpu", "service_ns"), spans.by(decrypt, "cpu", "packets")),
        {cpu: int(packets.sum()) for cpu, packets in packets_by_cpu(stages, STAGES["rx"][2], spans).items()},
        polling.naps(executions, stages, analysis.names, spans),
        polling.stalls(recording.table("depths"), executions, spans),
        polling.heads(
            within(recording.table("heads"), window), executions, stages, analysis.mechanics, analysis.names, spans
        ),
        _works(executions, spans),
        _send_by_cpu(executions, stages, spans),
        _send_delay(executions, spans),
        _devices(analysis, recording, stages),
        _refused(analysis),
        nodes,
        float(_measured(stages, executions, spans, tuple(TRACKS)).sum() / max(spans.seconds.sum() * 1e9, 1.0)),
        _parts(cpus, stages, executions, spans),
        _spinning(analysis, recording, spans),
        tuple(_lacking(analysis, recording)),
    )


def _ratios(above: Mapping[int, FloatArray], below: Mapping[int, FloatArray]) -> dict[int, Estimate]:
    found = {key: ratio(above[key], below[key]) for key in above}
    return {key: value for key, value in found.items() if value is not None}


def _cpus(cpus: pd.DataFrame, stages: pd.DataFrame, executions: pd.DataFrame, spans: Spans) -> tuple[Cpu, ...]:
    busy, softirq = cpu_shares(cpus, spans, *BUSY_COLUMNS), cpu_shares(cpus, spans, "softirq_ns")
    seconds = max(float(spans.seconds.sum()), 1e-9)
    other = spans.by(cpus, "cpu", *PROBE_COLUMNS)
    by_track: dict[str, dict[int, float]] = {}
    for track, (of_stages, of_servers) in TRACKS.items():
        spent: dict[int, float] = {}
        steps = stages[stages["stage"].isin(of_stages)]
        runs = executions[executions["server"].isin(of_servers)]
        for part in (spans.by(steps, "cpu", "service_ns"), spans.by(runs, "cpu", "busy_ns")):
            for cpu, values in part.items():
                spent[cpu] = spent.get(cpu, 0.0) + float(values.sum()) / 1e9 / seconds
        by_track[track] = spent
    return tuple(
        Cpu(
            cpu,
            busy[cpu],
            softirq[cpu],
            sum(by_track[track].get(cpu, 0.0) for track in _CRYPTO),
            sum(spent.get(cpu, 0.0) for spent in by_track.values()),
            float(other[cpu].sum()) / 1e9 / seconds,
        )
        for cpu in sorted(busy)
    )


def _parts(cpus: pd.DataFrame, stages: pd.DataFrame, executions: pd.DataFrame, spans: Spans) -> dict[str, Estimate]:
    """What all busy CPU time went to, span by span."""
    busy, account = spans.total(cpus, *BUSY_COLUMNS), spans.total(cpus, *BUSY_COLUMNS, "idle_ns")
    # The kernel accounts in ticks: its shares are right, its sums need not be the time that passed.
    number = max(int(cpus["cpu"].nunique()), 1)
    busy_ns = np.divide(busy, account, out=np.zeros(len(spans)), where=account > 0) * spans.seconds * 1e9 * number
    crypto, wireguard = (_measured(stages, executions, spans, tracks) for tracks in (_CRYPTO, tuple(TRACKS)))
    parts = {"crypto": crypto, "rest": wireguard - crypto, "outside": np.maximum(busy_ns - wireguard, 0.0)}
    found = {name: share(values, busy_ns) for name, values in parts.items()}
    return {name: value for name, value in found.items() if value is not None}


def _measured(stages: pd.DataFrame, executions: pd.DataFrame, spans: Spans, tracks: tuple[str, ...]) -> FloatArray:
    """CPU time that the probes measured in some tracks, all CPUs, one value a span; nanoseconds."""
    of_stages = [stage for track in tracks for stage in TRACKS[track][0]]
    of_servers = [server for track in tracks for server in TRACKS[track][1]]
    steps = spans.total(stages[stages["stage"].isin(of_stages)], "service_ns")
    return steps + spans.total(executions[executions["server"].isin(of_servers)], "busy_ns")


def _works(executions: pd.DataFrame, spans: Spans) -> dict[str, Work]:
    seconds = max(float(spans.seconds.sum()), 1e-9)
    found = {}
    for kind, rows in executions.groupby("server", observed=True):
        delayed = total(rows, "delayed")
        found[str(kind)] = Work(
            str(kind),
            total(rows, "executions"),
            total(rows, "empty"),
            total(rows, "packets"),
            float(spans.total(rows, "busy_ns").sum()) / 1e9 / seconds,
            total(rows, "delay_ns") / delayed if delayed else None,
            mean_of(spans.total(rows, "delay_ns"), spans.total(rows, "delayed")),
        )
    return found


def _send_by_cpu(executions: pd.DataFrame, stages: pd.DataFrame, spans: Spans) -> dict[int, dict[int, float]]:
    """Where every peer's transmit work ran, with the sending inside it and what ran on top of that."""
    seconds = max(float(spans.seconds.sum()), 1e-9)
    found: dict[int, dict[int, float]] = {}
    sent = only(stages, stage="tx.send")
    parts = ((only(executions, server="tx.work"), ("busy_ns",)), (sent, ("service_ns", "nested_ns")))
    for frame, columns in parts:
        for cpu, rows in frame.groupby("cpu"):
            here = found.setdefault(int(str(cpu)), {})
            for peer, values in spans.by(rows, "object", *columns).items():
                here[peer] = here.get(peer, 0.0) + float(values.sum()) / 1e9 / seconds
    return found


def _entered(stages: pd.DataFrame) -> dict[int, float]:
    """By CPU the part of a peer's packets that enter WireGuard there, of the peer of which it is largest."""
    packets = only(stages, stage=STAGES["tx"][0]).groupby(["object", "cpu"])["packets"].sum().unstack(fill_value=0)
    of_peer = packets.sum(axis=1)
    packets = packets[of_peer > _SENDS * of_peer.sum()]
    return {int(str(cpu)): float(part) for cpu, part in packets.div(packets.sum(axis=1), axis=0).max().items()
            if len(packets)}  # fmt: skip


def _send_delay(executions: pd.DataFrame, spans: Spans) -> dict[int, float]:
    seconds = max(float(spans.seconds.sum()), 1e-9)
    delays = spans.by(only(executions, server="tx.work"), "object", "delay_ns")
    return {peer: float(values.sum()) / 1e9 / seconds for peer, values in delays.items()}


def _devices(analysis: Analysis, recording: Tables, stages: pd.DataFrame) -> tuple[Device, ...]:
    assert analysis.window is not None
    interfaces = within(recording.table("interfaces"), analysis.window)
    mtus = {
        (item.get("netns"), item.get("name")): item.get("mtu", 0)
        for item in recording.manifest.get("interfaces", [])
        if isinstance(item, dict)
    }
    rows = []
    for device in analysis.names.devices():
        mine = only(interfaces, netns=device.netns, name=device.name)
        peers = analysis.names.peers_of(device.number)
        sent = only(stages, stage="tx.send")
        taken = only(stages, stage="tx.stage")
        taken = taken[taken["object"].isin(peers)]
        packets = total(taken, "packets")
        mtu = mtus.get((device.netns, device.name), 0)
        rows.append(
            Device(
                device.number,
                device.label,
                mtu if isinstance(mtu, int) else 0,
                total(sent[sent["object"].isin(peers)], "packets"),
                total(taken, "bytes") / packets if packets else 0.0,
                total(mine, "tx_dropped"),
                total(mine, "rx_dropped"),
                any(_is_full(q) for q in analysis.queues if q.queue == "tx.staged" and q.object in peers),
            )
        )
    return tuple(rows)


def _is_full(queue: Queue) -> bool:
    return queue.depth_max is not None and queue.depth_max >= queue.limit


def _refused(analysis: Analysis) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for queue in analysis.queues:
        refused, came = found.get(queue.queue, (0, 0))
        found[queue.queue] = refused + queue.refused_packets, came + queue.packets
    return found


def _spinning(analysis: Analysis, recording: Tables, spans: Spans) -> Estimate | None:
    if "contention" not in analysis.mechanics.measured:
        return None
    return ratio(spans.total(recording.table("contention"), "wait_ns"), spans.seconds * 1e9)


def _lacking(analysis: Analysis, recording: Tables) -> list[str]:
    """Tables without rows, and what the probes that could not be attached would have filled."""
    wanted = ("stages", "executions", "arrivals", "depths", "cpus", "interfaces", "stacks")
    found = [name for name in wanted if not len(recording.table(name))]
    found += [] if any(counts.journeys for counts in analysis.journeys) else ["journeys"]
    probes = recording.table("probes")
    for affects in only(probes, kind="missing")["affects"].astype(str):
        for part in affects.split(";") if ";" in affects else [affects]:
            table, _, items = part.partition(":")
            found += [f"{table.strip()}: {i.strip()}" for i in items.split(",")] if items else [table.strip()]
    return found
