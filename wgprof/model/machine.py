"""A machine description: costs, hardware and traffic, each value with its range and reason."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wgprof.errors import UsageError
from wgprof.model.costs import MEANINGS, OF_BYTES, SHAPES, Costs, Quantity, known
from wgprof.model.scenario import Scenario

#: What a file may say of the traffic and the hardware, and what a scenario has otherwise.
TRAFFIC = {
    "gso": 45.0,
    "flows": 1.0,
    "window": 2048.0,
    "rtt_us": 100.0,
    "link_gbit_s": 0.0,
    "nic_limit": 1024.0,
}
_COUNTS = ("gso", "flows", "window", "nic_limit")
_MACHINE = (
    "cores", "rss_queues", "nodes", "numa_factor", "spread", "far_end",
    "shared_device", "fair_softirqs", "run_to_parity",
)  # fmt: skip
_TOP = ("name", "version", "packet_bytes", "costs", "bytes", "machine", "traffic")
_KEYS = ("value", "range", "assumed", "why", "shape", "quantiles")
VERSION = 1


@dataclass(frozen=True)
class Machine:
    """Everything a prediction needs to know, whether from a recording or from a file."""

    name: str
    costs: Costs
    cores: int = 0  # 0: not known
    rss_queues: int = 0
    nodes: int = 1
    spread: str = "hash"
    shared_device: bool = False
    fair_softirqs: bool = False  # the kernel is older than 6.4
    run_to_parity: bool = False  # the kernel is 6.6 or newer
    far_end: str = "fast"  # who sends to us: somebody who is never the limit, or the same machine and module
    direction: str = "rx"
    traffic: Mapping[str, Quantity] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, quantity in self.traffic.items():
            quantity.check(f"traffic.{name}")

    def parameters(self) -> dict[str, Quantity]:
        """Every parameter by its full name, as in a file."""
        return {**self.costs.parameters(), **{f"traffic.{name}": q for name, q in self.traffic.items()}}

    def at(self, parameter: str, value: float) -> Machine:
        """With one parameter at another value."""
        name = parameter.removeprefix("traffic.")
        if name != parameter:
            return replace(self, traffic={**self.traffic, name: self.traffic[name].at(value)})
        return replace(self, costs=self.costs.at(parameter, value))

    def scenario(self, cores: int, tunnels: int, module: str, threaded: bool, direction: str, size: int) -> Scenario:
        """A scenario on this machine.  Raises UsageError if the machine cannot be that."""
        values = {name: self.traffic[name].value if name in self.traffic else v for name, v in TRAFFIC.items()}
        counts = {name: max(round(values[name]), 1) for name in _COUNTS}
        return Scenario(
            cores,
            tunnels,
            module,
            threaded,
            direction,
            rss_queues=self.rss_queues,
            nodes=min(self.nodes, cores),
            spread=self.spread,
            shared_device=self.shared_device,
            fair_softirqs=self.fair_softirqs,
            run_to_parity=self.run_to_parity,
            packet_bytes=size,
            rtt_us=values["rtt_us"],
            link_gbit_s=values["link_gbit_s"],
            sender_ns=self._sender_ns(module, counts, size) if direction == "rx" and self.far_end == "same" else 0.0,
            gso=counts["gso"],
            flows=counts["flows"],
            window=counts["window"],
            nic_limit=counts["nic_limit"],
        )

    def _sender_ns(self, module: str, counts: Mapping[str, int], size: int) -> float:
        """What a tunnel's packet takes at the far end's stage that does one at a time."""
        self.costs.require("tx")
        ns = {name: self.costs.ns(name, size) for name in ("stage", "segment", "encrypt", "send", "consume", "handoff")}
        xmit = ns["stage"] / counts["gso"] + ns["segment"]
        if module == "inline":
            # All of it in the sender's context; several flows may have several CPUs.
            return (xmit + ns["encrypt"] + ns["send"]) / counts["flows"]
        return max(ns["send"] + ns["consume"] / counts["gso"], xmit + ns["handoff"] / counts["gso"])


def read_machine(path: Path) -> Machine:
    """Read a machine description (docs/predict.md).  Raises UsageError, naming the field that is wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path} could not be read: {why}", "Check the path.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", "docs/predict.md shows one.") from error
    try:
        return machine_of(document)
    except UsageError as error:
        raise UsageError(f"{path}: {error.sentence}", error.remedy) from error


