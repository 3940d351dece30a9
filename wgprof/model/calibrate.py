"""A machine description out of a recording: what was measured, and what had to be assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wgprof.analysis.histogram import counts_of
from wgprof.analysis.journeys import join_journeys
from wgprof.analysis.tables import STAGES, Tables, only, total
from wgprof.analysis.variant import variant_of
from wgprof.analysis.window import active_window
from wgprof.errors import RecordingError
from wgprof.model.costs import OF_BYTES, Costs, Quantity, known
from wgprof.model.ends import costs_of_ends
from wgprof.model.limits import GSO_MAX_BYTES
from wgprof.model.machine import Machine, read_machine
from wgprof.model.machines import shipped
from wgprof.model.parting import LEAST, part_delivery, part_softirqs, table_of
from wgprof.model.sums import Sums, data_and_acknowledgements, sums_of

#: What no recording shows; taken from the public description, in proportion to how fast a packet is received here.
_ASSUMED = ("wake", "switch", "hold", "transfer", "cross")
#: So much of a stage at most is that another CPU had the packet before.
_MOST_CROSS = {"decrypt": 0.3, "deliver": 0.3}


#: Costs of stages in which an acknowledgement has as much done to it as data has, but for its bytes.
_SAME_WORK = {"receive": "rx.receive", "send": "tx.send"}


@dataclass(frozen=True)
class _Of:
    """A recording's sums: of all packets, of data, of acknowledgements; and how many GRO made of a packet of data."""

    all: Sums
    data: Sums
    acks: Sums
    size: int
    supers_per_packet: float
    around_packet: Quantity  # softirqs, ns
    around_poll: Quantity


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
    sums = sums_of(recording, window)
    data, acks = data_and_acknowledgements(sums)
    received, sent = data.packets("rx.decrypt"), data.packets("tx.encrypt")
    if received < LEAST:
        raise RecordingError(
            f"{name} has {received} packets of stage rx.decrypt in its table stages, too few to calibrate with",
            f"Record the receiving end, with at least {LEAST} packets.",
        )
    both = sent >= LEAST
    size = min(max(round(data.size("rx.deliver")), 64), GSO_MAX_BYTES)
    of = _Of(sums, data, acks, size, _supers_per_packet(data, size), *part_softirqs(sums))
    costs = _receive_costs(of, name)
    costs |= _transmit_costs(data, costs["consume"].value, name) if both else {}
    scale = costs["receive"].value / read_machine(shipped("xeon-e5-2660v3")).costs.costs["receive"].value
    costs |= _assumed(scale, costs)
    return _machine(recording, of, costs, name, both=both)


def _receive_costs(of: _Of, name: str) -> dict[str, Quantity]:
    data = of.data
    receive = _service(data, "rx.receive", name)
    handoff = receive.scaled(0.5)
    polls, empty = data.server("rx.napi", "executions"), data.server("rx.napi", "empty")
    if polls <= empty:
        raise RecordingError(
            f"{name} has no rx.napi that delivered anything in its table executions",
            "Record with all probes attached: `wgprof doctor` says what is missing.",
        )
    setup = (data.server("rx.napi", "busy_ns") - data.server("rx.napi", "empty_ns")) / (polls - empty)
    wasted = data.server("rx.napi", "empty_ns") / empty if empty else 0.25 * setup
    deliver = _service(data, "rx.deliver", name)
    parted = part_delivery(data, of.supers_per_packet)
    return {
        "receive": replace(receive.scaled(0.5), why="half of rx.receive, and the softirqs in front of it")
        .plus(of.around_packet.value),
        "handoff": replace(handoff, low=receive.low * 0.2, high=receive.high * 0.8, assumed=True,
                           why="half of rx.receive; the recording does not part it"),
        "decrypt": _service(data, "rx.decrypt", name),
        **({"deliver": parted[0], "stack": parted[1]} if parted else {"deliver": deliver}),
        "softirq": of.around_poll,
        "poll_setup": _about(setup, "rx.napi: busy time of polls that delivered, beside rx.deliver"),
        "poll_empty": _about(wasted, "rx.napi: time in empty polls" if empty else "a quarter of poll_setup"),
        **_worker_costs(data),
        "work": _per_empty(of.all, "decrypt.work"),
    }  # fmt: skip


