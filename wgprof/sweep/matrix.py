"""What is to be swept: values for every axis, and how each recording is made."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from wgprof.errors import UsageError
from wgprof.lab.recipe import DEFAULT_KERNEL
from wgprof.lab.tunnel import DEFAULT_MTU, LEAST_MTU, MOST_MTU, NO_WORK, serial_work_of
from wgprof.lab.workload import MAX_TUNNELS
from wgprof.sweep.configuration import AXES, COMPARED, DISTRIBUTION, Configuration

#: As a value of `lab_crypto`: real encryption.
OFF = "off"
MOST_RUNS, MOST_REPEATS, MOST_SEED = 2000, 100, 2**31
MOST_CPUS = 64
SHORTEST_S, LONGEST_S = 1.0, 3600.0
#: A recording's boot, tunnels, probes and file, before any has been measured.
SETUP_S, TUNNEL_S = 14.0, 0.5
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True)
class Matrix:
    """Values for every axis; all combinations that can be are recorded, `repeats` times.

    With `one_at_a_time` only those that differ from the first value of at most one axis; modules, threaded or not, are
    what is compared, so each has all of these.
    """

    tunnels: tuple[int, ...] = (1,)
    cpus: tuple[int, ...] = (2,)
    module: tuple[str, ...] = (DISTRIBUTION,)
    threaded: tuple[bool, ...] = (False,)
    workload: tuple[str, ...] = ("tcp",)
    lab_crypto: tuple[float | None, ...] = (None,)
    kernel: tuple[str, ...] = (DEFAULT_KERNEL,)
    mtu: tuple[int, ...] = (DEFAULT_MTU,)
    serial_work: tuple[str, ...] = (NO_WORK,)
    one_at_a_time: bool = False
    duration: float = 10.0
    repeats: int = 3
    seed: int = 1
    interval_ms: int = 100
    sample: int = 0  # journeys: one packet in N; 0 chooses
    detail: bool = False

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Those that can be."""
        return tuple(c for c in self._combinations() if not c.why_impossible)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why combinations of the matrix cannot be, each reason once."""
        return tuple(dict.fromkeys(c.why_impossible for c in self._combinations() if c.why_impossible))

    def _combinations(self) -> Iterator[Configuration]:
        if not self.one_at_a_time:
            yield from self._product(AXES, {})
            return
        others = [axis for axis in AXES if axis not in COMPARED]
        for first in self._product(COMPARED, {axis: getattr(self, axis)[0] for axis in others}):
            yield first
            for axis in others:
                yield from (replace(first, **{axis: value}) for value in getattr(self, axis)[1:])

    def _product(self, axes: Sequence[str], rest: Mapping[str, Any]) -> Iterator[Configuration]:
        """All combinations of the values of some axes, with those of the rest."""
        for values in itertools.product(*(getattr(self, axis) for axis in axes)):
            yield Configuration(**dict(zip(axes, values, strict=True)), **rest)

    @property
    def _count(self) -> int:
        """How many combinations there are."""
        compared = math.prod(len(getattr(self, axis)) for axis in COMPARED)
        others = [len(getattr(self, axis)) for axis in AXES if axis not in COMPARED]
        return compared * (1 + sum(n - 1 for n in others) if self.one_at_a_time else math.prod(others))

    def require_possible(self) -> None:
        """Raises UsageError, naming the field, where a value has no combination that can be, or there are too many."""
        combinations = self._count
        runs = combinations * self.repeats
        if runs > MOST_RUNS:
            raise UsageError(
                f"{combinations} combinations, {self.repeats} repeats each, are {runs} recordings",
                f"At most {MOST_RUNS} go into one sweep.",
            )
        possible = self.configurations
        seen = {axis: {getattr(c, axis) for c in possible} for axis in AXES}
        for combination in self._combinations():
            if any(getattr(combination, axis) not in seen[axis] for axis in AXES):
                raise UsageError(combination.why_impossible, "Leave one of them out, or give the other more values.")

    def order(self) -> list[tuple[int, Configuration]]:
        """Repeat and configuration of each recording, in order: every repeat has all, in an order of its own."""
        found = []
        configurations = self.configurations
        for repeat in range(1, self.repeats + 1):
            shuffled = np.random.default_rng([self.seed, repeat]).permutation(len(configurations))
            found += [(repeat, configurations[number]) for number in shuffled]
        return found

    def document(self) -> dict[str, Any]:
        """As in a TOML and in sweep.json."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        values["lab_crypto"] = [OFF if share is None else share for share in self.lab_crypto]
        return values

    @property
    def key(self) -> str:
        """Eight digits that are the same for the same matrix."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:8]


def expected_s(matrix: Matrix, configuration: Configuration) -> float:
    """How long a recording takes, when none has been made yet."""
    return SETUP_S + TUNNEL_S * configuration.tunnels + matrix.duration


def matrix_of(values: Mapping[str, object], where: str) -> Matrix:
    """A matrix out of TOML, JSON or options: a single value counts as a list of one.

    Raises UsageError, naming the field, for what is unknown, of the wrong kind or out of bounds.
    """
    known = {f.name for f in fields(Matrix)}
    for name in values:
        if name not in known:
            raise UsageError(f"{where} has {name!r:.60}", f"It can have {', '.join(sorted(known))}.")
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name in AXES:
            listed = value if isinstance(value, list | tuple) else [value]
            if not 1 <= len(listed) <= MOST_RUNS:
                raise UsageError(f"{name} in {where} has no value, or too many", "List one or more.")
            given[name] = tuple(dict.fromkeys(_axis_value(name, item, where) for item in listed))
        else:
            given[name] = _setting(name, value, where)
    matrix = Matrix(**given)
    matrix.require_possible()
    return matrix


def _axis_value(name: str, value: object, where: str) -> int | float | bool | str | None:
    if name in ("tunnels", "cpus"):
        return _number(name, value, 1, MAX_TUNNELS if name == "tunnels" else MOST_CPUS, where)
    if name == "mtu":
        return _number(name, value, LEAST_MTU, MOST_MTU, where)
    if name == "serial_work":
        try:
            serial_work_of(value if isinstance(value, str) else "")
        except UsageError as error:
            raise _wrong(name, value, f"{NO_WORK}, or work in a stage such as tx.send:3000", where) from error
        return str(value)
    if name == "threaded":
        return _flag(name, value, where)
    if name == "lab_crypto":
        if value == OFF:
            return None
        if type(value) is float and 0 < value < 1:
            return value
        raise _wrong(name, value, f"a share such as 0.3, or {OFF}", where)
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    raise _wrong(name, value, "a name", where)


def _setting(name: str, value: object, where: str) -> int | float | bool:
    match name:
        case "duration":
            if type(value) in (int, float) and SHORTEST_S <= float(str(value)) <= LONGEST_S:
                return float(str(value))
            raise _wrong(name, value, f"a number of seconds from {SHORTEST_S:g} to {LONGEST_S:g}", where)
        case "repeats":
            return _number(name, value, 1, MOST_REPEATS, where)
        case "seed":
            return _number(name, value, 0, MOST_SEED, where)
        case "interval_ms":
            return _number(name, value, 10, 10_000, where)
        case "sample":
            return _number(name, value, 0, 1 << 30, where)
        case _:
            return _flag(name, value, where)


def _number(name: str, value: object, low: int, high: int, where: str) -> int:
    if type(value) is int and low <= value <= high:
        return value
    raise _wrong(name, value, f"a number from {low} to {high}", where)


def _flag(name: str, value: object, where: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(name, value, "yes or no (in a file: true or false)", where)


def _wrong(name: str, value: object, wanted: str, where: str) -> UsageError:
    return UsageError(f"{name} in {where} is {ascii(value)[:40]}, not {wanted}")
