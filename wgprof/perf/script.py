"""Sampled stacks: the output of `perf script -F comm,tid,cpu,time,ip,sym,dso`, as it streams in.

A sample is a line with the thread, the CPU and the time, then a line for each function from the
innermost to the outermost, then an empty line:

    ksoftirqd/1 22 [001]  1139.954369:
            ffffffffc0a1b2c3 wg_packet_rx_poll ([wireguard])
            ffffffff821ef691 __napi_poll ([kernel.kallsyms])
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

#: perf's own limit, PERF_MAX_STACK_DEPTH (include/uapi/linux/perf_event.h).
MAX_DEPTH = 127
MAX_NAME = 128
#: A longer line is not perf's; the rest of it is thrown away.
_MAX_LINE = 4096
#: The thread's number and the CPU; the repetitions are bounded, so that no line takes long to search.
_HEAD = re.compile(r"\s-?\d{1,10}(?:/\d{1,10})?\s{1,8}\[(\d{1,5})\]")
#: Seconds of perf's own clock: as many as 64 bits of nanoseconds hold.
_TIME = re.compile(r"\s*(\d{1,11})\.(\d{1,9}):")
_HEX = frozenset("0123456789abcdef")
UNKNOWN = "[unknown]"


@dataclass(frozen=True)
class Function:
    """A function in a stack; `module` is `wireguard` for [wireguard] and for a path to wireguard.ko."""

    name: str
    module: str = ""


@dataclass(frozen=True)
class Sample:
    """What a CPU was doing at a moment: the stack from the outermost function to the innermost."""

    thread: str
    cpu: int
    stack: tuple[Function, ...] = ()
    t_ns: int | None = None  # of perf's own clock


@dataclass
class ScriptParser:
    """Takes the output in pieces of any size with `feed`; ends it with `close`.  `skipped` counts odd lines."""

    skipped: int = 0
    _rest: bytes = b""
    _overlong: bool = False
    _head: tuple[str, int, int | None] | None = None
    _frames: list[Function] = field(default_factory=list)

    def feed(self, data: bytes) -> Iterator[Sample]:
        """The samples that are complete with this piece."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            overlong, self._overlong = self._overlong, False
            if not overlong:
                yield from self._line(line[:_MAX_LINE].decode("utf-8", "replace"))
        if len(rest) > _MAX_LINE:
            # Not kept, so that a stream without an end of line takes no memory.
            self.skipped += not self._overlong
            self._overlong, rest = True, b""
        self._rest = rest

    def close(self) -> Iterator[Sample]:
        """The last sample, if the output did not end with an empty line."""
        yield from self.feed(b"\n\n")

    def _line(self, line: str) -> Iterator[Sample]:
        if not line.strip():
            yield from self._finish()
            return
        function = parse_function(line) if line[0].isspace() and self._head else None
        if function is not None:
            self._add(function)
            return
        head = _HEAD.search(line)
        if head is None or not line[: head.start()].strip():
            self.skipped += 1
            return
        yield from self._finish()
        time = _TIME.match(line, head.end())
        t_ns = int(time[1]) * 1_000_000_000 + int(time[2].ljust(9, "0")) if time else None
        self._head = line[: head.start()].strip(), int(head[1]), t_ns
        # A sample without a call chain has its one function on the same line.
        self._add(parse_function(line[time.end() if time else head.end() :]))

    def _add(self, function: Function | None) -> None:
        if function is not None and len(self._frames) < MAX_DEPTH:
            self._frames.append(function)

    def _finish(self) -> Iterator[Sample]:
        if self._head is not None:
            thread, cpu, t_ns = self._head
            yield Sample(thread[:MAX_NAME], cpu, tuple(reversed(self._frames)), t_ns)
        self._head, self._frames = None, []


def parse_function(text: str) -> Function | None:
    """`ADDRESS NAME (MODULE)`, None if it is something else."""
    address, _, rest = text.strip().partition(" ")
    if not address or not _HEX.issuperset(address) or not rest.strip():
        return None
    name, bracket, dso = rest.rpartition(" (")
    if not bracket or not dso.endswith(")"):
        name, dso = rest, ")"
    return Function(name.strip()[:MAX_NAME], module_of(dso[:-1])) if name.strip() else None


def module_of(dso: str) -> str:
    """The kernel module perf names `[wireguard]`, or by its file if that can be read."""
    name = dso.rsplit("/", 1)[-1]
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    stem, ko, _ = name.partition(".ko")
    return stem.replace("-", "_") if ko else name
