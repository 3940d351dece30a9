"""What the reference moves about: packets, steps, queues and CPUs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import simpy

WORK, THREAD, SOFTIRQ = range(3)
BEGIN, CONSUME, CRYPT, SEND, POLL, NIC, INLINE, SWITCH, XMIT, READ = range(1, 11)
RX, TX = 0, 1


@dataclass
class Packet:
    """A received packet, or a list of segments to be sent."""

    tunnel: int
    direction: int
    number: int
    segments: int
    born: float
    cpu: int = -1
    ready: bool = False


@dataclass
class Step:
    """What a CPU does for a known time; when it is over its effect happens."""

    kind: int
    object: int
    n: int
    left: float
    packet: Packet | None = None


@dataclass
class Napi:
    """A poll function: of a peer (tunnel) or, behind those, of a NIC queue."""

    number: int
    cpu: int
    scheduled: bool = False
    missed: bool = False
    flush: bool = False
    done: int = 0


@dataclass
class Lock:
    """A spinlock whose waiters take turns."""

    free: float = 0.0
    owner: int = -1


@dataclass
class Ring:
    """A device's ring."""

    turn: int
    packets: deque[Packet] = field(default_factory=deque)
    produce: Lock = field(default_factory=Lock)
    consume: Lock = field(default_factory=Lock)


@dataclass
class Source:
    """A tunnel's sender."""

    window: float
    number: int = 0
    flight: int = 0
    burst: int = 0
    recover: float = 0.0
    free: float = 0.0
    booked: float = 0.0
    cpu: int = 0
    awake: bool = False
    unread: int = 0  # what GRO made of several packets, in the receiver's socket
    reading: bool = False
    reader_cpu: int = 0
    socket: deque[Packet] = field(default_factory=deque)


@dataclass
class Cpu:
    """A processor: a poll list, a thread queue, a work queue, and at most one step a level."""

    number: int
    node: int
    polls: deque[Napi] = field(default_factory=deque)
    threads: deque[Napi] = field(default_factory=deque)
    works: deque[tuple[int, bool]] = field(default_factory=deque)  # and whether it only lost its turn
    level: int = -1
    steps: dict[int, Step] = field(default_factory=dict)
    running: simpy.Process | None = None
    napi: Napi | None = None
    thread: Napi | None = None
    work: int | None = None
    work_since: float = 0.0
    held: Packet | None = None
    slept: bool = True
    carry: float = 0.0
    softirq_since: float | None = None
    yielded: bool = False
    raised: bool = False
    again: bool = False
    resched: bool = False
    ksoftirqd: bool = False
    turn_ends: float = 0.0

    @property
    def below(self) -> bool:
        """Whether anything below softirqs wants this CPU."""
        return self.work is not None or self.thread is not None or bool(self.works) or bool(self.threads)

    @property
    def load(self) -> int:
        """How unattractive it is to the scheduler."""
        threads = 4 * (len(self.threads) + (self.thread is not None))
        softirq = 2 * (self.level == SOFTIRQ or bool(self.polls))
        return threads + softirq + (self.work is not None or bool(self.works))
