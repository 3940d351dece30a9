"""Queues with a formula: oracles for the simulator, and bounds that need no simulation.

Rates in 1/s, times in s.  Sources: Kleinrock, Queueing Systems I (1975), for M/M/1, M/M/c and M/G/1; Burke (1956)
for the tandem; Denning and Buzen, The Operational Analysis of Queueing Network Models (1978), for the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from wgprof.errors import UsageError


def mm1_wait(rate: float, service: float) -> float:
    """Mean wait before service: Poisson arrivals, exponential service, one server."""
    return mg1_wait(rate, service, 1.0)


def md1_wait(rate: float, service: float) -> float:
    """Mean wait before service: Poisson arrivals, constant service, one server."""
    return mg1_wait(rate, service, 0.0)


def mg1_wait(rate: float, service: float, squared_cv: float) -> float:
    """Pollaczek and Khinchine's: any service time with that squared coefficient of variation."""
    load = _stable(rate * service)
    return load * service * (1 + squared_cv) / (2 * (1 - load))


def mmc_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait before service: Poisson arrivals, exponential service, several servers (Erlang's C)."""
    offered = rate * service
    load = _stable(offered / servers)
    below = sum(offered**k / math.factorial(k) for k in range(servers))
    full = offered**servers / math.factorial(servers) / (1 - load)
    return full / (below + full) * service / (servers - offered)


def tandem_response(rate: float, services: Sequence[float]) -> float:
    """Mean time through several M/M/1 stages in a row: departures of each are Poisson again."""
    return sum(service + mm1_wait(rate, service) for service in services)


def throughput_bound(demands: Sequence[float], servers: Sequence[int], population: float, think: float) -> float:
    """The most that `population` packets can achieve: X <= min(min(c/D), N/(sum of D + Z)).

    `demands` are service times by stage, `servers` how many packets each can serve at once.
    """
    cap = min((c / d for d, c in zip(demands, servers, strict=True) if d > 0), default=math.inf)
    latency = sum(demands) + think
    return min(cap, population / latency) if latency > 0 else cap


def ordered_cap(parallel: float, servers: int, ordered: float) -> float:
    """Throughput of a stage that any of several servers does, then one that keeps order and has one server."""
    return throughput_bound([parallel, ordered], [servers, 1], math.inf, 0.0)


def _stable(load: float) -> float:
    if not 0 <= load < 1:
        raise UsageError(f"a queue with load {load:.3g} has no mean wait", "The load must be below 1.")
    return load