def machine_of(document: Mapping[str, Any]) -> Machine:
    """A machine from a parsed file."""
    _only(document, _TOP, "")
    if document.get("version") != VERSION:
        raise UsageError(f"version is {document.get('version')!r}, and must be {VERSION}", "See docs/predict.md.")
    costs, shares, machine, traffic = (_table(document, name) for name in ("costs", "bytes", "machine", "traffic"))
    _only(costs, (*MEANINGS, "crypto_fixed"), "costs.")
    _only(shares, OF_BYTES, "bytes.")
    _only(machine, _MACHINE, "machine.")
    _only(traffic, tuple(TRAFFIC), "traffic.")
    found = {name: _quantity(costs[name], f"costs.{name}") for name in costs}
    fixed = found.pop("crypto_fixed", known(0.0))
    numa = _quantity(machine.get("numa_factor", 1.0), "machine.numa_factor")
    far_end = machine.get("far_end", "fast")
    if far_end not in ("fast", "same"):
        raise UsageError(f"machine.far_end is {far_end!r}, and must be fast or same")
    spread = machine.get("spread", "hash")
    if spread not in ("hash", "even"):
        raise UsageError(f"machine.spread is {spread!r}, and must be hash or even")
    return Machine(
        str(document.get("name", "unnamed")),
        Costs(
            _count(document, "packet_bytes", ""),
            found,
            fixed,
            numa,
            {name: _quantity(shares[name], f"bytes.{name}") for name in shares},
        ),
        _count(machine, "cores", "machine.", 0),
        _count(machine, "rss_queues", "machine.", 0),
        _count(machine, "nodes", "machine.", 1),
        spread,
        _flag(machine, "shared_device"),
        _flag(machine, "fair_softirqs"),
        _flag(machine, "run_to_parity"),
        far_end,
        "rx",
        {name: _quantity(value, f"traffic.{name}") for name, value in traffic.items()},
    )


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, Mapping):
        raise UsageError(f"{name} is not a table", f"Write [{name}.NAME], as docs/predict.md shows.")
    return table


def _only(table: Mapping[str, Any], names: tuple[str, ...], prefix: str) -> None:
    for name in table:
        if name not in names:
            raise UsageError(f"{prefix}{name} is not known", f"Known are {', '.join(names)}.")


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} is not a number", "Costs are nanoseconds.")
    return float(value)


def _count(table: Mapping[str, Any], name: str, prefix: str, default: int | None = None) -> int:
    value = table.get(name, default)
    if value is None:
        raise UsageError(f"{prefix}{name} is missing", "See docs/predict.md.")
    if isinstance(value, bool) or not isinstance(value, int) or value < (0 if default == 0 else 1):
        raise UsageError(f"{prefix}{name} is {value!r}, and must be a whole number above 0")
    return value


def _flag(machine: Mapping[str, Any], name: str) -> bool:
    value = machine.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"machine.{name} is {value!r}, and must be true or false")
    return value


def _quantity(value: object, name: str) -> Quantity:
    """A number, or a table with `value`, `range`, `assumed`, `why`, and of a cost `shape` or `quantiles`."""
    if not isinstance(value, Mapping):
        return known(_number(value, name))
    _only(value, _KEYS, f"{name}.")
    if "value" not in value:
        raise UsageError(f"{name}.value is missing", "In nanoseconds, if it is a cost.")
    mean = _number(value["value"], f"{name}.value")
    span = value.get("range", [mean, mean])
    if not isinstance(span, list) or len(span) != 2:
        raise UsageError(f"{name}.range is not a pair of numbers", "As in range = [800, 1200].")
    low, high = (_number(edge, f"{name}.range") for edge in span)
    shape = value.get("shape", "table" if "quantiles" in value else "constant")
    if shape not in SHAPES:
        raise UsageError(f"{name}.shape is {shape!r}", f"It must be one of {', '.join(SHAPES)}.")
    table = tuple(_number(q, f"{name}.quantiles") for q in value.get("quantiles", ()))
    if any(q < 0 for q in table) or (shape == "table") != bool(table) or (table and sum(table) <= 0):
        raise UsageError(f"{name}.quantiles are inconsistent", "They are at equal steps, none negative, not all 0.")
    mean_of_table = sum(table) / len(table) if table else 1.0
    return Quantity(
        mean,
        low,
        high,
        bool(value.get("assumed", False)),
        str(value.get("why", "")),
        shape,
        tuple(q / mean_of_table for q in table),
    )
