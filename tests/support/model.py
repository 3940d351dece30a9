"""Costs for tests of the model: all zero but those that are named."""

from __future__ import annotations

from dataclasses import replace

from wgprof.model.costs import MEANINGS, Costs, known


def only(shape: str = "constant", **ns: float) -> Costs:
    """Costs that are zero except the named ones, in nanoseconds, those with a distribution of that shape."""
    costs = {name: replace(known(ns.get(name, 0.0)), shape=shape) for name in MEANINGS}
    return Costs(1420, costs)


#: Near those of a current processor: every mechanism costs something.
MODERN = only(
    receive=1000, decrypt=1500, deliver=500, encrypt=1400, send=1200, stage=1500, segment=300, handoff=300,
    wake=700, switch=1500, work=200, hold=60, transfer=100, cross=300, consume=150, poll_empty=600,
    poll_setup=1500, stack=1000,
)  # fmt: skip
