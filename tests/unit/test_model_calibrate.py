"""Costs come out of a recording as they went in; what is missing is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.simulated import InMemory, Load, gateway, rows
from wgprof.agent.layout import bucket_of
from wgprof.analysis.histogram import DURATION_UNIT_NS
from wgprof.analysis.journeys import join_journeys
from wgprof.analysis.summary import analyse
from wgprof.analysis.tables import STAGES
from wgprof.analysis.window import active_window
from wgprof.errors import RecordingError
from wgprof.model.calibrate import machine_from
from wgprof.model.ends import costs_of_ends
from wgprof.model.parting import part_delivery, part_softirqs
from wgprof.model.predict import Architecture, Ask, predict, relevant
from wgprof.model.sums import Sums, data_and_acknowledgements, sums_of
from wgprof.recording.reader import open_recording

_EXAMPLE = Path(__file__).parents[1] / "captures" / "recordings" / "multiples-6.12.wgprof"


def _stage_mean(name: str) -> float:
    """Of the peer whose packets are data: one tunnel's, in one direction."""
    with open_recording(_EXAMPLE) as recording:
        rows = [s for s in analyse(recording).stages if s.stage == name and s.object is not None]
    row = max(rows, key=lambda s: s.packets)
    assert row.service_mean_ns is not None
    return row.service_mean_ns


def _moved_share(stage: str) -> float:
    step = next(stages.index(stage) for stages in STAGES.values() if stage in stages)
    with open_recording(_EXAMPLE) as recording:
        journeys = join_journeys(recording.table("journeys"))
    of = journeys.of(stage[:2]) & journeys.seen[step] & journeys.seen[step - 1]
    return float((journeys.cpu[step] != journeys.cpu[step - 1])[of].mean())


def test_costs_of_a_real_recording_are_its_stages() -> None:
    with open_recording(_EXAMPLE) as recording:
        machine = machine_from(recording, "example")
    costs = machine.costs.costs
    machine.costs.require("loop")
    # What a packet costs because another CPU had it is measured within a stage, and moved out of it as often as it was.
    share = (_stage_mean("rx.decrypt") - costs["decrypt"].value) / costs["cross"].value
    assert share == pytest.approx(_moved_share("rx.decrypt"), abs=1e-6)
    assert 0 < share < 1
    # The workers' loops around segments are in what a segment costs, those around lists are not.
    data = _recorded(_EXAMPLE.name)[1]
    for cost, stage, server in (("encrypt", "tx.encrypt", "encrypt.work"), ("send", "tx.send", "tx.work")):
        loop = costs[cost].value + _moved_share(stage) * costs["cross"].value - _stage_mean(stage)
        loop += costs["consume"].value / machine.traffic["gso"].value
        spent = data.server(server, "busy_ns") - data.server(server, "empty_ns")
        assert loop == pytest.approx(spent / data.packets(stage), rel=0.01)
    # Polls of this recording deliver little more than a packet each: that often something went up the stack.
    left = _stage_mean("rx.deliver") - costs["deliver"].value - _moved_share("rx.deliver") * costs["cross"].value
    assert left / costs["stack"].value == pytest.approx(0.84, abs=0.01)
    assert costs["deliver"].value < 0.3 * costs["stack"].value
    assert costs["receive"].value + costs["handoff"].value > _stage_mean("rx.receive")
    assert costs["encrypt"].low < costs["encrypt"].value < costs["encrypt"].high
    assert machine.cores == 2
    assert any("lab" in note for note in machine.notes)
    assert not any("thread" in note for note in machine.notes)
    with open_recording(_EXAMPLE.with_name("tcp-7.2.wgprof")) as recording:
        assert any("threaded NAPI" in note for note in machine_from(recording, "threaded").notes)
    for name in ("wake", "switch", "hold", "transfer", "cross", "write", "read"):
        assert costs[name].assumed and costs[name].low < costs[name].high


