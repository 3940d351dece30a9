"""What a prediction is told of a configuration beside its CPUs, tunnels and module: traffic, work in a stage, the dial.

The model's costs are those of one configuration, the base.  How long packets are, and how many a list, is what was
sent.  What rules in a stage cost, and what the dialled crypto, is measured in one recording: that of the configuration
that is the base in all else.  What that does to throughput, there and in all other configurations, is predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from wgprof.analysis import units
from wgprof.lab.tunnel import serial_work_of
from wgprof.model.costs import known
from wgprof.model.limits import GSO_MAX_BYTES
from wgprof.model.machine import TRAFFIC, Machine
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.figures import Row, RunFigures

#: The dial, and the stages whose cost it is.
_DIALLED = {"decrypt": "rx.decrypt", "encrypt": "tx.encrypt"}
_LEAST_PACKET = 64


@dataclass(frozen=True)
class Setting:
    """What configurations have in common that one prediction is made of."""

    workload: str
    mtu: int
    serial_work: str
    lab_crypto: float | None

    @classmethod
    def of(cls, configuration: Configuration) -> Setting:
        """That of a configuration."""
        return cls(configuration.workload, configuration.mtu, configuration.serial_work, configuration.lab_crypto)


@dataclass(frozen=True)
class Told:
    """The machine as the model is told it is, and what of that was taken from which configuration."""

    machine: Machine
    packet_bytes: int
    taken: tuple[str, ...]  # for the row of a table: "tx.send of 5"
    sentences: tuple[str, ...]


def why_not_told(setting: Setting, base: Row, rows: Sequence[Row]) -> str:
    """Why nothing is known of a setting; empty if all is that has to be."""
    mine = base.configuration
    if setting.lab_crypto != mine.lab_crypto and _like(base, rows, lab_crypto=setting.lab_crypto) is None:
        return f"what its crypto takes is not known: {base.label} was not recorded with that setting of the dial"
    if setting.serial_work != mine.serial_work and _like(base, rows, serial_work=setting.serial_work) is None:
        return f"what its work takes is not known: {base.label} was not recorded with serial-work {setting.serial_work}"
    return ""


def told(machine: Machine, setting: Setting, base: Row, rows: Sequence[Row]) -> Told:
    """The machine in a setting of which `why_not_told` says nothing."""
    mine = base.configuration
    found = Told(machine, machine.costs.packet_bytes, (), ())
    if (setting.workload, setting.mtu) != (mine.workload, mine.mtu):
        found = _as_sent(found, setting, base, rows)
    if setting.serial_work != mine.serial_work:
        donor = _like(base, rows, serial_work=setting.serial_work)
        assert donor is not None
        for text in dict.fromkeys((mine.serial_work, setting.serial_work)):
            if work := serial_work_of(text):
                found = _worked(found, work.stage, base, donor)
    if setting.lab_crypto != mine.lab_crypto:
        donor = _like(base, rows, lab_crypto=setting.lab_crypto)
        assert donor is not None
        found = _dialled(found, base, donor)
    return found if setting.lab_crypto is None else _of_any_length(found)


def _like(base: Row, rows: Sequence[Row], **changes: object) -> Row | None:
    """The configuration that is the base but for some fields, if it was recorded and something arrived."""
    wanted = replace(base.configuration, **changes)  # type: ignore[arg-type]
    return next((row for row in rows if _flowed(row) and row.configuration == wanted), None)


def _flowed(row: Row) -> bool:
    return any(run.rate_mbit_s > 0 for run in row.runs)


def _as_sent(found: Told, setting: Setting, base: Row, rows: Sequence[Row]) -> Told:
    """Packets and lists as long as the base's sender made them; as all did, if the base was not recorded with these."""
    donor = _like(base, rows, workload=setting.workload, mtu=setting.mtu)
    kind = (setting.workload, setting.mtu)
    same = [row for row in rows if _flowed(row) and (row.configuration.workload, row.configuration.mtu) == kind]
    runs = [run for row in ([donor] if donor else same) for run in row.runs]
    long, ordinary = (_mean(those, lambda run: run.packet_bytes) for those in (runs, base.runs))
    size = min(max(round(found.packet_bytes * long / ordinary), _LEAST_PACKET), GSO_MAX_BYTES)
    traffic = dict(found.machine.traffic)
    # A list that is longer than what is in flight would never be sent.
    most = traffic["window"].low if "window" in traffic else TRAFFIC["window"]
    length = min(max(_mean(runs, lambda run: run.list_packets), 1.0), most)
    traffic["gso"] = known(length, "as sent")
    where = _number(donor) if donor else " and ".join(map(_number, same))
    return replace(
        found,
        machine=replace(found.machine, traffic=traffic),
        packet_bytes=size,
        taken=(*found.taken, f"packets of {where}"),
        sentences=(
            *found.sentences,
            f"{setting.workload} with MTU {setting.mtu}: packets of {long:.0f} bytes on the mean instead of"
            f" {ordinary:.0f}, {length:.1f} a list, as sent in configuration {where}; what of the costs grows with the"
            " packet stays as calibrated",
        ),
    )


