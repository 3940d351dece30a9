"""What perf saw in its window: PERF frames to the tables `stacks`, `perf_stat` and `kwork`.

A PERF payload is the length of a JSON object in four bytes, the object, and text.  `part` says what the
text is a piece of: `begin` and `end` have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from wgprof.perf.kwork import parse_latency
from wgprof.perf.script import ScriptParser
from wgprof.perf.stacks import StackCounts
from wgprof.perf.stat import parse_stat
from wgprof.perf.state import OK, Run, State, classify, without_names
from wgprof.recording.schema import MAX_CPUS, MAX_STRING
from wgprof.recording.untrusted import MAX_JSON, Damage, integer, items, mapping, parse_object, text

#: The output of stat and kwork is a line for each CPU and event.
_MAX_TEXT = 16 << 20
_MAX_PARTS = 100
_SHOWN = ("stat", "kwork")


class SampledTables:
    """Takes PERF payloads with `add`; after `finish` has the rows of the tables, and how perf fared."""

    def __init__(self, interfaces: Iterable[str] = ()) -> None:
        self.states: list[State] = []
        self._begin: dict[str, Any] = {}
        self._dt_ns = 0
        self._runs: list[Run] = []
        self._parser = ScriptParser()
        self._stacks = StackCounts(list(interfaces))
        self._text: dict[str, list[bytes]] = {part: [] for part in _SHOWN}
        self._size = 0

    def add(self, payload: bytes) -> None:
        """Take in a frame.  Raises Damage."""
        length = int.from_bytes(payload[:4], "little")
        if len(payload) < 4 or length > min(len(payload) - 4, MAX_JSON):
            raise Damage("a frame of perf ends inside its JSON")
        head, rest = parse_object(payload[4 : 4 + length], "a frame of perf"), payload[4 + length :]
        part = text(head.get("part"), "a part of perf")
        if part == "begin":
            self._take_begin(head)
        elif part == "end":
            self._take_end(head)
        elif part == "stacks":
            for sample in self._parser.feed(rest):
                self._stacks.add(sample)
        elif part in self._text:
            self._size += len(rest)
            if self._size > _MAX_TEXT:
                raise Damage(f"perf printed more than {_MAX_TEXT} bytes")
            self._text[part].append(rest)
        else:
            raise Damage(f"perf has no part {ascii(part)[:40]}")

    def _take_begin(self, head: Mapping[str, Any]) -> None:
        if self._begin:
            raise Damage("a second window of perf")
        self._begin = {
            "t_ns": integer(head.get("t_ns"), "the start of perf's window"),
            "version": text(head.get("version", ""), "perf's version", 200).removeprefix("perf version "),
            "sample_event": text(head.get("event", ""), "perf's event", 200),
            "sample_hz": integer(head.get("hz", 0), "perf's rate", high=1_000_000),
            "seconds": integer(round(_number(head.get("seconds"))), "perf's window", high=1_000_000),
        }

    def _take_end(self, head: Mapping[str, Any]) -> None:
        self._dt_ns = integer(head.get("dt_ns"), "the length of perf's window")
        for value in items(head.get("outcomes", []), "perf's outcomes", _MAX_PARTS):
            run = mapping(value, "an outcome of perf")
            self._runs.append(
                Run(
                    text(run.get("part"), "a part of perf", 40),
                    integer(run.get("exit_code"), "perf's exit code", high=1 << 32),
                    text(run.get("stderr", ""), "perf's words"),
                    bool(run.get("stopped")),
                    bool(run.get("truncated")),
                )
            )

    def finish(self) -> None:
        """No more frames will come."""
        for sample in self._parser.close():
            self._stacks.add(sample)
        nameless = without_names(self._stacks.samples, self._stacks.unresolved)
        for run in self._runs:
            state = classify(run)
            self.states.append(nameless if nameless and run.part == "stacks" and state.state == OK else state)

    @property
    def wanting(self) -> list[State]:
        """The parts that did not go well."""
        return [state for state in self.states if state.state != OK]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of the tables."""
        # A recording that was cut off has a window without an end.
        when = {
            "t_ns": self._begin.get("t_ns", 0),
            "dt_ns": max(self._dt_ns or self._begin.get("seconds", 0) * 1_000_000_000, 1),
        }
        stacks = [
            {
                **when,
                "cpu": row.cpu,
                "thread": row.thread,
                "stack": row.folded[: MAX_STRING // 4],
                "samples": row.samples,
            }
            for row in self._stacks.rows()
            if row.cpu < MAX_CPUS
        ]
        counters = [
            {**when, **{name: getattr(counter, name) for name in ("cpu", "event", "state", "value", "runtime_ns")}}
            for counter in parse_stat(self._joined("stat")).counters
            if counter.cpu < MAX_CPUS
        ]
        kwork = [
            {"cpu": row.cpu, "kind": row.kind, "name": row.name, "count": row.count,
             "delay_mean_ns": row.mean_ns, "delay_max_ns": row.max_ns}
            for row in parse_latency(self._joined("kwork"))
            if row.is_wireguards and row.cpu < MAX_CPUS
        ]  # fmt: skip
        return {"stacks": stacks, "perf_stat": counters, "kwork": kwork}

    def _joined(self, part: str) -> str:
        return b"".join(self._text[part]).decode("utf-8", "replace")

    def manifest(self) -> dict[str, Any]:
        """The manifest's object `perf`."""
        known = ("version", "sample_event", "sample_hz")
        begun: dict[str, Any] = {name: self._begin[name] for name in known if name in self._begin}
        return {**begun, "samples": self._stacks.samples, "parts": [asdict(state) for state in self.states]}


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and 0 <= value < 1e9:
        return value
    raise Damage("perf's window has no length")
