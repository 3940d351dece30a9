"""Events of a trace in the JSON that chrome://tracing defined and ui.perfetto.dev reads as well.

Times are microseconds with their fraction; a track is a thread of a process, which here are only places to draw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Chrome's letters for a slice, a value over time, and a name for a place; of arrows: begin, go on, end.
SLICE, VALUE, NAME = "X", "C", "M"
BEGIN, ON, END = "s", "t", "f"


@dataclass(frozen=True)
class Thread:
    process: int
    number: int


@dataclass(frozen=True)
class Event:
    """One event; `fields` as the format names them."""

    fields: Mapping[str, Any]

    @property
    def line(self) -> str:
        return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def slice(cls, thread: Thread, name: str, start_ns: int, end_ns: int, args: Mapping[str, object]) -> Event:
        when = {"ts": micro(start_ns), "dur": micro(end_ns - start_ns)}
        more = {"args": dict(args)} if args else {}
        return cls({"ph": SLICE, "name": name, "pid": thread.process, "tid": thread.number, **when, **more})

    @classmethod
    def flow(cls, thread: Thread, number: int, at_ns: int, begins: bool, ends: bool) -> Event:
        """A point of an arrow: it belongs to the slice of the thread that the event follows."""
        kind = {"ph": BEGIN} if begins else {"ph": END, "bp": "e"} if ends else {"ph": ON}
        name = {"cat": "packet", "name": "packet", "id": number}
        return cls({**kind, **name, "pid": thread.process, "tid": thread.number, "ts": micro(at_ns)})

    @classmethod
    def counter(cls, process: int, name: str, at_ns: int, values: Mapping[str, float]) -> Event:
        """The value of one or more series from this moment on."""
        return cls({"ph": VALUE, "name": name, "pid": process, "ts": micro(at_ns), "args": dict(values)})


def micro(ns: int) -> float:
    """Nanoseconds as microseconds, of which three decimals are all there are."""
    return ns / 1000


class Tracks:
    """Numbers for processes and threads, each unique in the trace, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._processes: dict[str, int] = {}
        self._threads: dict[tuple[int, str], Thread] = {}

    def process(self, name: str) -> int:
        return self._processes.setdefault(name, len(self._processes) + 1)

    def thread(self, process: int, name: str) -> Thread:
        return self._threads.setdefault((process, name), Thread(process, 1001 + len(self._threads)))

    def events(self) -> Iterator[Event]:
        """What says their names and their order."""
        for name, process in self._processes.items():
            yield from _named("process", {"pid": process}, name, process)
        for (process, name), thread in self._threads.items():
            yield from _named("thread", {"pid": process, "tid": thread.number}, name, thread.number)


def _named(kind: str, place: Mapping[str, int], name: str, order: int) -> Iterator[Event]:
    yield Event({"ph": NAME, "name": f"{kind}_name", **place, "args": {"name": name}})
    yield Event({"ph": NAME, "name": f"{kind}_sort_index", **place, "args": {"sort_index": order}})
