"""Who runs on a CPU when: work items and their workers, polls that are only marked, the sender's thread."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from tests.support.model import MODERN, only
from wgprof.model.costs import Costs
from wgprof.model.engine.build import build
from wgprof.model.engine.layout import CONSUME, CRYPT, INLINE, NIC, POLL, SEND, TX, WORK_BEGIN, XMIT, Ints, Sim
from wgprof.model.engine.loop import run
from wgprof.model.engine.running import KICKS
from wgprof.model.limits import slice_ns
from wgprof.model.scenario import Scenario
from wgprof.model.simulate import simulate


def _kicks() -> Ints:
    return np.zeros(1 + 2 * KICKS, dtype=np.int64)


def _steps(scenario: Scenario, costs: Costs, seconds: float, cpu: int) -> list[tuple[float, int, int]]:
    """Finished steps of a CPU: time in ns, kind, n."""
    sim = build(scenario, costs, 11, seconds, 0.0, traced=200_000)
    run(sim, _kicks(), np.inf)
    rows = sim.trace[: sim.p[0].traced]
    assert len(rows) < 200_000
    return [(float(r.time), int(r.kind), int(r.n)) for r in rows if r.cpu == cpu]


def _fifo(sim: Sim, number: int) -> list[int]:
    f = sim.fifos[number]
    size, base = int(f["size"]), int(f["base"])  # a record has a `size` and a `base` of its own
    assert f.len <= size
    return [int(sim.slots[base + (f.head + n) % size]) for n in range(f.len)]


def _check_workers(sim: Sim) -> None:
    """Each flag of an item has exactly one place in a run queue, or on the CPU; and what waits has an item."""
    p = sim.p[0]
    waiting: Counter[tuple[int, int]] = Counter()
    begun: Counter[tuple[int, int]] = Counter()
    for c in range(p.cpus):
        for item in _fifo(sim, p.works + c):
            (begun if item >= p.items else waiting)[c, item % p.items] += 1
        if sim.cpus[c].work >= 0:
            begun[c, int(sim.cpus[c].work)] += 1
    expected_waiting, expected_begun = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
    for ring in range(p.rings):
        for c in range(p.cpus):
            executing = int(sim.slots[p.executing + c * p.rings + ring])
            expected_begun[c, ring] = executing
            expected_waiting[c, ring] = int(sim.slots[p.pending + c * p.rings + ring] and not executing)
        if sim.fifos[p.ring_queues + ring].len:
            assert any(expected_begun[c, ring] or expected_waiting[c, ring] for c in range(p.cpus)), "ring stranded"
    for tunnel in range(p.tunnels):
        peer, item = sim.peers[p.tunnels + tunnel], int(p.rings + tunnel)
        expected_begun[int(peer.cpu), item] = int(peer.executing)
        expected_waiting[int(peer.cpu), item] = int(peer.pending and not peer.executing)
        heads = _fifo(sim, p.peer_queues + TX * p.tunnels + tunnel)
        if heads and sim.packets[heads[0]].ready:
            assert peer.executing or peer.pending, "tx-queue stranded"
        sender = [(c, p.napi_threads - p.tunnels + tunnel) for c in range(p.cpus)]
        awake = sum(waiting.pop(place, 0) + begun.pop(place, 0) for place in sender)
        assert awake == sim.sources[tunnel].awake >= (sim.fifos[p.sockets + tunnel].len > 0)
    assert +waiting == +expected_waiting and +begun == +expected_begun


@pytest.mark.parametrize("tunnels", [1, 4])
def test_an_item_queued_while_it_is_executed_has_one_worker(tunnels: int) -> None:
    """find_worker_executing_work(): never two at once, and what was queued meanwhile is run; turns of 1.5 ms."""
    sim = build(Scenario(2, tunnels, direction="loop", window=900), MODERN, 1, 0.1, 0.0)
    assert sim.p[0].slice == 1.5e6
    kicks, queued_again = _kicks(), 0
    for until in np.arange(0.0, 0.1e9, 97e3):
        run(sim, kicks, until)
        _check_workers(sim)
        flags = (sim.slots[at : at + 2 * sim.p[0].rings] for at in (sim.p[0].pending, sim.p[0].executing))
        queued_again += int(np.logical_and(*flags).any())
        if until < 0.08e9:
            before = sim.napis["delivered"][:tunnels].copy()
    assert queued_again > 20
    assert (sim.napis["delivered"][:tunnels] > before).all()


def test_a_decryption_marks_the_poll_and_the_next_unlock_runs_it() -> None:
    """On a CPU without interrupts a poll comes after taking a packet or after an empty ring, never after decrypting."""
    scenario = Scenario(2, 1, spread="even", window=256)
    steps = _steps(scenario, MODERN, 0.05, cpu=1)
    before_polls = Counter((kind, n) for (_, kind, n), (_, after, _) in pairwise(steps) if after == POLL != kind)
    assert {kind for kind, _ in before_polls} == {CONSUME}
    assert before_polls[CONSUME, 1] > 100  # nested: with a packet taken
    after_decryption = {after for (_, kind, _), (_, after, _) in pairwise(steps) if kind == CRYPT}
    assert CONSUME in after_decryption and POLL not in after_decryption
    nested = {
        after
        for (_, a, n), (_, b, _), (_, after, _) in zip(steps, steps[1:], steps[2:], strict=False)
        if (a, n, b) == (CONSUME, 1, POLL)
    }
    assert nested <= {POLL, CRYPT}


def test_in_a_loop_the_sender_and_the_workers_take_turns() -> None:
    """A slow sender has 0.75 ms on one CPU, then those who wait; it never comes between a packet's take and its end."""
    slow = only(stage=20_000, encrypt=5_000, decrypt=5_000, send=5_000, deliver=1_000, receive=1_000, consume=100)
    steps = _steps(Scenario(1, 1, direction="loop", gso=1, window=400), slow, 0.1, cpu=0)
    own = [(time, kind) for time, kind, _ in steps if kind in (XMIT, CONSUME, CRYPT, SEND)]
    turns, began = [], 0.0
    for (time, kind), (_, after) in pairwise(own):
        began = began or time
        if (kind == XMIT) != (after == XMIT):
            turns.append((kind == XMIT, time - began))
            began = 0.0
    of_sender = [lasted for sends, lasted in turns if sends]
    assert len(of_sender) > 5 and len(turns) > 2 * len(of_sender) - 2
    assert slice_ns(1) / 2 < max(of_sender) < slice_ns(1) + 2 * 20_000
    held = [after for (_, kind, n), (_, after, _) in pairwise(steps) if (kind, n) == (CONSUME, 1)]
    assert held and not {XMIT, WORK_BEGIN} & set(held)


