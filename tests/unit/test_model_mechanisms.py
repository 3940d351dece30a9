"""What is known of WireGuard's scaling comes out of the rules; nothing of it is put in."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import pytest

from tests.support.model import MODERN, only
from wgprof.model.machine import read_machine
from wgprof.model.machines import shipped
from wgprof.model.placement import place
from wgprof.model.scenario import Scenario
from wgprof.model.simulate import Result, simulate

_GATEWAY = read_machine(shipped("papers-gateway"))


@cache
def _gateway(module: str, threaded: bool, tunnels: int, seconds: float = 0.3, warmup: float = 0.1) -> Result:
    scenario = _GATEWAY.scenario(32, tunnels, module, threaded, "rx", 1420)
    result = simulate(scenario, _GATEWAY.costs, 1, seconds, warmup)
    assert result is not None
    return result


def _run(scenario: Scenario, seconds: float = 0.1, warmup: float = 0.05) -> Result:
    result = simulate(scenario, MODERN, 1, seconds, warmup)
    assert result is not None
    return result


@pytest.mark.slow
def test_polls_of_many_tunnels_converge_on_a_few_cpus() -> None:
    """The black hole (S4): most CPUs idle, aggregate below three tunnels' worth."""
    vanilla = _gateway("vanilla", False, 16, 0.5, 1.5)
    assert vanilla.delivering_cpus <= 2
    assert vanilla.limit.server == "one CPU: NAPI polls"
    assert vanilla.cpu_share < 0.35
    assert vanilla.gbit_s < 3 * _gateway("vanilla", False, 1).gbit_s


@pytest.mark.slow
@pytest.mark.parametrize(("module", "threaded"), [("vanilla", True), ("steered", False)])
def test_threads_and_steering_keep_them_apart(module: str, threaded: bool) -> None:
    other = _gateway(module, threaded, 16)
    assert other.delivering_cpus > 10
    assert other.gbit_s > 2.5 * _gateway("vanilla", False, 16, 0.5, 1.5).gbit_s


def test_threads_do_nothing_for_one_tunnel() -> None:
    assert _gateway("vanilla", True, 1).gbit_s == pytest.approx(_gateway("vanilla", False, 1).gbit_s, rel=0.02)


@pytest.mark.slow
def test_inline_binds_a_tunnel_to_a_core_and_many_to_all() -> None:
    one, many = _gateway("inline", False, 1), _gateway("inline", False, 64)
    assert one.delivering_cpus == 1
    assert one.gbit_s < _gateway("vanilla", False, 1).gbit_s
    # 1.29, not 1.32: what is decrypted during GRO's flush is a missed wake-up, so threads wake and poll less often.
    assert many.gbit_s > 1.25 * _gateway("vanilla", True, 64).gbit_s


def test_rss_leaves_cores_without_a_tunnel() -> None:
    """16 flows hash to fewer queues than 16: inline can use no more cores than that."""
    hashed = Scenario(16, 16, "inline", window=256)
    queues = set(place(hashed, 1).nic)
    by_hash, even = _run(hashed), _run(replace(hashed, spread="even"))
    assert len(queues) < 16
    assert by_hash.gbit_s / even.gbit_s == pytest.approx(len(queues) / 16, rel=0.02)


def test_a_worker_interrupted_with_a_packet_in_hand_stalls_its_peer() -> None:
    """Head stalls (S6): the NIC's CPU decrypts too, and its softirqs come between; absent with a CPU for each role."""
    apart = Scenario(4, 1, "steered", decrypt_cpus=(1, 2), deliver_cpus=(3,), spread="even", window=256)
    mixed = replace(apart, decrypt_cpus=(0, 2))
    alone, own_us = _run(apart), (MODERN.costs["decrypt"].value + MODERN.costs["cross"].value) / 1e3
    # 0.21, not 0: GRO's flush comes once, after deliveries, so the next head is one while it is still being decrypted.
    assert alone.stall_mean_us < 0.3 and alone.counts["nested polls"] == 0
    assert _run(mixed).stall_mean_us > own_us


