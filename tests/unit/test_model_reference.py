"""The compiled simulator and the reference in simpy do the same things at the same times."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.model import MODERN, only
from wgprof.model.costs import Costs
from wgprof.model.engine.build import build
from wgprof.model.engine.layout import COUNTERS
from wgprof.model.engine.loop import run
from wgprof.model.engine.running import KICKS
from wgprof.model.reference.rules import Reference
from wgprof.model.scenario import Scenario

#: One of each module and direction; the others make a matrix.
_FAST = ("one tunnel", "vanilla", "steered", "inline", "transmit", "loop")
_Event = tuple[float, int, int, int, int]
#: Exponential service makes two events at one moment improbable, so that their order is the rules', not luck's.  No
#: scenario lets two sources, or one source on two CPUs, act at the same moment.
_ENDS = {
    "softirq": 170,
    "unlock": 210,
    "write": 230,
    "read": 1300,
    "ack_encrypt": 90,
    "ack_send": 70,
    "ack_decrypt": 80,
}
_COSTS = only("exponential", **{name: q.value for name, q in MODERN.costs.items()} | _ENDS | {"ack_deliver": 110})
_SCENARIOS = {
    "one tunnel": Scenario(4, 1),
    "vanilla": Scenario(4, 6, window=300, nodes=2),
    "threaded": Scenario(4, 6, threaded=True),
    "steered": Scenario(4, 3, "steered", decrypt_cpus=(0, 1, 2), deliver_cpus=(1, 2, 3)),
    "inline": Scenario(4, 4, "inline", spread="even", flows=3),
    "inline, open": Scenario(2, 6, "inline", gso=4, rate_pps=40_000),
    "full queues": Scenario(3, 4, queue_limit=64, nic_limit=80, gso=16, window=400),
    "full ring": Scenario(3, 4, queue_limit=64, gso=16, window=400, shared_device=True),
    "one device": Scenario(4, 5, shared_device=True, gso=8),
    "open": Scenario(4, 4, gso=4, rate_pps=150_000),
    "overload": Scenario(2, 6, gso=4, rate_pps=300_000),
    "unbound": Scenario(4, 4, gso=4, rate_pps=100_000, unbound=True),
    "link": Scenario(4, 1, gso=8, link_gbit_s=2.0),
    "ksoftirqd": Scenario(3, 4, window=1000, fair_softirqs=True),
    "paced": Scenario(4, 3, sender_ns=2_500.0),
    "transmit": Scenario(4, 3, direction="tx", gso=12, window=200),
    "transmit, steered": Scenario(4, 3, "steered", direction="tx", gso=12, encrypt_cpus=(1,), transmit_cpus=(0,)),
    "transmit, inline": Scenario(4, 3, "inline", direction="tx", gso=12),
    "loop": Scenario(2, 2, direction="loop", gso=12, window=300, flows=2),
    "loop, threaded": Scenario(2, 2, direction="loop", gso=12, window=300, threaded=True),
    "threaded, in turn": Scenario(3, 6, threaded=True, run_to_parity=True),
    "loop, threaded, in turn": Scenario(2, 2, direction="loop", gso=12, window=300, threaded=True, run_to_parity=True),
    "loop, inline": Scenario(2, 2, "inline", direction="loop", gso=12, window=300),
}


def _compiled(scenario: Scenario, costs: Costs, seed: int, seconds: float) -> list[_Event]:
    sim = build(scenario, costs, seed, seconds, 0.0, traced=200_000)
    run(sim, np.zeros(1 + 2 * KICKS, dtype=np.int64), np.inf)
    rows = sim.trace[: sim.p[0].traced]
    return _in_order([(float(r.time), int(r.cpu), int(r.kind), int(r.object), int(r.n)) for r in rows])


def _in_order(events: list[_Event]) -> list[_Event]:
    """By time in ps, then by CPU: of two CPUs that act at one moment neither is first."""
    return sorted(events, key=lambda event: (round(event[0], 3), event[1]))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in _FAST else pytest.mark.slow) for name in _SCENARIOS]
)
def test_same_events(name: str) -> None:
    scenario, seconds = _SCENARIOS[name], 0.015
    fast = _compiled(scenario, _COSTS, 11, seconds)
    reference = Reference(scenario, _COSTS, 11)
    reference.run(seconds)
    slow = _in_order(reference.trace)
    assert len(slow) > 200
    for at, (a, b) in enumerate(zip(fast, slow, strict=False)):
        assert a[1:] == b[1:] and a[0] == pytest.approx(b[0], rel=1e-9), f"event {at}: {a} and {b}"
    assert len(fast) == len(slow)


def test_the_cases_meet_the_mechanisms() -> None:
    """Polls under a worker, re-polls, refusals and wasted polls happen in them, or agreement would mean little."""
    total = np.zeros(len(COUNTERS), dtype=np.int64)
    for scenario in _SCENARIOS.values():
        sim = build(scenario, _COSTS, 11, 0.015, 0.0)
        run(sim, np.zeros(1 + 2 * KICKS, dtype=np.int64), np.inf)
        total += sim.counts[: len(COUNTERS)]
    counts = dict(zip(COUNTERS, total.tolist(), strict=True))
    assert counts.pop("overflow") == 0
    assert min(counts.values()) > 0, counts
