"""A machine description out of a recording: what was measured, and what had to be assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from wgprof.analysis.histogram import REPRESENTATIVE, counts_of
from wgprof.analysis.journeys import join_journeys
from wgprof.analysis.tables import STAGES, Tables, only, total, within
from wgprof.analysis.variant import variant_of
from wgprof.analysis.window import active_window
from wgprof.errors import RecordingError
from wgprof.model.costs import Costs, Quantity, known
from wgprof.model.limits import GSO_MAX_BYTES
from wgprof.model.machine import Machine, read_machine
from wgprof.model.machines import shipped

#: What no recording shows; taken from the public description, in proportion to how fast a packet is received here.
_ASSUMED = ("wake", "switch", "hold", "transfer", "cross", "stack")
_QUANTILES = 64
#: Fewer packets than this say nothing about a cost.
_LEAST = 100


@dataclass(frozen=True)
class _Sums:
    """The tables of a recording, within its window."""

    stages: pd.DataFrame
    executions: pd.DataFrame
    cpus: pd.DataFrame
    histograms: pd.DataFrame


def machine_from(recording: Tables, name: str) -> Machine:
    """Calibrate the model with a recording.

    Raises RecordingError, naming the table, if the recording lacks what is needed.
    """
    variant = variant_of(recording.manifest)
    if variant.is_inline:
        raise RecordingError(
            f"{name} was made with the inline module, so it has no costs of queues, workers and polls",
            "Calibrate with a recording of the distribution's module.",
        )
    window = active_window(recording.table("intervals"), recording.table("stages"))
    if window is None:
        raise RecordingError(f"{name} has no traffic: its table stages is empty", "Record while packets flow.")
    sums = _Sums(*(within(recording.table(t), window) for t in ("stages", "executions", "cpus", "histograms")))
    received = total(only(sums.stages, stage="rx.decrypt"), "packets")
    sent = total(only(sums.stages, stage="tx.encrypt"), "packets")
    if received < _LEAST:
        raise RecordingError(
            f"{name} has {received} packets of stage rx.decrypt in its table stages, too few to calibrate with",
            f"Record the receiving end, with at least {_LEAST} packets.",
        )
    costs = _receive_costs(sums, name) | (_transmit_costs(sums, name) if sent >= _LEAST else {})
    scale = costs["receive"].value / read_machine(shipped("xeon-e5-2660v3")).costs.costs["receive"].value
    costs |= _assumed(scale, costs)
    return _machine(recording, sums, costs, name, both=sent >= _LEAST)


def _receive_costs(sums: _Sums, name: str) -> dict[str, Quantity]:
    receive = _service(sums, "rx.receive", name)
    packets = max(total(only(sums.stages, stage="rx.receive"), "packets"), 1)
    # NET_RX softirqs outside of WireGuard's stages: the NIC's NAPI, IP and UDP.
    driver = total(sums.cpus, "probe_net_rx_ns") / packets
    handoff = receive.scaled(0.5)
    napi = only(sums.executions, server="rx.napi")
    polls, empty = total(napi, "executions"), total(napi, "empty")
    if polls <= empty:
        raise RecordingError(
            f"{name} has no rx.napi that delivered anything in its table executions",
            "Record with all probes attached: `wgprof doctor` says what is missing.",
        )
    setup = (total(napi, "busy_ns") - total(napi, "empty_ns")) / (polls - empty)
    wasted = total(napi, "empty_ns") / empty if empty else 0.25 * setup
    return {
        "receive": replace(receive.scaled(0.5), why="half of rx.receive, and the softirqs in front of it")
        .plus(driver),
        "handoff": replace(handoff, low=receive.low * 0.2, high=receive.high * 0.8, assumed=True,
                           why="half of rx.receive; the recording does not part it"),
        "decrypt": _service(sums, "rx.decrypt", name),
        "deliver": _service(sums, "rx.deliver", name),
        "poll_setup": _about(setup, "rx.napi: busy time of polls that delivered, beside rx.deliver"),
        "poll_empty": _about(wasted, "rx.napi: time in empty polls" if empty else "a quarter of poll_setup"),
        "consume": _per_packet(sums, "decrypt.work"),
        "work": _per_empty(sums, "decrypt.work"),
    }  # fmt: skip


def _transmit_costs(sums: _Sums, name: str) -> dict[str, Quantity]:
    stage = only(sums.stages, stage="tx.stage")
    packets, calls, spent = (total(stage, column) for column in ("packets", "calls", "service_ns"))
    half = spent / 2
    why = "half of tx.stage; the recording does not part what a list costs from what a segment costs"
    return {
        "encrypt": _service(sums, "tx.encrypt", name),
        "send": _service(sums, "tx.send", name),
        "stage": Quantity(half / max(calls, 1), 0.5 * half / max(calls, 1), 1.5 * half / max(calls, 1), True, why),
        "segment": Quantity(
            half / max(packets, 1), 0.5 * half / max(packets, 1), 1.5 * half / max(packets, 1), True, why
        ),
    }


def _service(sums: _Sums, stage: str, name: str) -> Quantity:
    """A stage's mean service time a packet; its 95 % interval from the recording's intervals; its distribution."""
    rows = only(sums.stages, stage=stage)
    by_interval = rows.groupby("t_ns", observed=True)[["packets", "service_ns"]].sum()
    packets = by_interval["packets"].to_numpy(dtype=np.float64)
    spent = by_interval["service_ns"].to_numpy(dtype=np.float64)
    if packets.sum() < 1 or spent.sum() <= 0:
        raise RecordingError(
            f"{name} has no times of stage {stage} in its table stages",
            "Record with all probes attached: `wgprof doctor` says what is missing.",
        )
    mean = float(spent.sum() / packets.sum())
    n = packets.size
    error = float(np.sqrt(np.sum((spent - mean * packets) ** 2) * n / max(n - 1, 1)) / packets.sum())
    quantity = Quantity(mean, max(mean - 1.96 * error, 0.0), mean + 1.96 * error, why=f"measured: {stage}")
    counts = counts_of(only(sums.histograms, metric=f"{stage}.service"))
    if counts.sum() < _LEAST:
        return quantity
    ranks = (np.arange(_QUANTILES) + 0.5) / _QUANTILES * counts.sum()
    table = REPRESENTATIVE[np.searchsorted(np.cumsum(counts), ranks)]
    return replace(quantity, shape="table", table=tuple(float(q) for q in table / table.mean()))


def _per_packet(sums: _Sums, server: str) -> Quantity:
    rows = only(sums.executions, server=server)
    spent = total(rows, "busy_ns") - total(rows, "empty_ns")
    return _about(max(spent, 0) / max(total(rows, "packets"), 1), f"{server}: busy time outside of the stage")


def _per_empty(sums: _Sums, server: str) -> Quantity:
    rows = only(sums.executions, server=server)
    empty = total(rows, "empty")
    return _about(total(rows, "empty_ns") / empty if empty else 0.0, f"{server}: time in empty executions")


def _about(value: float, why: str) -> Quantity:
    """A value that the recording has only as a sum: 20 % either way."""
    return Quantity(value, 0.8 * value, 1.2 * value, why=why)


def _assumed(scale: float, measured: Mapping[str, Quantity]) -> dict[str, Quantity]:
    public = read_machine(shipped("xeon-e5-2660v3")).costs.costs
    found = {}
    for name in _ASSUMED:
        why = f"not in a recording: {scale:.3g} times the public description's, as receive is here"
        found[name] = replace(public[name].scaled(scale), assumed=True, why=why)
    # What crosses CPUs, and what goes up the stack, is in the measured stages; it is only moved out of them.
    found["cross"] = _within(found["cross"], measured["decrypt"], 0.3)
    found["stack"] = _within(found["stack"], measured["deliver"], 0.5)
    return found


def _within(part: Quantity, whole: Quantity, share: float) -> Quantity:
    most = share * whole.value
    return replace(part, value=min(part.value, most), low=0.0, high=max(min(part.high, most), min(part.value, most)))


def _machine(recording: Tables, sums: _Sums, costs: dict[str, Quantity], name: str, *, both: bool) -> Machine:
    stage = only(sums.stages, stage="rx.decrypt" if not both else "tx.stage")
    size = max(round(total(stage, "bytes") / max(total(stage, "packets"), 1)), 64)
    for cost, share in _moved_shares(recording).items():
        if cost in costs:
            costs[cost] = costs[cost].plus(-share * costs["cross"].value)
    costs["deliver"] = costs["deliver"].plus(-costs["stack"].value * _supers_per_packet(sums, size))
    fixed = 0.1 * costs["decrypt"].value
    xmit = only(sums.stages, stage="tx.stage")
    batch = total(xmit, "packets") / max(total(xmit, "calls"), 1) if both else 16.0
    facts = recording.manifest.get("machine")
    facts = facts if isinstance(facts, Mapping) else {}
    online, nodes = facts.get("cpus_online"), facts.get("numa_nodes")
    cores = len(online) if isinstance(online, list) else len({int(c) for c in sums.cpus["cpu"].unique()})
    outside = _outside_share(sums)
    notes = [f"{outside * 100:.0f} % of the recorded CPU time was outside WireGuard's path and is not in the model"]
    if not both:
        notes.append("the recording has no transmit costs")
    target = recording.manifest.get("target")
    if isinstance(target, Mapping) and target.get("kind") == "lab":
        notes.append("recorded in the lab: ratios mean something, Gbit/s do not")
    return Machine(
        name,
        Costs(size, costs, Quantity(fixed, 0.0, 3 * fixed, True, "not in a recording: a tenth of decrypt"), known(1.0)),
        cores,
        0,
        len(nodes) if isinstance(nodes, Mapping) and nodes else 1,
        traffic={
            "gso": Quantity(max(batch, 1.0), max(batch / 2, 1.0), max(batch * 1.5, 1.0), not both, "segments a list"),
            "window": Quantity(256, 128, 1024, True, "between a burst and a peer's queue"),
            "rtt_us": Quantity(100, 50, 300, True, "two hosts and a switch"),
        },
        run_to_parity=_kernel(facts) >= (6, 6),
        notes=tuple(notes),
    )


def _kernel(facts: Mapping[str, Any]) -> tuple[int, int]:
    """The kernel's version, of which the scheduler's rules are; a new one if it is not known."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", str(facts.get("kernel", "")))
    return (int(found[1]), int(found[2])) if found else (7, 0)


