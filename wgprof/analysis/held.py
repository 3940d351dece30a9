"""What order costs: ready packets held by an earlier one that is not, and where a peer's packets are delivered.

A peer's packets are delivered in the order of their nonces, so one that is not decrypted holds all that are behind it.
Only sampled packets are seen: with one in N, a holder that was not sampled is missed, and the times are lower bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wgprof.analysis.journeys import Journeys
from wgprof.analysis.spans import Spans
from wgprof.analysis.tables import FloatArray, IntArray
from wgprof.analysis.window import Window

_DECRYPT, _DELIVER = 1, 2


@dataclass(frozen=True)
class Held:
    """Receive journeys of one peer (`object` None: of all) in the window."""

    object: int | None
    journeys: int
    held: int  # packets that were ready before one ahead of them
    held_mean_ns: float  # time they were held, mean over those
    held_p99_ns: float
    waits_mean_ns: float  # rx.deliver.wait, mean over all
    decrypt_mean_ns: float  # length of the decryption itself
    held_ns: FloatArray  # by span, summed over journeys
    journeys_of: FloatArray  # journeys by span
    holder_ns: Mapping[int, float]  # time held, by the CPU that decrypted the holder
    moves: int  # deliveries on another CPU than the peer's delivery before


@dataclass(frozen=True)
class CryptWait:
    """Journeys by the CPU that decrypted them."""

    cpu: int
    journeys: int
    wait_mean_ns: float  # rx.decrypt.wait
    decrypt_mean_ns: float


def held_rows(journeys: Journeys, spans: Spans, window: Window) -> list[Held]:
    """For all peers together first, then every peer; empty when no packet was followed to its delivery."""
    mine = complete(journeys, window)
    if not mine.size:
        return []
    # Journeys are sorted by session and nonce once; everything else is along that order.
    mine = mine[np.lexsort((journeys.nonce[mine], journeys.key_index[mine], journeys.object[mine]))]
    table = _Sorted(journeys, mine, spans)
    peers = np.unique(table.object)
    edges = [*np.searchsorted(table.object, peers).tolist(), mine.size]
    rows = [table.row(int(peer), slice(edges[i], edges[i + 1])) for i, peer in enumerate(peers)]
    return [table.row(None, slice(None)), *rows]


def crypt_waits(journeys: Journeys, window: Window) -> list[CryptWait]:
    """The wait for decryption and its length by CPU."""
    mine = complete(journeys, window)
    cpu, waited = journeys.cpu[_DECRYPT, mine], journeys.waits_ns(0, mine)
    length = journeys.end_ns[_DECRYPT, mine] - journeys.start_ns[_DECRYPT, mine]
    rows = []
    for number in np.unique(cpu):
        here = cpu == number
        rows.append(
            CryptWait(int(number), int(np.count_nonzero(here)), float(waited[here].mean()), float(length[here].mean()))
        )
    return rows


def complete(journeys: Journeys, window: Window) -> IntArray:
    """Receive journeys of the window that were followed to their delivery."""
    rows = journeys.rows_of("rx")
    begun = journeys.end_ns[0, rows]
    complete = journeys.seen[:, rows].all(axis=0) & (begun >= window.start_ns) & (begun < window.end_ns)
    return np.asarray(rows[complete], dtype=np.int64)


class _Sorted:
    """Complete receive journeys by session and nonce."""

    def __init__(self, journeys: Journeys, mine: IntArray, spans: Spans) -> None:
        self.object = journeys.object[mine]
        ready = journeys.end_ns[_DECRYPT, mine]
        self._decrypt = ready - journeys.start_ns[_DECRYPT, mine]
        self._wait = np.maximum(journeys.start_ns[_DELIVER, mine] - ready, 0)
        self._cpu = journeys.cpu[_DECRYPT, mine]
        self._delivered_on, self._delivered = journeys.cpu[_DELIVER, mine], journeys.end_ns[_DELIVER, mine]
        holder = last_of_those_before(ready, sessions(journeys, mine))
        #: Not longer than it really waited: the holder may be another delivery's, or a clock's rounding.
        self._held = np.minimum(np.where(holder >= 0, np.maximum(ready[holder] - ready, 0), 0), self._wait)
        self._holder_cpu = np.where(holder >= 0, self._cpu[holder], -1)
        self._span = spans.at(journeys.end_ns[0, mine])
        self._spans = len(spans)

    def row(self, number: int | None, part: slice) -> Held:
        held, span = self._held[part], self._span[part]
        is_held, known = held > 0, span >= 0
        some = held[is_held]
        cpus = self._holder_cpu[part][is_held]
        by_cpu = {int(cpu): float(some[cpus == cpu].sum()) for cpu in np.unique(cpus)}
        return Held(
            number,
            held.size,
            some.size,
            float(some.mean()) if some.size else 0.0,
            float(np.quantile(some, 0.99)) if some.size else 0.0,
            float(self._wait[part].mean()),
            float(self._decrypt[part].mean()),
            np.bincount(span[known], weights=held[known], minlength=self._spans).astype(np.float64),
            np.bincount(span[known], minlength=self._spans).astype(np.float64),
            by_cpu,
            self._moves(part),
        )

    def _moves(self, part: slice) -> int:
        order = np.lexsort((self._delivered[part], self.object[part]))
        cpu, peer = self._delivered_on[part][order], self.object[part][order]
        return int(np.count_nonzero((cpu[1:] != cpu[:-1]) & (peer[1:] == peer[:-1])))


def sessions(journeys: Journeys, mine: IntArray) -> IntArray:
    """A rising number for each session, along `mine`, which is sorted by session."""
    peer, key = journeys.object[mine], journeys.key_index[mine]
    return np.append(0, np.cumsum((peer[1:] != peer[:-1]) | (key[1:] != key[:-1])))


def last_of_those_before(ready: IntArray, session: IntArray) -> IntArray:
    """For each packet the one before it in its session that was ready last; -1 for the first."""
    span = int(ready.max() - ready.min()) + 1
    raised = (ready - ready.min()) + session * span
    highest = np.maximum.accumulate(raised)
    is_record = np.append(True, raised[1:] > highest[:-1])
    record = np.maximum.accumulate(np.where(is_record, np.arange(ready.size), 0))
    before = np.append(-1, record[:-1])
    first = np.append(True, session[1:] != session[:-1])
    return np.where(first, -1, before)
