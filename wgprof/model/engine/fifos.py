"""Circular queues: poll lists, run queues, rings and the rest are all of one kind."""

from __future__ import annotations

from wgprof.model.engine.compiled import inlined
from wgprof.model.engine.layout import Sim


@inlined
def slot(s: Sim, fifo: int, place: int) -> int:
    """Where in `slots` the entry at a place behind the head is."""
    f = s.fifos[fifo]
    at = f.head + place
    return int(f.base + (at - f.size if at >= f.size else at))


@inlined
def push(s: Sim, fifo: int, value: int) -> None:
    """Put a value at the end."""
    s.slots[slot(s, fifo, s.fifos[fifo].len)] = value
    s.fifos[fifo].len += 1


@inlined
def push_front(s: Sim, fifo: int, value: int) -> None:
    """Put a value at the head."""
    f = s.fifos[fifo]
    f.head = f.head - 1 if f.head > 0 else f.size - 1
    s.slots[f.base + f.head] = value
    f.len += 1


@inlined
def peek(s: Sim, fifo: int, place: int) -> int:
    """The value at a place behind the head."""
    return int(s.slots[slot(s, fifo, place)])


@inlined
def pop(s: Sim, fifo: int) -> int:
    """Remove the value at the head."""
    f = s.fifos[fifo]
    value = int(s.slots[f.base + f.head])
    f.head = 0 if f.head + 1 >= f.size else f.head + 1
    f.len -= 1
    return value


@inlined
def length(s: Sim, fifo: int) -> int:
    """How many are in it."""
    return int(s.fifos[fifo].len)
