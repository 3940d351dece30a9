"""On a simulated gateway, where the truth is known, the analysis must find it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.simulated import FIRST_PEER, InMemory, Load, gateway
from wgprof.analysis.little import Batches, little
from wgprof.analysis.summary import Analysis, analyse
from wgprof.rules.diagnose import diagnose
from wgprof.rules.verdict import verdict

TX = Load(rate=4000, crypt_ns=300_000, serial_ns=200_000)
RX = Load(rate=3000, crypt_ns=200_000, serial_ns=300_000)


@pytest.fixture(scope="module")
def recording() -> InMemory:
    return gateway(seconds=10, tx=TX, rx=RX, seed=3)


@pytest.fixture(scope="module")
def analysis(recording: InMemory) -> Analysis:
    return analyse(recording)


def test_nothing_fails_on_a_consistent_recording(analysis: Analysis) -> None:
    assert [(c.name, c.subject, c.detail) for c in analysis.failed] == []


def test_window_leaves_the_idle_edges_out(analysis: Analysis) -> None:
    assert analysis.window is not None
    assert analysis.window.offset_s == pytest.approx(0.5)
    assert analysis.window.duration_s == pytest.approx(10.0, abs=0.2)
    assert analysis.window.recorded_s > analysis.window.duration_s + 0.9


def test_throughput_is_what_was_sent(analysis: Analysis) -> None:
    assert analysis.headline is not None
    tx, rx = analysis.headline.throughput
    assert tx.rate_pps == pytest.approx(TX.rate, rel=0.03)
    assert tx.rate_mbit_s == pytest.approx(TX.rate * TX.octets * 8 / 1e6, rel=0.03)
    assert rx.rate_pps == pytest.approx(RX.rate, rel=0.03)


def test_serial_servers_have_their_demand_utilisation_and_cap(analysis: Analysis) -> None:
    assert analysis.headline is not None
    for flow, load, kind in zip(analysis.headline.throughput, (TX, RX), ("tx.work", "rx.napi"), strict=True):
        server = flow.server
        assert server is not None
        assert (server.kind, server.serial, server.object) == (kind, True, FIRST_PEER)
        demand_ns = load.serial_ns + 1000  # and the work item's own time
        assert server.demand_ns == pytest.approx(demand_ns, rel=0.001)
        assert server.cap_pps == pytest.approx(1e9 / demand_ns, rel=0.001)
        assert server.cap_mbit_s == pytest.approx(1e9 / demand_ns * load.octets * 8 / 1e6, rel=0.001)
        assert server.utilisation == pytest.approx(flow.rate_pps * demand_ns / 1e9, rel=0.001)


def test_parallel_workers_cap_at_all_cpus_and_one_cpu_caps_nothing(analysis: Analysis) -> None:
    pool, *single = (s for s in analysis.servers if s.kind == "encrypt.work")
    assert pool.capacity == 2
    assert pool.cap_pps is not None and pool.demand_ns is not None
    assert pool.cap_pps == pytest.approx(2e9 / pool.demand_ns)
    assert [s.cap_pps for s in single] == [None, None]
    assert sum(s.busy_ce for s in single) == pytest.approx(pool.busy_ce)


def test_service_times_have_mean_and_quantiles(analysis: Analysis) -> None:
    stages = {(s.stage, s.object): s for s in analysis.stages}
    send = stages["tx.send", None]
    assert send.service_mean_ns == TX.serial_ns
    for quantile in (send.service_p50_ns, send.service_p99_ns):
        assert quantile == pytest.approx(TX.serial_ns, rel=0.06)  # all alike, so only the buckets' error
    encrypt = stages["tx.encrypt", None]
    assert encrypt.service_mean_ns == pytest.approx(TX.crypt_ns, rel=0.03)
    assert encrypt.service_p50_ns == pytest.approx(TX.crypt_ns * np.log(2), rel=0.09)
    assert encrypt.service_p99_ns == pytest.approx(TX.crypt_ns * np.log(100), rel=0.12)
    assert encrypt.cpus == (0, 1)
    assert send.cpus == (0,)


def test_little_holds_where_the_queue_is_long_enough_and_is_left_open_elsewhere(analysis: Analysis) -> None:
    laws = {q.queue: q.law for q in analysis.queues}
    for queue in ("tx-queue", "rx-queue"):
        law = laws[queue]
        assert law is not None and law.residual is not None and law.residual_interval is not None
        assert law.depth > 1
        assert law.verdict == "ok"
        assert abs(law.residual) < max(0.05, law.residual_interval)
    ring = laws["decrypt-ring"]
    assert ring is not None and ring.depth < 1
    assert ring.verdict == "unknown"
    assert "too few" in ring.reason


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rate=st.floats(500, 2500),
    load=st.floats(0.75, 0.93),
    segments=st.sampled_from([1, 3, 8]),
    peers=st.integers(1, 3),
    sample_every=st.sampled_from([1, 3, 7]),
    seed=st.integers(0, 2**16),
)
def test_little_and_conservation_hold_on_any_gateway(
    *, rate: float, load: float, segments: int, peers: int, sample_every: int, seed: int
) -> None:
    serial_ns = int(load / rate / segments * 1e9)
    # One worker more than the mean load needs, as in a queue that is stable.
    tx = Load(rate=rate, segments=segments, crypt_ns=serial_ns, serial_ns=serial_ns)
    analysis = analyse(gateway(seconds=4, peers=peers, workers=peers + 1, tx=tx, sample_every=sample_every, seed=seed))
    assert [(c.name, c.subject, c.detail) for c in analysis.failed if c.name != "busy time"] == []
    judged = [q.law for q in analysis.queues if q.law is not None and q.law.verdict == "ok"]
    assert judged, "a serial server this busy keeps its queue above one"


def test_little_fails_when_the_depth_is_wrong(recording: InMemory) -> None:
    depths = recording.table("depths").copy()
    depths["depth_sum"] = depths["depth_sum"] * 2
    wrong = InMemory({**recording.tables, "depths": depths}, recording.manifest)
    failed = analyse(wrong).failed
    assert {c.subject.split(" ")[0] for c in failed if c.name == "Little's law"} >= {"tx-queue", "rx-queue"}
    assert {c.name for c in failed} == {"Little's law"}


def test_little_is_left_open_where_a_few_bursts_make_up_the_queue() -> None:
    """A burst whose waits were sampled by chance less than others must not read as a broken recording."""
    seconds = np.ones(30)
    depth_sum, wait_ns = np.full(30, 40.0), np.full(30, 1e8)
    burst = [7, 8]
    depth_sum[burst], wait_ns[burst] = 40_000.0, 9e11
    samples, accepted, journeys = np.full(30, 400.0), np.full(30, 100.0), np.full(30, 100.0)
    law = little(Batches(seconds, depth_sum, samples, accepted, wait_ns, journeys), journeys=3000)
    assert law.residual is not None and law.residual_interval is not None
    assert abs(law.residual) - law.residual_interval > 0.10
    assert (law.verdict, "bursts" in law.reason) == ("unknown", True)
    # The same difference everywhere is a broken recording.
    steady = Batches(seconds, np.full(30, 4000.0), samples, accepted, np.full(30, 3e10), journeys)
    assert little(steady, journeys=3000).verdict == "fail"


def test_changing_the_sampling_does_not_bias_the_waits(recording: InMemory) -> None:
    """Half of the time only every eighth journey is kept: weighted, nothing changes; unweighted, the law breaks."""
    intervals, journeys = recording.table("intervals").copy(), recording.table("journeys")
    # A rush in the second half: waits there are different, and sampled less.
    middle = int(intervals["t_ns"].iloc[len(intervals) // 2])
    late = journeys["end_ns"] >= middle
    kept = journeys[~late | (journeys["nonce"] % 32 == 0)]
    intervals.loc[intervals["t_ns"] >= middle, "sample_every"] = 32
    thinned = InMemory({**recording.tables, "intervals": intervals, "journeys": kept}, recording.manifest)
    full, thin = analyse(recording), analyse(thinned)
    for before, after in zip(full.waits, thin.waits, strict=True):
        assert before.mean_ns is not None and after.mean_ns is not None
        assert after.journeys < before.journeys
        assert after.mean_ns == pytest.approx(before.mean_ns, rel=0.15)


def lines_of(recording: InMemory) -> list[str]:
    analysis = analyse(recording)
    return verdict(analysis, diagnose(analysis, recording))


def test_verdict_is_three_lines_with_quality_first_only_when_it_failed(recording: InMemory) -> None:
    good = lines_of(recording)
    assert len(good) == 3
    assert good[1].startswith("Transmit ") and good[2].startswith("Quality: all ")
    lossy = recording.with_table("losses", [{"cause": "ring-full", "where": "events", "count": 3}])
    bad = lines_of(lossy)
    assert len(bad) == 3
    assert bad[0].startswith("Quality: 1 of ") and "losses (events)" in bad[0]


@pytest.mark.parametrize("with_intervals", [True, False])
def test_nothing_flowed_is_an_answer(with_intervals: bool) -> None:
    empty = InMemory()
    if with_intervals:
        empty = empty.with_table("intervals", [{"t_ns": 1, "dt_ns": 100, "sample_every": 1}])
    analysis = analyse(empty)
    assert analysis.window is None and analysis.headline is None
    assert lines_of(empty)[0].startswith("Nothing flowed")