def _worker_costs(data: Sums) -> dict[str, Quantity]:
    """A decrypt worker's time beside its packets, and of that what softirqs at its unlock cost it."""
    loop = _per_packet(data, "decrypt.work")
    server = "decrypt.work: busy time outside of the stage"
    if total(data.softirq_polls, "executions") < LEAST:
        twice = Quantity(
            loop.value, 0.0, 2 * loop.value, True, f"as much as {server}, which had no softirqs with polls"
        )
        return {"consume": loop, "unlock": twice}
    half, why = 0.5 * loop.value, f"half of {server}; the recording does not part it"
    return {
        "consume": Quantity(half, 0.4 * half, 2 * half, True, why),
        "unlock": Quantity(half, 0.0, 1.6 * half, True, why),
    }


def _transmit_costs(sums: Sums, consume_ns: float, name: str) -> dict[str, Quantity]:
    stage = only(sums.stages, stage="tx.stage")
    packets, calls, spent = (total(stage, column) for column in ("packets", "calls", "service_ns"))
    half = spent / 2
    why = "half of tx.stage; the recording does not part what a list costs from what a segment costs"

    def with_loop(stage: str, server: str) -> Quantity:
        """A worker's loop around segments is a part of what they cost; that around lists is a cost of its own."""
        loop = max(_per_packet(sums, server).value - consume_ns * calls / max(packets, 1), 0.0)
        return replace(_service(sums, stage, name).plus(loop), why=f"measured: {stage}, and {server} around it")

    return {
        "encrypt": with_loop("tx.encrypt", "encrypt.work"),
        "send": with_loop("tx.send", "tx.work"),
        "stage": Quantity(half / max(calls, 1), 0.5 * half / max(calls, 1), 1.5 * half / max(calls, 1), True, why),
        "segment": Quantity(
            half / max(packets, 1), 0.5 * half / max(packets, 1), 1.5 * half / max(packets, 1), True, why
        ),
    }


def _service(sums: Sums, stage: str, name: str) -> Quantity:
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
    return quantity if counts.sum() < LEAST else replace(quantity, shape="table", table=table_of(counts))


def _per_packet(sums: Sums, server: str) -> Quantity:
    rows = only(sums.executions, server=server)
    spent = total(rows, "busy_ns") - total(rows, "empty_ns")
    return _about(max(spent, 0) / max(total(rows, "packets"), 1), f"{server}: busy time outside of the stage")


def _per_empty(sums: Sums, server: str) -> Quantity:
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
    # What crosses CPUs is in the measured stages; it is only moved out of them, as is what goes up the stack if the
    # recording does not show that.
    found["cross"] = _within(found["cross"], min(share * measured[name].value for name, share in _MOST_CROSS.items()))
    if "stack" not in measured:
        stack = replace(public["stack"].scaled(scale), assumed=True, why=why)
        found["stack"] = _within(stack, 0.5 * measured["deliver"].value)
    return found


def _within(part: Quantity, most: float) -> Quantity:
    return replace(part, value=min(part.value, most), low=0.0, high=max(min(part.high, most), min(part.value, most)))


