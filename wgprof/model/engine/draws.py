"""Random numbers that are functions of what they are for.

A hash (the finaliser of SplitMix64) of seed, tunnel, packet and stage instead of a stream: a packet's
service time does not depend on the order in which CPUs come to draw, so two architectures, or the compiled
simulator and the reference, meet the same packets.
"""

from __future__ import annotations

import numpy as np

from wgprof.model.engine.compiled import entry, inlined
from wgprof.model.engine.layout import CONSTANT, EXPONENTIAL, STAGE_ROW, TABLE_SIZE, Sim

_A, _B, _C = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@inlined
def uniform(seed: int, first: int, second: int, third: int) -> float:
    """A number in (0, 1)."""
    x = np.uint64(seed) * _A + np.uint64(first) * _B + np.uint64(second) * _C + np.uint64(third) * (_A ^ _C)
    x = (x ^ (x >> _30)) * _B
    x = (x ^ (x >> _27)) * _C
    x = (x ^ (x >> _31)) * _B
    x ^= x >> _30
    return (float(x >> _11) + 0.5) * _UNIT


@entry
def hashed(seed: int, first: int, second: int, third: int) -> float:
    """`uniform` for Python."""
    return uniform(seed, first, second, third)


@inlined
def service_ns(s: Sim, stage: int, tunnel: int, number: int, segments: int) -> float:
    """Service time of a hand-off's segments, which have consecutive numbers."""
    row = stage * STAGE_ROW
    mean, shape = s.stages[row], s.stages[row + 1]
    if shape == CONSTANT:
        return float(mean * segments)
    total = 0.0
    for segment in range(segments):
        u = uniform(s.p[0].seed, tunnel, number + segment, stage)
        if shape == EXPONENTIAL:
            total -= np.log(u)
        else:
            total += s.stages[row + 2 + int(u * TABLE_SIZE)]
    return float(mean * total)
