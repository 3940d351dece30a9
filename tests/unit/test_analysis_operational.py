"""The operational laws, their intervals, and the cost of order: properties that hold for any figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.simulated import FIRST_PEER, InMemory, Load, gateway
from tests.support.situation import INTERVAL_NS, Situation, receiver
from wgprof.analysis.estimate import LEAST_SPANS, Estimate, correlation, ratio, share, student
from wgprof.analysis.histogram import HistogramSums, counts_of
from wgprof.analysis.laws import CPUS
from wgprof.analysis.spans import spans_of
from wgprof.analysis.summary import Analysis, analyse, busy_words, limits_line
from wgprof.analysis.tables import only, within

TX = Load(rate=1000, crypt_ns=600_000, serial_ns=750_000)
RX = Load(rate=800, crypt_ns=600_000, serial_ns=900_000)


@pytest.fixture(scope="module")
def recording() -> InMemory:
    return gateway(seconds=6, peers=2, workers=4, tx=TX, rx=RX, seed=11)


@pytest.fixture(scope="module")
def analysis(recording: InMemory) -> Analysis:
    return analyse(recording)


def test_utilisation_is_throughput_times_demand_and_the_cap_is_where_it_reaches_one(analysis: Analysis) -> None:
    assert analysis.spans is not None
    seconds = analysis.spans.seconds.sum()
    for law in analysis.laws.rows:
        x = law.packets / seconds
        assert law.occupancy == law.utilisation, "nothing runs on top of a simulated server"
        assert law.busy_ce.value == pytest.approx(x * law.demand_ns.value / 1e9, rel=1e-6)
        assert law.utilisation.value == pytest.approx(law.busy_ce.value / law.capacity)
        assert law.cap_pps is not None and law.headroom is not None
        assert law.cap_pps.value == pytest.approx(x * law.headroom, rel=1e-6)


def test_laws_and_servers_say_the_same(analysis: Analysis) -> None:
    laws = {law.label: law for law in analysis.laws.rows}
    for server in analysis.servers:
        if server.cap_pps is not None:
            cap = laws[server.label].cap_pps
            assert cap is not None and cap.value == pytest.approx(server.cap_pps, rel=0.01)


def test_intervals_hold_the_simulated_demand(analysis: Analysis) -> None:
    for law in analysis.laws.of("tx.work"):
        low, high = law.demand_ns.low, law.demand_ns.high
        assert low is not None and high is not None
        assert low <= TX.serial_ns + 1_000 <= high


def test_nothing_on_a_way_carries_more_than_its_asymptotic_bound(analysis: Analysis) -> None:
    """X <= 1 / largest demand, and the next limit is the busiest of what is left."""
    for direction in ("tx", "rx"):
        way = analysis.laws.on_the_way(direction, FIRST_PEER)
        busiest = max(way, key=lambda law: law.utilisation.value)
        # (The simulated CPUs do more than one thing at a time, so their own account is not bounded.)
        assert all(law.utilisation.value <= 1.0 for law in way if law.kind not in (CPUS, "rx.softirq"))
        following = analysis.laws.next_limit(direction, (busiest.kind,), FIRST_PEER)
        assert following is not None and following.kind != busiest.kind
        assert following.utilisation.value <= busiest.utilisation.value
        assert {law.object for law in way} <= {None, FIRST_PEER}
        assert any(law.kind == CPUS for law in way)


def test_a_peer_gains_from_cores_until_its_serial_server_is_the_limit(analysis: Analysis) -> None:
    for row in analysis.laws.scaling:
        assert row.useful_cores >= 1
        assert row.cap_pps == pytest.approx(1e9 / row.serial_ns)
        # With so many cores the CPUs together carry what the serial server alone can.
        assert row.useful_cores * 1e9 / (row.serial_ns + row.parallel_ns) == pytest.approx(row.cap_pps)


def test_the_receive_softirq_of_a_cpu_is_a_server_of_the_flows_that_arrive_there() -> None:
    situation = receiver(peers=2).cpu(0, softirq=0.5, net_rx=0.1)
    laws = analyse(situation.recording()).laws
    (softirq,) = laws.of("rx.softirq")
    # 20,000 packets/s at 2 us, and a tenth of the CPU in front of them.
    assert softirq.cpu == 0
    assert softirq.busy_ce.value == pytest.approx(0.14)
    assert softirq.demand_ns.value == pytest.approx(7_000)
    assert laws.received_on == {2: 0, 3: 0}
    assert softirq in laws.on_the_way("rx", FIRST_PEER)


numbers = st.lists(st.tuples(st.floats(0, 1e9), st.floats(0.001, 1e9)), min_size=1, max_size=40)


@given(numbers)
def test_a_ratio_lies_in_its_interval_and_between_the_extremes(spans: list[tuple[float, float]]) -> None:
    above, below = (np.array(column) for column in zip(*spans, strict=True))
    estimate = ratio(above, below)
    assert estimate is not None
    each = above / below
    assert each.min() * (1 - 1e-6) - 1e-9 <= estimate.value <= each.max() * (1 + 1e-6) + 1e-9
    if len(spans) < LEAST_SPANS:
        assert estimate.low is None
    else:
        assert estimate.low is not None and estimate.high is not None
        assert 0 <= estimate.low <= estimate.value * (1 + 1e-9) and estimate.value <= estimate.high * (1 + 1e-9)


@given(numbers, st.floats(1e-3, 1e3))
def test_scaling_and_inverting_keep_the_interval_in_order(spans: list[tuple[float, float]], factor: float) -> None:
    above, below = (np.array(column) for column in zip(*spans, strict=True))
    estimate = ratio(above + 1.0, below)
    assert estimate is not None
    scaled, inverse = estimate.scaled(factor), estimate.inverse(factor)
    assert inverse is not None
    assert scaled.value * inverse.value == pytest.approx(factor**2, rel=1e-9)
    for row in (scaled, inverse):
        if row.low is not None and row.high is not None:
            assert row.low <= row.value * (1 + 1e-9) and row.value <= row.high * (1 + 1e-9)


def test_constant_spans_have_no_width_and_one_span_has_no_interval() -> None:
    assert ratio(np.full(10, 3.0), np.full(10, 2.0)) == Estimate(1.5, 1.5, 1.5, 10)
    assert ratio(np.array([3.0]), np.array([2.0])) == Estimate(1.5, n=1)
    assert ratio(np.zeros(3), np.zeros(3)) is None


def test_no_share_is_more_than_its_whole_nor_less_than_nothing() -> None:
    whole = np.full(6, 100.0)
    nearly = np.array([100.0, 100, 100, 100, 100, 90])
    wide, cut = ratio(nearly, whole), share(nearly, whole)
    assert wide is not None and wide.high is not None and wide.high > 1
    assert cut == Estimate(wide.value, wide.low, 1.0, 6)
    two = share(2 * nearly, whole, 2)
    assert two is not None and two.high == 2 and two.scaled(1 / 2).high == 1
    signed = share(np.array([-9.0, 10, 0, 0, 0, 0]), whole)
    assert signed is not None and signed.low == 0


def test_a_share_beyond_its_whole_is_a_fault_to_be_seen() -> None:
    whole = np.full(6, 100.0)
    beyond = np.array([100.0, 100, 130, 100, 100, 120])
    assert share(beyond, whole) == ratio(beyond, whole)


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(800):
        below = rng.uniform(50, 150, 12)
        estimate = ratio(below * rng.normal(2.0, 0.4, 12), below)
        assert estimate is not None and estimate.low is not None and estimate.high is not None
        hits += estimate.low <= 2.0 <= estimate.high
    assert 0.92 < hits / 800 < 0.98


@pytest.mark.parametrize(("freedom", "wanted"), [(1, 12.706), (9, 2.262), (30, 2.042), (60, 2.000), (1000, 1.962)])
def test_students_t(freedom: int, wanted: float) -> None:
    assert student(freedom) == pytest.approx(wanted, rel=0.005)


@given(st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=5, max_size=30, unique=True))
def test_rank_correlation_knows_order_alone(values: list[float]) -> None:
    series = np.array(values)
    assert correlation(series, series**3)[0] == pytest.approx(1.0)
    assert correlation(series, -np.exp(series / 1e3))[0] == pytest.approx(-1.0)
    assert correlation(series, np.ones(series.size)) == (None, len(values))
    assert correlation(series[:3], series[:3]) == (None, 3)


@settings(max_examples=8, deadline=None)
@given(seconds=st.floats(1.0, 9.0), pause=st.tuples(st.floats(1, 4), st.floats(1, 4)))
def test_spans_hold_every_interval_in_which_bytes_moved_and_no_other(
    seconds: float, pause: tuple[float, float]
) -> None:
    situation = Situation(cpus=1, seconds=seconds).stage("tx.send", 5_000, 2.0).pause(pause[0], sum(pause))
    recording = situation.recording()
    window = analyse(recording).window
    assert window is not None
    spans = spans_of(recording, window)
    moved = within(recording.table("interfaces"), window)
    moved = moved[(moved["tx_bytes"] > 0) | (moved["rx_bytes"] > 0)]
    assert spans.seconds.sum() == pytest.approx(moved["t_ns"].nunique() * INTERVAL_NS / 1e9)
    assert spans.seconds.sum() + spans.idle_s == pytest.approx(window.duration_s)
    sent = only(recording.table("stages"), stage="tx.send")
    assert spans.total(sent, "packets").sum() == within(sent, window)["packets"].sum()


def test_intervals_that_are_ages_apart_take_no_memory() -> None:
    """A damaged recording may say that its last interval was centuries later."""
    recording = receiver(seconds=3).recording()
    for name, frame in recording.tables.items():
        if len(frame) and "t_ns" in frame:
            late = frame["t_ns"] == frame["t_ns"].max()
            recording.tables[name] = frame.assign(t_ns=frame["t_ns"].where(~late, 9 * 10**18))
    analysis = analyse(recording)
    assert analysis.window is not None and analysis.window.duration_s > 1e9
    assert analysis.spans is not None and len(analysis.spans) <= 6


def test_histograms_added_up_at_once_are_those_added_up_one_by_one(recording: InMemory, analysis: Analysis) -> None:
    assert analysis.window is not None
    table = recording.table("histograms")
    metrics = sorted(table["metric"].astype(str).unique())
    sums, inside = HistogramSums(table, analysis.window, metrics[1:]), within(table, analysis.window)
    for metric in metrics[1:]:
        rows = only(inside, metric=metric)
        assert np.array_equal(sums.of(metric), counts_of(rows))
        for number in rows["object"].unique():
            assert np.array_equal(sums.of(metric, int(number)), counts_of(only(rows, object=number)))
    assert not sums.of("tx.send.service", 999).any()


@settings(max_examples=10, deadline=None)
@given(every=st.integers(5, 60), stalled=st.floats(50, 900), gap=st.floats(5, 60))
def test_no_packet_is_held_longer_than_it_waited_nor_without_a_holder(every: int, stalled: float, gap: float) -> None:
    situation = Situation(cpus=4).stage("rx.deliver", 1_000, 1.0)
    situation.journeys(600, every=every, stalled_us=stalled, gap_us=gap, stall_cpu=2)
    everything, peer = analyse(situation.recording()).held
    assert (everything.object, peer.object, everything.journeys) == (None, FIRST_PEER, 600)
    assert peer.held * peer.held_mean_ns <= peer.waits_mean_ns * peer.journeys * (1 + 1e-9)
    assert sum(peer.holder_ns.values()) == pytest.approx(peer.held * peer.held_mean_ns)
    # Whoever comes less than the stall after the head is ready before it: gap * k < stalled + its own microsecond.
    behind = min(every - 1, int((stalled - 1) // gap))
    stalls = 600 // every
    assert peer.held == pytest.approx(behind * stalls, abs=2 * stalls + every)


def test_the_busiest_server_is_shown_with_what_it_was_chosen_by() -> None:
    """Of two works the less busy one has less room: softirqs run on top of it."""
    situation = Situation(cpus=2, peers=2)
    for peer, us, nested_us in ((FIRST_PEER, 30.0, 0.0), (FIRST_PEER + 1, 20.0, 40.0)):
        situation.stage("tx.send", 10_000, us, peer=peer, nested_us=nested_us)
        situation.runs("tx.work", 1_000, 10_000, 0.0, owner=peer)
    analysis = analyse(situation.recording())
    headline = analysis.headline
    assert headline is not None
    server = headline.throughput[0].server
    assert server is not None and server.object == FIRST_PEER + 1
    assert busy_words(server) == "60 % occupied, with its own work (20 %, 0.20 CE) and what runs on top of it"
    assert f"{server.label} is 60 % occupied" in limits_line(headline)
    (other,) = (s for s in analysis.servers if s.object == FIRST_PEER)
    assert busy_words(other) == "30 % busy (0.30 CE)"
