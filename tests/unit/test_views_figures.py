"""The figures: what they show follows from the data, they survive any size, and no name can act in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.support.simulated import FIRST_PEER, InMemory, Load, gateway
from wgprof.analysis.cores import TRACKS, Bins, CoreSeries, core_series
from wgprof.analysis.depth import DepthSeries, depth_series
from wgprof.analysis.names import Names, Thing, clean, names_of
from wgprof.analysis.summary import Analysis, analyse
from wgprof.views import theme
from wgprof.views.cores import bins_for, cores
from wgprof.views.packet_time import packet_time
from wgprof.views.pipeline import pipeline
from wgprof.views.queues import queues

TX = Load(rate=1500, crypt_ns=100_000, serial_ns=400_000)
RX = Load(rate=1000, crypt_ns=100_000, serial_ns=200_000)


@pytest.fixture(scope="module")
def recording() -> InMemory:
    return gateway(seconds=4, peers=2, workers=3, tx=TX, rx=RX, seed=9)


@pytest.fixture(scope="module")
def analysis(recording: InMemory) -> Analysis:
    return analyse(recording)


def words(figure: go.Figure) -> str:
    return "\n".join(str(annotation.text) for annotation in figure.layout.annotations)


def hovers(figure: go.Figure) -> list[str]:
    return [str(trace.text) for trace in figure.data if trace.text]


def series_of(recording: InMemory, most_bins: int) -> CoreSeries:
    stages, executions = recording.table("stages"), recording.table("executions")
    return core_series(recording.table("cpus"), stages, executions, recording.table("intervals"), most_bins)


def test_pipeline_has_a_lane_for_each_cpu_or_peer_and_marks_the_busiest(analysis: Analysis) -> None:
    figure = pipeline(analysis).checked()
    lanes = hovers(figure)
    assert sum(lane.startswith("tx.encrypt —") for lane in lanes) == 3
    assert sum(lane.startswith("tx.send —") for lane in lanes) == 2
    text = words(figure)
    assert "in parallel on 3 CPUs" in text
    assert "one packet at a time, 2 peers" in text
    marked = [shape for shape in figure.layout.shapes if shape.line.color == theme.ALERT]
    assert len(marked) == 2  # one stage in each direction
    assert text.count(" occupied:</b><br><b>caps that peer at ") == 2


def test_pipeline_outlines_the_crypto_when_that_is_the_busiest() -> None:
    slow = Load(rate=1500, crypt_ns=900_000, serial_ns=10_000)
    figure = pipeline(analyse(gateway(seconds=3, workers=2, tx=slow, seed=2))).checked()
    (marked,) = (shape for shape in figure.layout.shapes if shape.line.color == theme.ALERT)
    (title,) = (a for a in figure.layout.annotations if a.text == "<b>tx.encrypt</b>")
    assert marked.x0 < title.x < marked.x1


def test_pipeline_stays_readable_with_many_lanes(analysis: Analysis) -> None:
    (server,) = (s for s in analysis.servers if s.kind == "tx.work" and s.object == FIRST_PEER)
    many = [replace(server, object=n, utilisation=n / 100) for n in range(2, 60)]
    others = [s for s in analysis.servers if s.kind != "tx.work"]
    figure = pipeline(replace(analysis, servers=[*others, *many])).checked()
    lanes = [text for text in hovers(figure) if "tx.send —" in text]
    assert len(lanes) == 8
    assert "object 59" in lanes[0]
    assert "51 more, on average" in lanes[-1]


def test_ribbons_are_as_thick_as_what_they_carry(analysis: Analysis) -> None:
    ribbons = [trace for trace in pipeline(analysis).checked().data if trace.fillcolor == theme.WAIT]
    assert len(ribbons) == 4
    thickness = [trace.y[5] - trace.y[0] for trace in ribbons]
    assert thickness[2] / thickness[0] == pytest.approx(RX.rate / TX.rate, rel=0.1)


def test_packet_time_has_the_steps_in_order(analysis: Analysis) -> None:
    figure = packet_time(analysis).checked()
    tx = [trace.name for trace in figure.data if trace.y[0] == "transmit"]
    assert tx == ["tx.stage", "tx.encrypt.wait", "tx.encrypt", "tx.send.wait", "tx.send"]
    waits = {w.wait: w.mean_ns for w in analysis.waits if w.object is None}
    (drawn,) = (trace.x[0] for trace in figure.data if trace.name == "tx.send.wait")
    assert drawn == pytest.approx((waits["tx.send.wait"] or 0) / 1e3, abs=0.001)


def test_packet_time_is_in_milliseconds_when_packets_wait_long(analysis: Analysis) -> None:
    waits = [replace(w, mean_ns=50e6) for w in analysis.waits]
    figure = packet_time(replace(analysis, waits=waits)).checked()
    assert figure.layout.xaxis.title.text.endswith("ms")
    assert {trace.x[0] for trace in figure.data if trace.name.endswith(".wait")} == {50.0}
    assert packet_time(analysis).checked().layout.xaxis.title.text.endswith("µs")


def test_core_series_keeps_every_nanosecond(recording: InMemory) -> None:
    for most_bins in (1, 7, 1000):
        series = series_of(recording, most_bins)
        assert series.start_s.size <= most_bins
        spent = sum(float((values * series.width_s).sum()) for values in series.measured.values())
        truth = recording.table("stages")["service_ns"].sum() + recording.table("executions")["busy_ns"].sum()
        assert spent == pytest.approx(truth / 1e9)


def test_cores_leaves_out_stages_that_never_ran() -> None:
    figure = cores(series_of(gateway(seconds=2, tx=TX), 50)).checked()
    text = words(figure)
    assert "tx.send" in text and "busy" in text
    assert "rx." not in text


@pytest.mark.parametrize("cpus", [1, 16, 512])
def test_cores_fits_a_report_at_any_size(cpus: int) -> None:
    bins = bins_for(cpus)
    values = np.random.default_rng(1).random((cpus, bins))
    start_s = np.arange(float(bins))
    measured = dict.fromkeys(TRACKS, values)
    figure = cores(CoreSeries(start_s, np.ones(bins), tuple(range(cpus)), values, measured)).checked()
    assert len(figure.to_json()) < 400_000
    assert figure.layout.height < 2600


def test_queues_draw_limits_only_where_they_matter_and_mark_refusals() -> None:
    start_s = np.arange(10.0)
    empty, some = np.zeros(10, dtype=np.int64), np.array([0] * 9 + [6])
    low = DepthSeries("tx-queue", 2, start_s, np.full(10, 3.0), empty)
    high = DepthSeries("rx-queue", 2, start_s, np.full(10, 900.0), some)
    figure = queues([low, high], Names()).checked()
    assert [shape.y0 for shape in figure.layout.shapes] == [1024]
    assert "rx-queue</b>, limit 1,024, 6 packets refused" in words(figure)
    (crosses,) = (trace for trace in figure.data if trace.mode == "markers")
    assert list(crosses.x) == [9.0]
    assert list(crosses.customdata) == [6]


def test_queues_of_many_peers_stay_small() -> None:
    rng = np.random.default_rng(1)
    series = [
        DepthSeries(queue, peer, np.arange(300.0), rng.random(300) * peer, np.zeros(300, dtype=np.int64))
        for queue in ("tx-queue", "rx-queue")
        for peer in range(200)
    ]
    figure = queues(series, Names()).checked()
    assert len(figure.to_json()) < 400_000
    assert len(figure.data) == 16 and all(int(trace.legendgroup) >= 180 for trace in figure.data)


def test_depth_series_is_the_mean_of_the_clocks_samples(recording: InMemory) -> None:
    depths, arrivals, intervals = (recording.table(name) for name in ("depths", "arrivals", "intervals"))
    (whole, *_) = (s for s in depth_series(depths, arrivals, intervals, 1) if s.queue == "tx-queue")
    mine = depths[(depths["queue"] == "tx-queue") & (depths["object"] == whole.object)]
    assert whole.mean[0] == pytest.approx(mine["depth_sum"].sum() / mine["samples"].sum())


def test_bins_are_whole_intervals_without_gaps(recording: InMemory) -> None:
    bins = Bins.of(recording.table("intervals"), 7)
    ends = bins.start_s + bins.width_s
    assert np.allclose(ends[:-1], bins.start_s[1:])
    assert bins.find(np.array([int(bins.first_ns[0]) - 1, int(bins.first_ns[3])])).tolist() == [-1, 3]


def test_names_are_text_in_every_figure(analysis: Analysis, recording: InMemory) -> None:
    evil = "<b>x</b><a href='https://x'>%{y}\x1b\u202e"
    things = {n: replace(thing, label=evil) for n, thing in analysis.names.things.items()}
    named = replace(analysis, names=Names(things))
    depths, arrivals, intervals = (recording.table(name) for name in ("depths", "arrivals", "intervals"))
    for figure in (pipeline(named), queues(depth_series(depths, arrivals, intervals, 50), named.names)):
        texts = json.dumps(list(strings(figure.plain())), ensure_ascii=False)
        assert "&lt;b&gt;x" in texts
        assert "<a " not in texts
        assert "\x1b" not in texts and "\\u001b" not in texts and "\u202e" not in texts


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_nothing_to_draw_is_said() -> None:
    nothing = analyse(InMemory())
    assert "No packet" in words(pipeline(nothing).checked())
    assert "No queue" in words(queues([], Names()).checked())
    assert "No CPU" in words(cores(series_of(InMemory(), 10)).checked())
    assert "No times" in words(packet_time(nothing).checked())


def test_labels_are_unique_and_short() -> None:
    objects = InMemory().with_table(
        "objects",
        [
            {"object": 1, "kind": "device", "device": 1, "name": "wg0", "netns_name": "left"},
            {"object": 2, "kind": "device", "device": 2, "name": "wg0", "netns_name": "right"},
            {"object": 3, "kind": "peer", "device": 1, "public_key": "abcdefghijkl"},
            {"object": 4, "kind": "peer", "device": 1, "public_key": "abcdefghiXYZ"},
            {"object": 5, "kind": "peer", "device": 2, "endpoint": "10.0.0.2:51820"},
            {"object": 6, "kind": "peer", "device": 9},
        ],
    )
    names = names_of(objects.table("objects"))
    labels = {number: names.label(number) for number in range(8)}
    assert labels[1] == "wg0@left" and labels[2] == "wg0@right"
    assert labels[3].startswith("wg0@left › abcdefgh…") and labels[3] != labels[4]
    assert labels[5] == "wg0@right › 10.0.0.2:51820"
    assert labels[0] == "unknown peer"
    assert len(set(labels.values())) == len(labels)
    assert names.peers_of(1) == [3, 4]
    assert isinstance(names.things[3], Thing)


def test_clean_leaves_no_control_character_and_no_length() -> None:
    assert clean("a\nb\tc\x1b[0m\u202e\u200b") == "a�b�c�[0m��"
    assert clean("y" * 10_000, 10) == "y" * 9 + "…"
    assert clean("naïve › ключ") == "naïve › ключ"