def _machine(recording: Tables, of: _Of, costs: dict[str, Quantity], name: str, *, both: bool) -> Machine:
    sums = of.all
    for cost, share in _moved_shares(recording).items():
        if cost in costs:
            costs[cost] = costs[cost].plus(-share * costs["cross"].value)
    if costs["stack"].assumed:
        costs["deliver"] = costs["deliver"].plus(-costs["stack"].value * of.supers_per_packet)
    xmit = only(of.data.stages, stage="tx.stage")
    batch = total(xmit, "packets") / max(total(xmit, "calls"), 1) if both else 16.0
    facts = recording.manifest.get("machine")
    facts = facts if isinstance(facts, Mapping) else {}
    online, nodes = facts.get("cpus_online"), facts.get("numa_nodes")
    cores = len(online) if isinstance(online, list) else len({int(c) for c in sums.cpus["cpu"].unique()})
    share = 100 * sums.outside_ns / max(sums.busy_ns, 1)
    notes = [f"{share:.0f} % of the recorded CPU time was outside WireGuard's path"]
    if both:
        costs |= costs_of_ends(
            sums, of.data, of.acks, of.supers_per_packet, of.around_packet.value, of.around_poll.value
        )
        notes[0] += ": a loop has it, as the two ends' own; other directions leave it out"
    else:
        notes[0] += " and is not in the model"
        notes.append("the recording has no transmit costs")
    if total(of.data.softirq_polls, "executions") < of.data.server("rx.napi", "executions") / 2:
        notes.append("recorded with threaded NAPI: without threads more is possible than is predicted from it")
    target = recording.manifest.get("target")
    if isinstance(target, Mapping) and target.get("kind") == "lab":
        notes.append("recorded in the lab: ratios mean something, Gbit/s do not")
    return Machine(
        name,
        Costs(of.size, costs, _crypto_fixed(of, costs["decrypt"].value), known(1.0), _by_bytes(of, costs)),
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
            shares[stage.partition(".")[2]] = float(moved.mean()) if moved.size >= LEAST else 1.0
    return shares


def _supers_per_packet(data: Sums, size: int) -> float:
    """How often something went up the stack, a packet: GRO ends with the poll, and at 64 KB."""
    return min(max(data.productive / max(data.packets("rx.deliver"), 1), size / GSO_MAX_BYTES), 1.0)


def _growing_ns(of: _Of, stage: str) -> float:
    """What of a stage's time a packet of data takes for its bytes, by what acknowledgements take; needs both."""
    large, small = (float(sums.service_ns(stage) / sums.packets(stage)) for sums in (of.data, of.acks))
    a_byte = (large - small) / max(of.data.size(stage) - of.acks.size(stage), 1.0)
    return max(a_byte * float(of.data.size(stage)), 0.0)


def _crypto_fixed(of: _Of, decrypt_ns: float) -> Quantity:
    """The part of decrypt that does not grow with the packet, from what acknowledgements took."""
    stage = "rx.decrypt"
    if of.acks.packets(stage) < LEAST:
        fixed = 0.1 * decrypt_ns
        return Quantity(fixed, 0.0, 3 * fixed, True, "not in a recording: a tenth of decrypt")
    mean = of.data.service_ns(stage) / of.data.packets(stage)
    fixed = min(max(mean - _growing_ns(of, stage), 0.0), decrypt_ns)
    return Quantity(
        fixed, 0.7 * fixed, min(1.3 * fixed, decrypt_ns), why=f"measured: {stage} of packets that acknowledge"
    )


def _by_bytes(of: _Of, costs: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """The shares of other costs that grow with the packet: measured where acknowledgements pass the same stage."""
    found = {}
    for name in OF_BYTES:
        stage = _SAME_WORK.get(name, "")
        if not costs.get(name, known(0.0)).value:
            continue
        if stage and min(of.acks.packets(stage), of.data.packets(stage)) >= LEAST:
            share = min(_growing_ns(of, stage) / costs[name].value, 1.0)
            why = f"measured: {stage} of packets that acknowledge"
            found[name] = Quantity(share, 0.7 * share, min(1.3 * share, 1.0), why=why)
        else:
            found[name] = Quantity(0.5, 0.0, 1.0, True, "half; the recording does not part it")
    return found