def _moved_shares(recording: Tables) -> dict[str, float]:
    """Of the packets of a stage, by its cost, the share that another CPU had at the stage before; 1 if not known."""
    journeys = join_journeys(recording.table("journeys"))
    shares = {}
    for direction, (_, *stages) in STAGES.items():
        rows = journeys.rows_of(direction)
        for step, stage in enumerate(stages, start=1):
            seen = rows[journeys.seen[step - 1, rows] & journeys.seen[step, rows]]
            moved = journeys.cpu[step - 1, seen] != journeys.cpu[step, seen]
            shares[stage.partition(".")[2]] = float(moved.mean()) if moved.size >= _LEAST else 1.0
    return shares


def _supers_per_packet(sums: _Sums, size: int) -> float:
    """How often something went up the stack, a packet: GRO ends with the poll, and at 64 KB."""
    napi = only(sums.executions, server="rx.napi")
    packets = max(total(only(sums.stages, stage="rx.deliver"), "packets"), 1)
    return min(max((total(napi, "executions") - total(napi, "empty")) / packets, size / GSO_MAX_BYTES), 1.0)


def _outside_share(sums: _Sums) -> float:
    busy = sum(total(sums.cpus, c) for c in ("user_ns", "system_ns", "softirq_ns", "irq_ns"))
    path = total(sums.stages, "service_ns") + total(sums.executions, "busy_ns") + total(sums.cpus, "probe_net_rx_ns")
    return max(1 - path / busy, 0.0) if busy else 0.0
