"""sweep.json: what was swept, in which order, and how far it got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wgprof.errors import UsageError
from wgprof.lab.tunnel import DEFAULT_MTU, NO_WORK
from wgprof.recording.untrusted import MAX_INT, Damage, integer, items, mapping, text
from wgprof.recording.writer import this_version
from wgprof.sweep.configuration import Configuration, varying
from wgprof.sweep.matrix import MOST_RUNS, Matrix, matrix_of

MAGIC = "wgprof sweep"
VERSION = 1
WAITING, DONE, FAILED = "waiting", "done", "failed"
_STATES = (WAITING, DONE, FAILED)
_LONGEST_REASON = 1000


@dataclass(frozen=True)
class Run:
    """One recording of a sweep, the `number`th (from 1) to be made."""

    number: int
    repeat: int  # from 1
    configuration: Configuration
    state: str = WAITING
    attempts: int = 0
    seconds: float = 0.0  # it took, with boot and tunnels; 0: not known
    reason: str = ""  # why it failed, the last time

    @property
    def member(self) -> str:
        """The name of its recording in the sweep's file."""
        return member_of(self.number)


def member_of(number: int) -> str:
    return f"recordings/{number:04d}.wgprof"


@dataclass(frozen=True)
class Sweep:
    """A sweep and its state."""

    matrix: Matrix
    created: str  # ISO 8601, UTC
    runs: tuple[Run, ...]
    writer_version: str = ""

    @classmethod
    def of(cls, matrix: Matrix, created: str) -> Sweep:
        """One that has not begun."""
        order = enumerate(matrix.order(), start=1)
        return cls(matrix, created, tuple(Run(number, repeat, c) for number, (repeat, c) in order), this_version())

    def having(self, run: Run) -> Sweep:
        """The same with a run changed."""
        return replace(self, runs=tuple(run if r.number == run.number else r for r in self.runs))

    def in_state(self, *states: str) -> tuple[Run, ...]:
        """The runs in one of some states, in order."""
        return tuple(run for run in self.runs if run.state in states)

    @property
    def axes(self) -> tuple[str, ...]:
        """What differs between its configurations."""
        return varying(self.matrix.configurations)

    def document(self) -> dict[str, Any]:
        """The content of sweep.json."""
        return {
            "magic": MAGIC,
            "version": VERSION,
            "writer_version": self.writer_version,
            "created": self.created,
            "matrix": self.matrix.document(),
            "runs": [{**asdict(run), "recording": run.member if run.state == DONE else ""} for run in self.runs],
        }


def sweep_of(document: Mapping[str, Any]) -> Sweep:
    """Read sweep.json, which may come from anybody.  Raises Damage.

    The matrix, its bounds checked, says which runs there are; the file says in which order, and what became of them.
    """
    version = document.get("version")
    if document.get("magic") != MAGIC:
        raise Damage("its sweep.json is of something else")
    if type(version) is not int or version != VERSION:
        raise Damage("it was written by another version of wgprof")
    try:
        matrix = matrix_of(mapping(document.get("matrix"), "matrix"), "sweep.json")
    except UsageError as error:
        raise Damage(error.sentence) from error
    listed = items(document.get("runs"), "runs", MOST_RUNS)
    runs = tuple(_run(number, item) for number, item in enumerate(listed, start=1))
    expected = {(repeat, configuration) for repeat, configuration in matrix.order()}
    if len(runs) != len(expected) or {(run.repeat, run.configuration) for run in runs} != expected:
        raise Damage("its runs are not those of its matrix")
    created, writer = (text(document.get(key), key, 40) for key in ("created", "writer_version"))
    return Sweep(matrix, created, runs, writer)


def _run(number: int, item: object) -> Run:
    values = mapping(item, "run")
    state = text(values.get("state"), "state")
    if state not in _STATES:
        raise Damage(f"state is {ascii(state)[:40]}")
    if integer(values.get("number"), "number") != number:
        raise Damage("its runs are not in order")
    seconds = values.get("seconds")
    if type(seconds) not in (int, float) or not 0 <= float(str(seconds)) <= MAX_INT:
        raise Damage("seconds is not a number")
    return Run(
        number,
        integer(values.get("repeat"), "repeat"),
        _configuration(mapping(values.get("configuration"), "configuration")),
        state,
        integer(values.get("attempts"), "attempts", 0, 1000),
        float(str(seconds)),
        text(values.get("reason"), "reason", _LONGEST_REASON),
    )


def _configuration(values: Mapping[str, Any]) -> Configuration:
    """Only its kinds are checked: it has to be one of the matrix."""
    share = values.get("lab_crypto")
    threaded = values.get("threaded")
    if not isinstance(threaded, bool) or not (share is None or isinstance(share, float)):
        raise Damage("threaded or lab_crypto of a configuration is of the wrong kind")
    return Configuration(
        integer(values.get("tunnels"), "tunnels"),
        integer(values.get("cpus"), "cpus"),
        text(values.get("module"), "module"),
        threaded,
        text(values.get("workload"), "workload"),
        share,
        text(values.get("kernel"), "kernel"),
        integer(values.get("mtu", DEFAULT_MTU), "mtu"),
        text(values.get("serial_work", NO_WORK), "serial_work"),
    )