def test_a_known_cost_is_found_with_its_distribution() -> None:
    """The simulated gateway's crypto is exponential: its mean is in the interval, its shape has its quantiles."""
    machine = machine_from(gateway(rx=Load(rate=1000, crypt_ns=300_000, serial_ns=200_000)), "simulated")
    decrypt = machine.costs.costs["decrypt"].plus(machine.costs.costs["cross"].value)
    assert decrypt.low < 300_001 < decrypt.high
    assert decrypt.high < 1.1 * decrypt.low
    assert decrypt.table[len(decrypt.table) // 2] == pytest.approx(0.693, rel=0.15)  # the median of an exponential
    with pytest.raises(Exception, match=r"costs\.encrypt is missing"):
        machine.costs.require("tx")


def test_a_calibrated_machine_can_be_predicted() -> None:
    with open_recording(_EXAMPLE) as recording:
        machine = machine_from(recording, "example")
    ask = Ask(machine, (2,), (1,), (Architecture("vanilla"),), "loop", seeds=1, seconds=0.5, bands=False)
    (point,) = predict(ask).points
    recorded = 5_221  # packets/s of data, with all CPUs busy
    assert point.pps == pytest.approx(recorded, rel=0.15)
    assert point.limit.server == "all CPUs"


def _recorded(name: str, folder: Path = _EXAMPLE.parent) -> tuple[Sums, Sums, Sums]:
    with open_recording(folder / name) as recording:
        window = active_window(recording.table("intervals"), recording.table("stages"))
        assert window is not None
        sums = sums_of(recording, window)
    return (sums, *data_and_acknowledgements(sums))


def test_data_and_what_acknowledges_it_are_told_apart_by_their_size() -> None:
    """A tunnel's data goes one way, its acknowledgements the other; together they are all packets."""
    sums, data, acks = _recorded(_EXAMPLE.name)
    for stage in (stage for stages in STAGES.values() for stage in stages):
        assert data.packets(stage) + acks.packets(stage) == sums.packets(stage)
    for stage in ("tx.encrypt", "rx.deliver"):
        assert data.size(stage) > 10 * acks.size(stage) > 300
    peers = [set(part.stages[part.stages["stage"] == "rx.deliver"]["object"]) for part in (data, acks)]
    assert len(peers[0]) == len(peers[1]) == 1 and not peers[0] & peers[1]


@pytest.mark.parametrize("lists", [True, False])
def test_data_as_small_as_what_acknowledges_it_is_known_by_its_lists(lists: bool) -> None:
    """As with an MTU of 92, where an acknowledgement has 52."""
    sums, data, acks = _recorded(_EXAMPLE.name)
    factor = 92 / data.size("rx.deliver")
    stages = sums.stages.copy()
    of_data = stages.index.isin(data.stages.index)
    stages.loc[of_data, "bytes"] = (stages.loc[of_data, "bytes"] * factor).round().astype(np.int64)
    if not lists:
        stages["calls"] = stages["packets"]
    found = data_and_acknowledgements(replace(sums, stages=stages))
    wanted = (data, acks) if lists else (sums, replace(acks, stages=acks.stages[:0]))
    for stage in ("tx.stage", "rx.deliver"):
        assert [part.packets(stage) for part in found] == [part.packets(stage) for part in wanted]


def _delivery(kept_ns: int, kept: int, up_ns: int, up: int) -> Sums:
    """A peer's deliveries of two lengths, in buckets of the recording's histograms."""
    packets, spent = kept + up, kept * kept_ns + up * up_ns
    stage = {
        "t_ns": 0,
        "dt_ns": 1,
        "cpu": 0,
        "object": 1,
        "stage": "rx.deliver",
        "packets": packets,
        "service_ns": spent,
    }
    counts = [
        {"t_ns": 0, "dt_ns": 1, "cpu": 0, "object": 1, "metric": "rx.deliver.service", "bucket": bucket, "count": n}
        for bucket, n in ((bucket_of(kept_ns // DURATION_UNIT_NS), kept), (bucket_of(up_ns // DURATION_UNIT_NS), up))
    ]
    empty = {name: rows(name, []) for name in ("executions", "cpus", "objects")}
    return Sums(
        rows("stages", [stage]), empty["executions"], empty["cpus"], rows("histograms", counts), empty["objects"]
    )


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_the_last_packets_of_polls_have_the_stack_in_them(share: float) -> None:
    """Whatever their share: what GRO keeps costs 2 us, and what goes up costs 8 us more."""
    up = round(20_000 * share)
    parted = part_delivery(_delivery(2_000, 20_000 - up, 10_000, up), share)
    assert parted is not None
    deliver, stack = parted
    assert deliver.value == pytest.approx(2_000, rel=0.1)
    assert stack.value == pytest.approx(8_000, rel=0.1)
    assert deliver.low <= deliver.value <= deliver.high and stack.low <= stack.value <= stack.high


def test_what_the_stack_costs_more_for_longer_polls_is_a_cost_of_packets() -> None:
    """5,000 polls of 1 packet, whose last takes 10.25 us, as many of 33 with 18.25 us: 250 ns a packet."""
    where = {"t_ns": 0, "dt_ns": 1, "cpu": 0, "object": 1}
    took = {2_000: 160_000, 10_250: 5_000, 18_250: 5_000}
    counts = [
        {**where, "metric": "rx.deliver.service", "bucket": bucket_of(ns // DURATION_UNIT_NS), "count": n}
        for ns, n in took.items()
    ]
    counts += [{**where, "metric": "rx.napi.packets", "bucket": bucket_of(n), "count": 5_000} for n in (0, 1, 33)]
    spent = sum(ns * n for ns, n in took.items())
    stage = {**where, "stage": "rx.deliver", "packets": 170_000, "service_ns": spent}
    empty = {name: rows(name, []) for name in ("executions", "cpus", "objects")}
    sums = Sums(
        rows("stages", [stage]), empty["executions"], empty["cpus"], rows("histograms", counts), empty["objects"]
    )
    parted = part_delivery(sums, 10_000 / 170_000)
    assert parted is not None
    deliver, stack = parted
    assert deliver.value == pytest.approx(2_250, rel=0.05)
    assert stack.value == pytest.approx(8_000, rel=0.1)
    assert 170_000 * deliver.value + 10_000 * stack.value == pytest.approx(spent, rel=1e-6)


def test_a_recording_in_which_every_packet_goes_up_does_not_part_delivery() -> None:
    assert part_delivery(_delivery(2_000, 50, 10_000, 20_000), 20_000 / 20_050) is None


@pytest.mark.parametrize("alike", [False, True])
def test_softirqs_are_parted_by_where_packets_and_polls_were(alike: bool) -> None:
    """3 us a packet and 5 us a poll, noise aside; where there is a poll for each packet, 4 us each is assumed."""
    rng = np.random.default_rng(3)
    tables: dict[str, list[dict[str, object]]] = {"stages": [], "executions": [], "cpus": []}
    for at in range(60):
        received = int(rng.integers(100, 1000))
        polls = received if alike else int(rng.integers(100, 1000))
        where = {"t_ns": at // 2, "dt_ns": 1, "cpu": at % 2}
        spent = int((3_000 * received + 5_000 * polls) * rng.normal(1, 0.02))
        tables["stages"].append({**where, "object": 1, "stage": "rx.receive", "packets": received})
        tables["executions"].append({**where, "object": 1, "server": "rx.napi", "executions": polls})
        tables["cpus"].append({**where, "probe_net_rx_ns": spent})
    frames = {name: rows(name, records) for name, records in tables.items()}
    sums = Sums(frames["stages"], frames["executions"], frames["cpus"], rows("histograms", []), rows("objects", []))
    packet, poll = part_softirqs(sums)
    assert packet.assumed == poll.assumed == alike
    assert packet.value == pytest.approx(4_000 if alike else 3_000, rel=0.05)
    assert poll.value == pytest.approx(4_000 if alike else 5_000, rel=0.05)
    assert packet.low < 3_000 < packet.high and poll.low < 5_000 < poll.high


def test_what_grows_with_the_packet_is_measured_where_acknowledgements_have_the_same_done() -> None:
    with open_recording(_EXAMPLE) as recording:
        machine = machine_from(recording, "example")
        frame = recording.table("stages")
    assert {name for name, share in machine.costs.by_bytes.items() if share.assumed} == {
        "deliver", "segment", "stack", "write", "read"
    }  # fmt: skip
    _, data, acks = _recorded(_EXAMPLE.name)
    (acker,) = set(acks.stages[acks.stages["stage"] == "tx.send"]["object"])
    # As if data took a microsecond longer a thousand bytes than what acknowledges it.
    per_packet = acks.service_ns("tx.send") / acks.packets("tx.send")
    more = data.size("tx.send") - acks.size("tx.send")
    of_data = (frame["stage"] == "tx.send") & (frame["object"] != acker)
    frame.loc[of_data, "service_ns"] = (frame.loc[of_data, "packets"] * (per_packet + more)).round().astype(np.int64)
    with open_recording(_EXAMPLE) as recording:
        tables = {name: recording.table(name) for name in recording.manifest["tables"]}
    machine = machine_from(InMemory({**tables, "stages": frame}, recording.manifest), "longer")
    share, send = machine.costs.by_bytes["send"], machine.costs.costs["send"].value
    assert not share.assumed and share.value * send == pytest.approx(data.size("tx.send"), rel=0.01)
    ask = Ask(machine, (2,), (1,), (Architecture("vanilla"),), "loop", 512, 1, 0.05)
    assert {"bytes.read", "bytes.send"} <= set(relevant(ask, Architecture("vanilla")))
    assert "bytes.read" not in relevant(replace(ask, packet_bytes=0), Architecture("vanilla"))


def test_the_two_ends_cost_what_was_recorded_outside_and_for_acknowledgements() -> None:
    """Summed over the packets and what GRO made of them, whatever the share of either end."""
    sums, data, acks = _recorded(_EXAMPLE.name)
    packets, each = data.packets("rx.deliver"), 0.84
    ends = costs_of_ends(sums, data, acks, each, 3_000.0, 2_000.0)
    spent = packets * (ends["write"].value + each * sum(q.value for name, q in ends.items() if name != "write"))
    of_acks = sum(acks.service_ns(stage) for stages in STAGES.values() for stage in stages)
    around = 3_000.0 * acks.packets("rx.receive") + 2_000 * acks.server("rx.napi", "executions")
    around += sum(acks.server(server, "busy_ns") for server in ("encrypt.work", "tx.work", "decrypt.work", "rx.napi"))
    assert spent == pytest.approx(sums.outside_ns + of_acks + around, rel=1e-6)


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (InMemory(), "no traffic: its table stages is empty"),
        (gateway(tx=Load()), "0 packets of stage rx.decrypt in its table stages"),
        (gateway(rx=Load()).with_table("executions", []), "no rx.napi that delivered anything in its table executions"),
        (
            InMemory(manifest={"wireguard": {"variant": "inline"}}),
            "made with the inline module",
        ),
    ],
)
def test_what_is_missing_is_named(recording: InMemory, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        machine_from(recording, "it")
