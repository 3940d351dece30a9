"""Where a scenario's flows and work go before anything has happened; shared by the simulator and its reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.model.engine.draws import hashed
from wgprof.model.engine.layout import FLOW, HASH, START
from wgprof.model.scenario import Scenario


@dataclass(frozen=True)
class Placement:
    """By tunnel: NIC queue, CPU of its NAPI (-1: where a packet was decrypted), CPU of its transmit work, device."""

    nic: tuple[int, ...]
    deliver: tuple[int, ...]
    transmit: tuple[int, ...]
    device: tuple[int, ...]
    crypt: tuple[tuple[int, ...], tuple[int, ...]]  # CPUs that decrypt, that encrypt
    first_turn: tuple[int, ...]  # by ring: where its round robin begins
    sender: tuple[int, ...]  # CPU on which a tunnel's application runs first
    start_ns: tuple[float, ...]  # by tunnel: first action of its source


def place(scenario: Scenario, seed: int) -> Placement:
    """RSS gives a tunnel's one outer flow to the queue its hash chooses; peers take turns at steering lists.

    The round robins of different rings are not in step, as after some traffic.  Each closed source begins at a random
    time of its first round trip, each open one after a random gap.
    """
    everywhere, tunnels = tuple(range(scenario.cores)), range(scenario.tunnels)
    deliver = scenario.deliver_cpus or everywhere
    transmit = scenario.transmit_cpus or everywhere
    steered = scenario.module == "steered" and not scenario.threaded
    crypt = (scenario.decrypt_cpus or everywhere, scenario.encrypt_cpus or everywhere)
    rings = 2 * (1 if scenario.shared_device else scenario.tunnels)
    return Placement(
        tuple(_queue(scenario, seed, t) for t in tunnels),
        tuple(deliver[t % len(deliver)] if steered else -1 for t in tunnels),
        tuple(transmit[t % len(transmit)] for t in tunnels),
        tuple(0 if scenario.shared_device else t for t in tunnels),
        crypt,
        tuple(int(hashed(seed, ring, 0, HASH) * len(crypt[ring % 2])) for ring in range(rings)),
        tuple(int(hashed(seed, t, 0, FLOW) * scenario.cores) for t in tunnels),
        tuple(_start_ns(scenario, seed, t) for t in tunnels),
    )


def gap_ns(scenario: Scenario) -> float:
    """Mean time between two bursts of an open source."""
    return 0.0 if scenario.rate_pps is None else 1e9 * scenario.gso / scenario.rate_pps


def _queue(scenario: Scenario, seed: int, tunnel: int) -> int:
    if scenario.spread == "even":
        return tunnel % scenario.cores
    return int(hashed(seed, tunnel, 1, HASH) * scenario.cores)


def _start_ns(scenario: Scenario, seed: int, tunnel: int) -> float:
    u = hashed(seed, tunnel, 0, START)
    if scenario.rate_pps is None:
        return scenario.rtt_us * 1e3 * u
    return float(-gap_ns(scenario) * np.log(u))
