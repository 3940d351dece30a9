"""The simulator against queues with a formula: 1 % where the formula applies."""

from __future__ import annotations

import pytest

from tests.support.model import only
from wgprof.errors import UsageError
from wgprof.model import closed
from wgprof.model.costs import Costs
from wgprof.model.scenario import Scenario
from wgprof.model.simulate import Result, simulate

_US = 1e-6


def _run(scenario: Scenario, costs: Costs, packets: float, seed: int = 1) -> Result:
    assert scenario.rate_pps is not None
    result = simulate(scenario, costs, seed, packets / (scenario.rate_pps * scenario.tunnels), 0.01)
    assert result is not None
    return result


def _one_server(shape: str, load: float) -> float:
    """Mean wait in µs at one CPU that does everything in one step of 10 µs."""
    scenario = Scenario(1, 1, "inline", gso=1, budget=1, rate_pps=load / (10 * _US), nic_limit=50_000)
    result = _run(scenario, only(shape, receive=10_000), 3e6)
    assert sum(result.counts[name] for name in result.counts if "dropped" in name) == 0
    return result.latency_mean_us - 10


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_m_m_1(load: float) -> None:
    expected = closed.mm1_wait(load / (10 * _US), 10 * _US) / _US
    assert _one_server("exponential", load) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("load", [0.4, 0.8])
def test_m_d_1(load: float) -> None:
    expected = closed.md1_wait(load / (10 * _US), 10 * _US) / _US
    assert _one_server("constant", load) == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "load"), [(2, 0.7), (4, 0.8)])
def test_m_m_c_at_a_ring_whose_idle_workers_are_woken(servers: int, load: float) -> None:
    """Many peers of one device: packets of one peer then hardly ever wait for each other."""
    rate, tunnels = load * servers / (10 * _US), 4000
    scenario = Scenario(
        servers, tunnels, gso=1, rate_pps=rate / tunnels, unbound=True, shared_device=True, queue_limit=2000
    )
    result = _run(scenario, only("exponential", decrypt=10_000), 3e6)
    assert result.latency_mean_us - 10 == pytest.approx(closed.mmc_wait(rate, 10 * _US, servers) / _US, rel=0.01)


def test_blind_round_robin_waits_longer_than_a_shared_queue_should() -> None:
    """WireGuard's own choice of CPU leaves packets waiting while CPUs sleep: signature S9, and not M/M/c."""
    rate, tunnels = 0.7 * 4 / (10 * _US), 1000
    scenario = Scenario(4, tunnels, gso=1, rate_pps=rate / tunnels, shared_device=True, queue_limit=2000)
    result = _run(scenario, only("exponential", decrypt=10_000), 3e5)
    assert result.latency_mean_us - 10 > 1.2 * closed.mmc_wait(rate, 10 * _US, 4) / _US


@pytest.mark.slow
def test_tandem_of_decryption_and_ordered_delivery() -> None:
    """One worker, then the peer's NAPI on another CPU: two M/M/1 in a row (Burke)."""
    rate = 0.06 / _US
    scenario = Scenario(
        2, 1, "steered", decrypt_cpus=(0,), deliver_cpus=(1,), gso=1, budget=1, rate_pps=rate, spread="even",
        queue_limit=50_000, nic_limit=50_000,
    )  # fmt: skip
    result = _run(scenario, only("exponential", decrypt=10_000, deliver=8_000), 3e6)
    expected = closed.tandem_response(rate, [10 * _US, 8 * _US]) / _US
    assert result.latency_mean_us == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("decrypt", "deliver"), [(12_000, 1_000), (4_000, 2_500)])
def test_ordered_stage_caps_a_tunnel(decrypt: float, deliver: float) -> None:
    """Four workers and one ordered stage on a CPU of its own: whichever is slower."""
    scenario = Scenario(5, 1, "steered", decrypt_cpus=(0, 1, 2, 3), deliver_cpus=(4,), window=900, rtt_us=10)
    result = simulate(scenario, only(decrypt=decrypt, deliver=deliver), 1, 0.5, 0.5)
    assert result is not None
    assert result.pps == pytest.approx(closed.ordered_cap(decrypt / 1e9, 4, deliver / 1e9), rel=0.01)


@pytest.mark.parametrize("window", [1, 2, 4, 16])
def test_operational_bounds_hold_and_are_met_without_queueing(window: int) -> None:
    costs = only(receive=1_000, decrypt=5_000, deliver=2_000)
    scenario = Scenario(8, 1, gso=1, window=window, rtt_us=50, unbound=True)
    result = simulate(scenario, costs, 1, 0.2, 0.1)
    assert result is not None
    demands = [1_000e-9, 5_000e-9, 2_000e-9]
    bound = closed.throughput_bound(demands, [1, 8, 1], window, 50 * _US)
    assert result.pps <= bound * 1.001
    if window == 1:
        assert result.pps == pytest.approx(bound, rel=0.001)


def test_utilisation_law() -> None:
    result = simulate(Scenario(4, 3), only("exponential", receive=500, decrypt=3_000, deliver=700), 7, 0.3, 0.1)
    assert result is not None
    assert result.busy_by_kind["decrypt"] == pytest.approx(result.pps * 3_000e-9, rel=0.01)
    assert result.busy_by_kind["receive"] == pytest.approx(result.pps * 500e-9, rel=0.01)


def test_formulas_agree_where_they_meet() -> None:
    assert closed.mmc_wait(50_000, 1e-5, 1) == pytest.approx(closed.mm1_wait(50_000, 1e-5))
    assert closed.md1_wait(50_000, 1e-5) == pytest.approx(closed.mm1_wait(50_000, 1e-5) / 2)
    assert closed.tandem_response(1000, [1e-4]) == pytest.approx(1e-4 + closed.mm1_wait(1000, 1e-4))
    with pytest.raises(UsageError, match=r"load 1\.2"):
        closed.mm1_wait(1.2, 1.0)
