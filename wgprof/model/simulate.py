"""Runs the simulator and says what came out, in the words of the rest of wgprof."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wgprof.model.costs import Costs
from wgprof.model.engine import layout
from wgprof.model.engine.build import build
from wgprof.model.engine.layout import BUSY, BUSY_KINDS, COUNTER_KINDS, COUNTERS, OCTAVE, SERVED, Sim
from wgprof.model.engine.loop import run
from wgprof.model.engine.running import KICKS
from wgprof.model.limits import WIRE_BYTES
from wgprof.model.scenario import Scenario

#: How much simulated time passes between two looks at whether to stop.
_SLICE_NS = 5e6
#: A mean utilisation from which on the CPUs together are the limit, and one from which on a single server is.
_ALL, _ONE = 0.95, 0.85


@dataclass(frozen=True)
class Limit:
    """The server nearest to its limit."""

    server: str
    utilisation: float


@dataclass(frozen=True)
class Result:
    """What one simulation measured, after its warm-up."""

    scenario: Scenario
    seed: int
    seconds: float
    packets: int
    pps: float
    gbit_s: float  # goodput: bytes inside the tunnel
    busy_ce: float
    busy_by_kind: dict[str, float]  # cores-equivalent
    busy_by_server: dict[str, float]  # cores-equivalent, of those that a recording knows; all peers and CPUs together
    busy_by_cpu: tuple[float, ...]  # fractions
    latency_mean_us: float  # from the NIC (or wg_xmit) to the stack (or the wire)
    latency_p50_us: float
    latency_p99_us: float
    counts: dict[str, int]
    busiest_poller_share: float  # of packets, delivered by the CPU that delivered most
    delivering_cpus: int  # that deliver 90 % of packets
    stall_mean_us: float  # a head's wait to be decrypted, a productive poll
    by_tunnel: tuple[int, ...]
    limit: Limit

    @property
    def cpu_share(self) -> float:
        """Mean utilisation of the CPUs."""
        return self.busy_ce / self.scenario.cores

    @property
    def wasted_polls(self) -> float | None:
        """Share of the peers' polls that delivered nothing; None where peers have none."""
        if self.scenario.module == "inline" or not self.counts["polls"]:
            return None
        return self.counts["empty polls"] / self.counts["polls"]


def simulate(
    scenario: Scenario,
    costs: Costs,
    seed: int,
    seconds: float = 1.0,
    warmup: float = 0.1,
    *,
    stop: threading.Event | None = None,
    advanced: Callable[[float], None] | None = None,
) -> Result | None:
    """Simulate one scenario; None if it was told to stop before half of the time was measured.

    `advanced` is told the simulated seconds that passed, again and again.
    """
    sim = build(scenario, costs, seed, seconds, warmup)
    kicks = np.zeros(1 + 2 * KICKS, dtype=np.int64)
    end_ns = (seconds + warmup) * 1e9
    reached_ns = 0.0
    while reached_ns < end_ns:
        if stop is not None and stop.is_set():
            break
        following = min(reached_ns + _SLICE_NS, end_ns)
        run(sim, kicks, following)
        if advanced is not None:
            advanced((following - reached_ns) / 1e9)
        reached_ns = following
    measured_s = reached_ns / 1e9 - warmup
    if measured_s < seconds / 2 or measured_s <= 0:
        return None
    return _result(sim, scenario, seed, measured_s)


def _result(sim: Sim, scenario: Scenario, seed: int, seconds: float) -> Result:
    counts = {name: int(sim.counts[number]) for number, name in enumerate(COUNTERS)}
    assert counts["overflow"] == 0
    packets = counts["packets"]
    busy = sim.busy.reshape(-1, BUSY_KINDS) / (seconds * 1e9)
    by_cpu = busy.sum(axis=1)
    delivered = np.sort(sim.cpus["delivered"])[::-1]
    latency = _quantiles_us(sim.counts[COUNTER_KINDS:], (0.5, 0.99))
    p = sim.p[0]
    return Result(
        scenario,
        seed,
        seconds,
        packets,
        packets / seconds,
        packets / seconds * scenario.packet_bytes * 8 / 1e9,
        float(by_cpu.sum()),
        {name: float(busy[:, kind].sum()) for kind, name in enumerate(BUSY)},
        {name: float(sim.served[n]) / (seconds * 1e9) for n, name in enumerate(SERVED) if sim.served[n]},
        tuple(float(b) for b in by_cpu),
        float(p.latency_sum) / max(packets, 1) / 1e3,
        latency[0],
        latency[1],
        counts,
        float(delivered[0]) / max(packets, 1),
        int(np.searchsorted(np.cumsum(delivered), 0.9 * packets) + 1) if packets else 0,
        float(p.stall_sum) / max(int(p.stalls), 1) / 1e3,
        tuple(int(n) for n in sim.napis["delivered"][: scenario.tunnels]),
        _limit(sim, scenario, busy, seconds, packets, counts["dropped at the NIC"]),
    )


def _quantiles_us(buckets: npt.NDArray[np.int64], wanted: tuple[float, ...]) -> list[float]:
    running = np.cumsum(buckets)
    if running[-1] == 0:
        return [0.0 for _ in wanted]
    at = np.searchsorted(running, np.asarray(wanted) * running[-1])
    return [float(2.0 ** ((bucket + 0.5) / OCTAVE) / 1e3) for bucket in at]


def _limit(
    sim: Sim, scenario: Scenario, busy: npt.NDArray[np.float64], seconds: float, packets: int, dropped: int
) -> Limit:
    """Which server has the least room: all CPUs together, one CPU by what it does, or one peer's NAPI."""
    by_cpu = busy.sum(axis=1)
    mean, hottest = float(by_cpu.mean()), int(by_cpu.argmax())
    if mean >= _ALL or scenario.cores == 1:
        return Limit("all CPUs", min(mean, 1.0))
    kinds = busy[hottest]
    polls = float(kinds[layout.BUSY_DELIVER] + kinds[layout.BUSY_WASTED])
    arrivals = float(kinds[layout.BUSY_RECEIVE] + kinds[layout.BUSY_XMIT] + kinds[layout.BUSY_HANDOFF])
    crypto = float(kinds[layout.BUSY_DECRYPT] + kinds[layout.BUSY_ENCRYPT])
    names = {
        "one CPU: NAPI polls": polls,
        "one CPU: arrival": arrivals,
        "one CPU: crypto": crypto,
        "one CPU: transmit work": float(kinds[layout.BUSY_SEND]),
    }
    if scenario.module == "inline":
        names = {"one CPU: run to completion": float(by_cpu[hottest])}
    candidates = [Limit(max(names, key=lambda name: names[name]), min(float(by_cpu[hottest]), 1.0))]
    if scenario.module != "inline":
        serial = float(sim.napis["busy"][: scenario.tunnels].max()) / (seconds * 1e9)
        candidates.append(Limit("one peer's NAPI", min(serial, 1.0)))
    if scenario.link_gbit_s:
        # What the sources put on the link, which is what arrived or was dropped at the NIC.
        offered = (packets + dropped) / seconds * (scenario.packet_bytes + WIRE_BYTES) * 8 / 1e9
        candidates.append(Limit("the link", min(offered / scenario.link_gbit_s, 1.0)))
    best = max(candidates, key=lambda limit: limit.utilisation)
    if best.utilisation < _ONE:
        return Limit(f"the sender; here {best.server}", best.utilisation)
    return best