def test_wasted_polls_and_wake_ups_are_there_without_load() -> None:
    """Packets that come one by one: a poll and a woken worker each (S8), and polls for nothing (S5)."""
    single = _run(Scenario(8, 4, gso=4, rate_pps=40_000))
    assert single.counts["wake-ups"] > 0.8 * single.packets
    assert single.counts["empty polls"] > 0.05 * single.counts["polls"]


def test_a_full_peer_queue_loses_packets_and_the_window_gives_way() -> None:
    """Silent drops (S12): refused at the rx-queue, not at the NIC."""
    slow = only(receive=300, decrypt=500, deliver=5_000)
    scenario = Scenario(4, 1, "steered", deliver_cpus=(3,), spread="even", queue_limit=128, window=2048)
    result = simulate(scenario, slow, 1, 0.2, 0.1)
    assert result is not None
    assert result.counts["refused by rx-queue or tx-queue"] > 0 == result.counts["dropped at the NIC"]
    assert result.pps == pytest.approx(1 / 5_000e-9, rel=0.05)


def test_work_on_another_node_costs_its_factor() -> None:
    costs = replace(only(decrypt=4_000), numa=replace(MODERN.numa, value=1.5, low=1.5, high=1.5))
    scenario = Scenario(4, 1, "steered", nodes=2, spread="even", decrypt_cpus=(1,), window=256)
    near = simulate(scenario, costs, 1, 0.1, 0.05)
    far = simulate(replace(scenario, decrypt_cpus=(3,)), costs, 1, 0.1, 0.05)
    assert near is not None and far is not None
    assert near.pps / far.pps == pytest.approx(1.5, rel=0.02)


def test_a_list_of_segments_is_one_hand_off() -> None:
    """GSO: a wake-up and a place in the queue for each list, not for each segment."""
    lists = _run(Scenario(4, 1, direction="tx", gso=40, window=400))
    singles = _run(Scenario(4, 1, direction="tx", gso=1, window=400))
    assert lists.pps > 1.5 * singles.pps
    assert lists.counts["work executions"] / lists.packets < 0.2 * singles.counts["work executions"] / singles.packets


def test_transmit_work_of_peers_with_equal_numbers_modulo_cpus_shares_a_cpu() -> None:
    """S3's variant: two tunnels on four CPUs go twice as fast as two that meet on one."""
    apart = _run(Scenario(4, 2, direction="tx", gso=16, window=256))
    met = _run(Scenario(4, 2, "steered", direction="tx", gso=16, window=256, transmit_cpus=(1,)))
    assert apart.pps > 1.3 * met.pps


@pytest.mark.parametrize("module", ["vanilla", "inline"])
def test_what_servers_were_busy_is_the_time_of_their_stages(module: str) -> None:
    """Of one CPU: the servers' times are parts of all that was spent, and each has what its stages took."""
    run = _run(Scenario(1, 2, module=module, direction="loop"))
    spent, served = run.busy_by_kind, run.busy_by_server
    if module == "inline":
        assert served["rx.inline"] == pytest.approx(spent["receive"] + spent["decrypt"] + spent["deliver"])
        assert served["tx.inline"] == pytest.approx(spent["xmit"] + spent["encrypt"] + spent["send"])
        assert run.wasted_polls is None
        return
    assert served["rx.napi"] == pytest.approx(spent["deliver"] + spent["wasted polls"])
    assert served["decrypt.work"] > spent["decrypt"] and served["encrypt.work"] > spent["encrypt"]
    assert served["tx.work"] > spent["send"]
    assert sum(served.values()) < run.busy_ce
    assert run.wasted_polls == run.counts["empty polls"] / run.counts["polls"]


def test_a_million_packets_a_second() -> None:
    _gateway("vanilla", True, 16)  # compiled by now
    scenario = _GATEWAY.scenario(32, 16, "vanilla", True, "rx", 1420)
    began = time.process_time()
    result = simulate(scenario, _GATEWAY.costs, 2, 0.2, 0.01)
    assert result is not None
    assert result.packets / (time.process_time() - began) > 1e6