def _worked(found: Told, stage: str, base: Row, donor: Row) -> Told:
    """What a packet takes longer in a stage than in the base.  What GRO passes on goes through rules once."""
    costs = dict(found.machine.costs.costs)
    more = _service(donor, stage) - _service(base, stage)
    sentence = f"{units.duration(abs(more))} {'more' if more >= 0 else 'less'} a packet"
    if stage == "tx.send":
        costs["send"] = costs["send"].plus(more)
    else:
        here, there = (_mean(row.runs, lambda run: run.passed_on) for row in (donor, base))
        more = (more - costs["stack"].value * (here - there)) / here
        costs["stack"] = costs["stack"].plus(more)
        sentence += f", {units.duration(abs(more))} for each that GRO passes on ({here:.2f} a packet)"
    sentence = f"{donor.configuration.label(('serial_work',)) or stage}: {sentence}, as measured in configuration"
    return replace(
        found,
        machine=replace(found.machine, costs=replace(found.machine.costs, costs=costs)),
        taken=(*found.taken, f"{stage} of {_number(donor)}"),
        sentences=(*found.sentences, f"{sentence} {_number(donor)} against {_number(base)}"),
    )


def _dialled(found: Told, base: Row, donor: Row) -> Told:
    """Encryption and decryption as they were with the dial, the part that all packets have in proportion."""
    old = found.machine.costs
    costs = dict(old.costs)
    for cost, stage in _DIALLED.items():
        costs[cost] = costs[cost].plus(_service(donor, stage) - _service(base, stage))
    ratio = costs["decrypt"].value / old.costs["decrypt"].value if old.costs["decrypt"].value else 1.0
    changed = replace(old, costs=costs, crypto_fixed=old.crypto_fixed.scaled(ratio))
    times = " and ".join(
        f"{stage} {units.duration(_service(donor, stage))} instead of {units.duration(_service(base, stage))}"
        for stage in _DIALLED.values()
    )
    return replace(
        found,
        machine=replace(found.machine, costs=changed),
        taken=(*found.taken, f"crypto of {_number(donor)}"),
        sentences=(
            *found.sentences,
            f"{donor.configuration.label(('lab_crypto',))}: {times}, as measured in configuration {_number(donor)}",
        ),
    )


def _of_any_length(found: Told) -> Told:
    """With the dial a packet's crypto is a number of steps that does not depend on its length (kmod/lab)."""
    costs = found.machine.costs
    both = [costs.costs[cost] for cost in _DIALLED]
    value = max(cost.value for cost in both)
    fixed = replace(costs.crypto_fixed, value=value, low=min(cost.low for cost in both), high=value)
    return replace(found, machine=replace(found.machine, costs=replace(costs, crypto_fixed=fixed)))


def _number(row: Row) -> str:
    return str(row.number)


def _service(row: Row, stage: str) -> float:
    """Mean service time in a stage, ns a packet."""
    return _mean(row.runs, lambda run: run.service_ns.get(stage, 0.0))


def _mean(runs: Sequence[RunFigures], of: Callable[[RunFigures], float]) -> float:
    return sum(of(run) for run in runs) / len(runs)
