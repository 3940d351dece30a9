"""What the views of packets, runs, stacks and checks show follows from the tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.support.simulated import FIRST_PEER, InMemory, Load, gateway
from tests.unit.test_show import with_mechanics, with_perf
from tests.unit.test_views_figures import words
from wgprof.agent.layout import BUCKETS
from wgprof.analysis import checks
from wgprof.analysis.cores import Bins
from wgprof.analysis.journeys import Journeys, Sampling, join_journeys
from wgprof.analysis.latency import Latency, blocked_by, latency_of, steps_of
from wgprof.analysis.names import Names
from wgprof.analysis.residence import residence_of
from wgprof.analysis.summary import Analysis, analyse
from wgprof.rules.comparison import compared
from wgprof.views import compare, journeys, latency, quality, queues, stacks, wakeups

TX = Load(rate=900, crypt_ns=200_000, serial_ns=300_000)


@pytest.fixture(scope="module")
def recording() -> InMemory:
    return gateway(seconds=4, peers=2, workers=2, tx=TX, sample_every=1, seed=9)


@pytest.fixture(scope="module")
def analysis(recording: InMemory) -> Analysis:
    return analyse(recording)


@pytest.fixture(scope="module")
def joined(recording: InMemory) -> Journeys:
    return join_journeys(recording.table("journeys"))


@pytest.fixture(scope="module")
def tx(recording: InMemory, joined: Journeys) -> Latency:
    return latency_of(joined, Sampling.of(recording), "tx")


def packets(rows: list[dict[str, Any]]) -> Journeys:
    """Transmit journeys of one peer and session: nonce and (start, end, CPU) of each stage."""
    events = [
        {"nonce": row["nonce"], "key_index": 1, "object": 2, "point": point, "cpu": cpu, "end_ns": end,
         "service_ns": end - start}
        for row in rows for point, (start, end, cpu) in enumerate(row["stages"], start=1)
    ]  # fmt: skip
    return join_journeys(InMemory().with_table("journeys", events).table("journeys"))


def test_steps_add_up_to_the_whole_and_agree_with_the_means(tx: Latency, joined: Journeys, analysis: Analysis) -> None:
    assert steps_of("tx") == ("tx.stage", "tx.encrypt.wait", "tx.encrypt", "tx.send.wait", "tx.send")
    assert (tx.total_ns == joined.end_ns[2, tx.rows] - joined.start_ns[0, tx.rows]).all()
    means = {wait.wait: wait.mean_ns for wait in analysis.waits if wait.object is None}
    assert tx.steps_ns[3].mean() == pytest.approx(means["tx.send.wait"], rel=0.01)
    assert (np.diff(tx.began_ns) >= 0).all()


def test_typical_and_slowest_packets_lie_where_they_are_said_to(tx: Latency) -> None:
    total = np.sort(tx.total_ns)
    middle, slow = tx.between(0.45, 0.55).sum(), tx.between(0.99, 1.0).sum()
    assert total[int(0.45 * total.size) - 1] <= middle <= total[int(0.55 * total.size) + 1]
    assert slow == pytest.approx(total[int(0.99 * total.size) :].mean(), rel=0.02)
    figure = latency.waterfall([tx]).checked()
    ends = [float(trace.base[-1] + trace.x[-1]) for trace in figure.data]
    assert ends == pytest.approx([time / (1e6 if time > 1e6 else 1e3) for time in (middle, slow)], rel=0.01)
    assert list(figure.data[0].base[1:]) == pytest.approx(np.cumsum(figure.data[0].x)[:-1], abs=0.001)


def test_percentiles_are_those_of_the_packets_and_stop_where_nothing_is_known(tx: Latency) -> None:
    figure = latency.percentiles([tx]).checked()
    (whole,) = (trace for trace in figure.data if trace.name == "end to end")
    at = int(np.argmin(np.abs(whole.x - 1)))  # one nine: 90 %
    share = 1 - 10.0 ** -float(whole.x[at])
    assert float(whole.y[at]) * 1e9 == pytest.approx(np.quantile(tx.total_ns, share), rel=0.02)
    assert 10.0 ** -float(whole.x[-1]) * len(tx) >= 4.9
    assert len(figure.data) == 6


def test_the_heat_map_has_every_moment_whole(tx: Latency) -> None:
    figure = latency.over_time([tx], int(tx.began_ns[0])).checked()
    sums = np.nansum(np.array(figure.data[0].z, dtype=float), axis=0)
    assert sums[sums > 0] == pytest.approx(100, abs=1)


def test_a_packet_that_was_ready_waits_for_the_one_before_it() -> None:
    late = {"nonce": 1, "stages": [(0, 10, 0), (100, 900, 1), (910, 920, 0)]}
    held = {"nonce": 2, "stages": [(20, 30, 0), (100, 200, 0), (930, 940, 0)]}
    free = {"nonce": 3, "stages": [(950, 960, 0), (970, 980, 0), (990, 999, 1)]}
    joined = packets([held, late, free])
    found = latency_of(joined, Sampling.of(InMemory()), "tx")
    blocked = blocked_by(joined, found)
    order = joined.nonce[found.rows].tolist()
    at = order.index(2)
    assert joined.nonce[blocked.holder[at]] == 1 and blocked.until_ns[at] == 900
    assert [blocked.holder[order.index(n)] for n in (1, 3)] == [-1, -1]
    figure = journeys.lanes(joined, found, blocked, Names(), 0).checked()
    (crossed,) = (trace for trace in figure.data if trace.name == "held by an earlier packet")
    assert crossed.x[0] == pytest.approx(0.7) and crossed.base[0] == pytest.approx(0.18)  # 200 to 900 ns, from 20
    assert "waited for packet 1 before it" in crossed.hovertext[0] and "CPU 1" in crossed.hovertext[0]
    assert "held" in list(crossed.y)


def test_lanes_are_the_slowest_first_with_their_cpus(tx: Latency, joined: Journeys) -> None:
    figure = journeys.lanes(joined, tx, blocked_by(joined, tx), Names(), int(tx.began_ns[0])).checked()
    ends = {a.y: a.x for a in figure.layout.annotations}
    assert ends["#1"] == pytest.approx(tx.total_ns.max() / 1e6)
    slowest = [ends[f"#{n}"] for n in range(1, 17)]
    assert slowest == sorted(slowest, reverse=True) and ends["median"] < ends["p90"] < ends["p99"] <= slowest[0]
    cpus = joined.cpu[:, tx.rows[int(np.argmax(tx.total_ns))]]
    assert words(figure).splitlines()[0] == f"CPU {' → '.join(map(str, cpus))}"
    spent: dict[str, float] = {}
    for trace in figure.data:
        for lane, length in zip(trace.y, trace.x, strict=True):
            spent[lane] = spent.get(lane, 0.0) + length
    assert spent["#1"] == pytest.approx(ends["#1"], abs=0.01)


def test_the_slowest_packet_is_followed_across_cpus(tx: Latency, joined: Journeys) -> None:
    figure = journeys.across_cpus(joined, tx, 0).checked()
    (path,) = (trace for trace in figure.data if trace.name == "the slowest packet")
    row = int(tx.rows[int(np.argmax(tx.total_ns))])
    assert list(path.y) == [f"CPU {joined.cpu[step, row]}" for step in range(3) for _ in range(2)]
    assert path.x[0] == 0 and path.x[-1] == pytest.approx(tx.total_ns.max() / 1e6, abs=0.001)
    nonces = {custom[0] for trace in figure.data if trace.customdata is not None for custom in trace.customdata}
    assert str(joined.nonce[row]) in nonces


def bars(figure: go.Figure) -> dict[str, dict[str, float]]:
    return {trace.name: dict(zip(trace.y, trace.x, strict=True)) for trace in figure.data}


def test_polls_by_what_they_found(recording: InMemory) -> None:
    mechanics = analyse(with_mechanics(recording)).mechanics
    found = bars(wakeups.polls(mechanics.polls, Names()).checked())
    row = next(row for row in mechanics.polls if row.object is None)
    label = f"{row.server}, all peers"
    assert found["took packets"][label] == pytest.approx(100 * row.productive / row.executions, abs=0.01)
    assert sum(values[label] for values in found.values()) == pytest.approx(100, abs=0.01)


def test_runs_for_each_packet(analysis: Analysis) -> None:
    found = bars(wakeups.per_packet(analysis.mechanics.wakeups).checked())
    assert found["runs"]["tx.work: sends a peer's packets in order"] == pytest.approx(1.0)
    assert "threads woken" not in found, "that takes --detail"


def test_the_place_of_a_server_is_where_it_ran_longest() -> None:
    when = {"dt_ns": 100, "object": 2, "server": "tx.work", "executions": 1}
    rows = [{**when, "t_ns": 0, "cpu": 3, "busy_ns": 30}, {**when, "t_ns": 0, "cpu": 1, "busy_ns": 10},
            {**when, "t_ns": 200, "cpu": 1, "busy_ns": 5}]  # fmt: skip
    made = InMemory().with_table("executions", rows)
    made = made.with_table("intervals", [{"t_ns": t, "dt_ns": 100} for t in (0, 100, 200)])
    (found,) = residence_of(made.table("executions"), Bins.of(made.table("intervals"), 10), 5)
    assert found.cpu.tolist() == [3, -1, 1] and found.share.tolist() == [0.75, 0.0, 1.0]
    assert residence_of(InMemory().table("executions"), Bins.of(made.table("intervals"), 10), 5) == []


def test_the_flame_graph_adds_up(recording: InMemory) -> None:
    sampled = analyse(with_perf(recording)).sampled
    assert sampled is not None
    (icicle,) = stacks.flame(sampled).checked().data
    values = dict(zip(icicle.ids, icicle.values, strict=True))
    labels = dict(zip(icicle.ids, icicle.labels, strict=True))
    assert values["/"] == 60 == sum(stack.samples for stack in sampled.stacks)
    for name, value in values.items():
        below = [values[i] for i, parent in zip(icicle.ids, icicle.parents, strict=True) if parent == name]
        assert sum(below) in (0, value)
    assert {"wg_packet_tx_worker", "wg_packet_rx_poll"} <= set(labels.values())


def test_without_perf_the_stacks_say_how_to_get_them(recording: InMemory, analysis: Analysis) -> None:
    assert "`wgprof record --stacks" in stacks.VIEW.missing(recording, analysis)
    state = {"part": "stacks", "state": "not installed", "sentence": "no perf <b>here", "remedy": "Install it."}
    bad = replace(recording, manifest={**recording.manifest, "perf": {"parts": [state]}})
    assert "no perf <b>here. Install it." in stacks.VIEW.missing(bad, analyse(bad))


def test_every_check_is_a_mark_and_failures_come_first(analysis: Analysis) -> None:
    failed = [replace(analysis.checks[-1], verdict=checks.FAIL, subject="that", detail="too much")]
    figure = quality.panel([*analysis.checks[:-1], *failed]).checked()
    assert sum(len(trace.x) for trace in figure.data) == len(analysis.checks)
    assert figure.layout.yaxis.categoryarray[0] == failed[0].name
    assert "FAILED: that</b>: too much" in words(figure)
    symbols = {trace.name: trace.marker.symbol for trace in figure.data}
    assert len(set(symbols.values())) == len(symbols), "not told apart by colour alone"


def test_littles_law_is_drawn_with_its_interval(analysis: Analysis) -> None:
    figure = quality.little(analysis.queues, analysis.names).checked()
    laws = [q.law for q in analysis.queues if q.law is not None and q.law.residual is not None]
    drawn = sorted(float(x) for trace in figure.data for x in trace.x)
    assert drawn == pytest.approx(sorted(100 * (law.residual or 0) for law in laws), abs=0.01)


def test_the_distribution_of_a_depth_is_the_share_of_time_it_was_reached() -> None:
    held = np.zeros(BUCKETS, dtype=np.int64)
    held[[0, 1, 3]] = 50, 30, 20
    (line,) = queues.distribution({("tx-queue", FIRST_PEER): held}, Names()).checked().data
    assert dict(zip(line.x[:3].tolist(), line.y[:3].tolist(), strict=True)) == {1: 50.0, 2: 20.0, 3: 20.0}
    assert line.y[-1] == 0


def test_a_comparison_shows_what_changed_with_its_interval() -> None:
    slow = gateway(seconds=12, workers=2, tx=Load(rate=200, serial_ns=900_000), seed=1)
    fast = gateway(seconds=12, workers=2, tx=Load(rate=200, serial_ns=300_000), seed=2)
    comparison = compared(slow, fast)
    found = {p.name: p.figure.checked() for p in compare.pictures_of(comparison, ("same", "same"))}
    assert list(found) == ["compare_sides", "compare_changes", "compare_time"]
    marks = {label: (x, trace.name) for trace in found["compare_changes"].data
             for label, x in zip(trace.y, trace.x, strict=True)}  # fmt: skip
    change, verdict = marks["tx.send: CPU time a packet"]
    assert verdict == "changed" and change == pytest.approx(-67, abs=2)
    assert "900 µs → 300 µs" in words(found["compare_changes"])
    rows = {label for trace in found["compare_time"].data for label in trace.y}
    assert rows == {"transmit, same (first)", "transmit, same (second)"}
    assert compare.pictures_of(compared(InMemory(), InMemory()), ("a", "b")) == []
