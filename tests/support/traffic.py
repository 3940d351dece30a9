"""Packets through queues and servers, so that synthetic frames agree with themselves.

One direction at a time: hand-offs arrive at random, any CPU does the cryptography first come first
served, and one server a peer sends or delivers in order.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Time from a hand-off to the earliest moment a worker can look at it.
WAKE_NS = 3_000
#: CPU time of a packet in each step, +- 20 %; the first is for a hand-off.
COSTS_NS = {"tx": (4_000, 40_000, 15_000), "rx": (8_000, 45_000, 10_000)}


@dataclass(frozen=True)
class Traffic:
    """One direction.  Hand-offs are rows of the upper arrays, packets of the lower; times are ns.

    A hand-off is put on its queues at `put`, a worker takes it at `crypt_start` on `crypt_cpu`, and the
    peer's server takes it at `serve_start`.  `owner` is each packet's hand-off.
    """

    direction: str
    peer: Ints
    segments: Ints
    first_ns: Ints  # service time of the step before the queues
    put: Ints
    crypt_start: Ints
    crypt_end: Ints
    crypt_cpu: Ints
    serve_start: Ints
    serve_end: Ints

    owner: Ints
    head: Flags
    nonce: Ints
    crypt_ns: Ints
    crypted: Ints
    serve_ns: Ints
    served: Ints


def traffic(
    rng: np.random.Generator,
    direction: str,
    windows: list[tuple[int, int]],
    *,
    peers: int,
    cpus: int,
    rate: float,
    segments: int,
) -> Traffic:
    """Hand-offs at `rate` a second and peer during each (begin, end) of `windows`, of 1 to `segments` packets."""
    first, crypt, serve = COSTS_NS[direction]
    put = np.sort(np.concatenate([rng.integers(a, b, max(1, round(rate * peers * (b - a) / 1e9))) for a, b in windows]))
    count = len(put)
    peer = rng.integers(0, peers, count)
    sizes = rng.integers(1, segments + 1, count)
    owner = np.repeat(np.arange(count), sizes)
    begins = np.cumsum(sizes) - sizes
    crypt_ns, serve_ns = (_jitter(rng, cost, len(owner)) for cost in (crypt, serve))
    crypt_start, crypt_cpu = _workers(put, np.add.reduceat(crypt_ns, begins), cpus)
    crypt_end = crypt_start + np.add.reduceat(crypt_ns, begins)
    serve_start = _serial(crypt_end, np.add.reduceat(serve_ns, begins), peer, peers)
    nonce = np.zeros(len(owner), np.int64)
    for number in range(peers):
        mine = peer[owner] == number
        nonce[mine] = np.arange(np.count_nonzero(mine))
    return Traffic(
        direction=direction,
        peer=peer,
        segments=sizes,
        first_ns=_jitter(rng, first, count),
        put=put,
        crypt_start=crypt_start,
        crypt_end=crypt_end,
        crypt_cpu=crypt_cpu,
        serve_start=serve_start,
        serve_end=serve_start + np.add.reduceat(serve_ns, begins),
        owner=owner,
        head=np.arange(len(owner)) == begins[owner],
        nonce=nonce,
        crypt_ns=crypt_ns,
        crypted=crypt_start[owner] + _within(crypt_ns, begins, owner),
        serve_ns=serve_ns,
        served=serve_start[owner] + _within(serve_ns, begins, owner),
    )


def _jitter(rng: np.random.Generator, cost: int, count: int) -> Ints:
    return rng.integers(cost * 8 // 10, cost * 12 // 10, count)


def _within(service: Ints, begins: Ints, owner: Ints) -> Ints:
    """Running sum of a hand-off's packets' service times."""
    total = np.cumsum(service)
    return np.asarray(total - (total - service)[begins][owner], np.int64)


def _workers(put: Ints, service: Ints, cpus: int) -> tuple[Ints, Ints]:
    """First come first served at `cpus` workers: start times and who did it."""
    start, worker = np.zeros_like(put), np.zeros_like(put)
    free = [(0, cpu) for cpu in range(cpus)]
    for i, (at, length) in enumerate(zip(put.tolist(), service.tolist(), strict=True)):
        idle, cpu = heapq.heappop(free)
        start[i] = max(idle, at + WAKE_NS)
        worker[i] = cpu
        heapq.heappush(free, (int(start[i]) + length, cpu))
    return start, worker


def _serial(ready: Ints, service: Ints, peer: Ints, peers: int) -> Ints:
    """In order at one server a peer, each hand-off once it is ready: start times."""
    start = np.zeros_like(ready)
    free = [0] * peers
    for i, (at, length, who) in enumerate(zip(ready.tolist(), service.tolist(), peer.tolist(), strict=True)):
        start[i] = max(free[who], at + WAKE_NS)
        free[who] = int(start[i]) + length
    return start