@pytest.mark.parametrize("module", ["vanilla", "inline"])
def test_elsewhere_wg_xmit_is_a_softirq(module: str) -> None:
    """A gateway forwards what its other NIC received."""
    steps = _steps(Scenario(1, 1, module, direction="tx", gso=4, window=64), MODERN, 0.01, cpu=0)
    kinds = Counter(kind for _, kind, _ in steps)
    assert not kinds[XMIT]
    assert kinds[NIC] > 50 or module == "inline"


def test_in_a_loop_inline_senders_are_threads_that_find_a_cpu_each() -> None:
    """Whatever the flows' hashes, two tunnels have both CPUs, and what a thread sends is received on its CPU."""
    for seed in range(1, 6):
        result = simulate(Scenario(2, 2, "inline", direction="loop", gso=8, window=64), MODERN, seed, 0.02, 0.01)
        assert result is not None and min(result.busy_by_cpu) > 0.95
    steps = _steps(Scenario(1, 1, "inline", direction="loop", gso=8, window=64), MODERN, 0.01, cpu=0)
    after = Counter(following for (_, kind, _), (_, following, _) in pairwise(steps) if kind == XMIT)
    assert set(after) == {INLINE}


@pytest.mark.parametrize("module", ["vanilla", "inline"])
def test_the_two_ends_cost_what_they_cost_in_a_loop_alone(module: str) -> None:
    """900 ns a packet sent; 2,000 ns and two acknowledgements' parts for what GRO made, one a packet at 64 KB."""
    ends: dict[str, float] = {"write": 900, "read": 2_000, "ack_send": 300, "ack_deliver": 200}
    costs = only("constant", **({name: q.value for name, q in MODERN.costs.items()} | ends))
    for direction, each in (("loop", 3_400), ("rx", 0)):
        scenario = Scenario(2, 1, module, direction=direction, packet_bytes=65_536, gso=4, window=64)
        result = simulate(scenario, costs, 1, 0.2, 0.05)
        assert result is not None and result.packets > 1000
        spent = result.busy_by_kind["the two ends"] * result.seconds * 1e9
        assert spent == pytest.approx(each * result.packets, rel=0.03)


def test_a_napi_thread_waits_for_its_turn_where_the_scheduler_keeps_to_who_runs() -> None:
    """Packets gather meanwhile, so GRO has more to merge; where it may interrupt workers it polls packet by packet."""
    batch = {}
    for parity in (False, True):
        scenario = Scenario(2, 2, direction="loop", threaded=True, window=256, run_to_parity=parity)
        sim = build(scenario, MODERN, 3, 0.2, 0.0, traced=200_000)
        run(sim, _kicks(), np.inf)
        polls = [int(r.n) for r in sim.trace[: sim.p[0].traced] if r.kind == POLL and r.n]
        batch[parity] = sum(polls) / len(polls)
        assert sim.cpus["thread"].max() < 0 or not parity
    assert batch[True] > 5 * batch[False]


def test_a_poll_in_a_thread_is_not_left_for_another() -> None:
    scenario = Scenario(1, 2, direction="loop", threaded=True, window=256, run_to_parity=True)
    steps = _steps(scenario, MODERN, 0.1, cpu=0)
    after = {(b == POLL) for (_, a, n), (_, b, _) in pairwise(steps) if a == POLL and n and b not in (NIC,)}
    assert after == {True}
