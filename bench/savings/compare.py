"""From samples to comparisons: pure functions over what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from bench.savings.costs import BOTH, SHAPES, TRANSMIT, TUNNELS, Sample

RECEIVE = "receive"
SIDES = (TRANSMIT, RECEIVE, BOTH)


@dataclass(frozen=True)
class Case:
    """What is compared: one kind of traffic, on one side, with the cipher or without."""

    has_cipher: bool
    tunnels: int
    shape: str
    side: str


def cases(has_cipher: bool) -> list[Case]:
    """In the order of the table."""
    return [
        Case(has_cipher, tunnels, shape.name, side)
        for tunnels in TUNNELS
        for shape in SHAPES
        for side in (SIDES if shape.has_sides else (BOTH,))
    ]


def instructions_of(samples: list[Sample], case: Case, way: str) -> dict[int, float]:
    """A packet's instructions in each boot.  The receive side is what both take, less what transmit takes alone."""
    both = _of_side(samples, case, way, BOTH)
    if case.side == BOTH:
        return both
    transmit = _of_side(samples, case, way, TRANSMIT)
    if case.side == TRANSMIT:
        return transmit
    return {boot: both[boot] - transmit[boot] for boot in both if boot in transmit}


def paired(first: dict[int, float], second: dict[int, float]) -> list[tuple[float, float]]:
    """The values of boots that have both."""
    return [(first[boot], second[boot]) for boot in sorted(first) if boot in second]


def cipher(samples: list[Sample], tunnels: int, shape: str, way: str) -> list[float]:
    """Instructions of the cipher at both ends: with it, less without it, boot by boot."""
    with_it = instructions_of(samples, Case(True, tunnels, shape, BOTH), way)
    without = instructions_of(samples, Case(False, tunnels, shape, BOTH), way)
    return [one - other for one, other in paired(with_it, without)]


def switches(samples: list[Sample], case: Case, way: str) -> list[float]:
    """Context switches a packet."""
    side = BOTH if case.side == RECEIVE else case.side
    return [sample.cost.switches for sample in samples if _matches(sample, case, way, side)]


def _of_side(samples: list[Sample], case: Case, way: str, side: str) -> dict[int, float]:
    return {sample.boot: sample.cost.instructions for sample in samples if _matches(sample, case, way, side)}


def _matches(sample: Sample, case: Case, way: str, side: str) -> bool:
    return (sample.has_cipher, sample.way, sample.tunnels, sample.shape, sample.side) == (
        case.has_cipher,
        way,
        case.tunnels,
        case.shape,
        side,
    )
