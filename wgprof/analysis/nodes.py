"""NUMA nodes: which CPU belongs to which, and what delivering a packet takes that was decrypted on another one.

A packet's plaintext is in the caches of the CPU that decrypted it.  A delivery is compared with others of the same peer
on the same node, so that slower CPUs are not taken for distant ones; and with those at the same place in their poll,
whose last packet carries what is done once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wgprof.analysis.estimate import Estimate, ratio
from wgprof.analysis.held import complete
from wgprof.analysis.journeys import Journeys
from wgprof.analysis.spans import Spans
from wgprof.analysis.tables import BoolArray, FloatArray, IntArray
from wgprof.analysis.window import Window

_DECRYPT, _DELIVER = 1, 2
#: Of one kind, from this node and from another: with fewer, chance decides.
_LEAST = 30


@dataclass(frozen=True)
class Crossing:
    """Sampled deliveries by whether the packet was decrypted on the node that delivers it."""

    journeys: int
    far: int  # on another node
    compared: int  # of these, those that have deliveries of their kind to be compared with
    far_ns: float | None  # mean time of these
    near_ns: float | None  # mean time of their kind on one node, as often as there are of these
    slower: Estimate | None  # far_ns / near_ns


def nodes_of(manifest: Mapping[str, Any]) -> dict[int, int]:
    """CPU -> NUMA node, as far as the recording says."""
    machine = manifest.get("machine")
    nodes = machine.get("numa_nodes") if isinstance(machine, dict) else None
    found: dict[int, int] = {}
    for name, cpus in nodes.items() if isinstance(nodes, dict) else ():
        for cpu in cpus if isinstance(cpus, list) else ():
            if isinstance(cpu, int) and str(name).isdigit():
                found[cpu] = int(str(name))
    return found


def crossing(journeys: Journeys, nodes: Mapping[int, int], spans: Spans, window: Window) -> Crossing | None:
    """None on a machine with one node, or when no packet was followed to its delivery."""
    mine = complete(journeys, window) if len(set(nodes.values())) > 1 else np.zeros(0, dtype=np.int64)
    if not mine.size:
        return None
    mine = mine[np.lexsort((journeys.end_ns[_DELIVER, mine], journeys.object[mine]))]
    decrypted, delivered = (_node(journeys.cpu[step, mine], nodes) for step in (_DECRYPT, _DELIVER))
    begun, ended = journeys.start_ns[_DELIVER, mine], journeys.end_ns[_DELIVER, mine]
    peer, took_ns = journeys.object[mine], (ended - begun).astype(np.float64)
    far = decrypted != delivered
    kind = _place(begun, ended, peer) + 3 * (delivered + (delivered.max() + 1) * peer)
    above, below = _against_their_kind(kind, far, took_ns)
    span = spans.at(journeys.end_ns[0, mine])
    known = np.isfinite(below) & (span >= 0)
    sums = [np.bincount(span[known], weights=v[known], minlength=len(spans)).astype(float) for v in (above, below)]
    many = int(np.count_nonzero(known))
    far_ns, near_ns = (float(values.sum()) / many if many else None for values in sums)
    slower = ratio(sums[0], sums[1]) if many else None
    return Crossing(int(mine.size), int(np.count_nonzero(far)), many, far_ns, near_ns, slower)


def _against_their_kind(kind: IntArray, far: BoolArray, took_ns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What each far delivery took, and what those of its kind take on one node; nan where there is no such figure."""
    _, place = np.unique(kind, return_inverse=True)
    near_ns, number = (np.bincount(place[~far], weights=w, minlength=place.max() + 1) for w in (took_ns[~far], None))
    fars = np.bincount(place[far], minlength=number.size)
    enough = (number >= _LEAST) & (fars >= _LEAST)
    mean_ns = np.divide(near_ns, number, out=np.full(number.size, np.nan), where=enough)
    return took_ns, np.where(far, mean_ns[place], np.nan)


def _place(begun: IntArray, ended: IntArray, peer: IntArray) -> IntArray:
    """Within its poll: 0 with one behind it, 1 the last of several, 2 alone; one not sampled is not seen."""
    follows = np.append(False, (begun[1:] == ended[:-1]) & (peer[1:] == peer[:-1]))
    followed = np.append(follows[1:], False)
    return np.where(followed, 0, np.where(follows, 1, 2)).astype(np.int64)


def _node(cpu: np.ndarray, nodes: Mapping[int, int]) -> IntArray:
    table = np.zeros(max(int(cpu.max(initial=0)), *nodes) + 1, dtype=np.int64)
    for number, node in nodes.items():
        table[number] = node
    found: IntArray = table[cpu]
    return found
