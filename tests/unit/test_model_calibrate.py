"""Costs come out of a recording as they went in; what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.simulated import InMemory, Load, gateway
from wgprof.analysis.journeys import join_journeys
from wgprof.analysis.summary import analyse
from wgprof.analysis.tables import STAGES
from wgprof.errors import RecordingError
from wgprof.model.calibrate import machine_from
from wgprof.model.predict import Architecture, Ask, predict
from wgprof.recording.reader import open_recording

_EXAMPLE = Path(__file__).parents[1] / "captures" / "recordings" / "multiples-6.12.wgprof"


def _stage_mean(name: str) -> float:
    with open_recording(_EXAMPLE) as recording:
        (row,) = (s for s in analyse(recording).stages if s.stage == name and s.object is None)
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
    for cost, stage in (("encrypt", "tx.encrypt"), ("send", "tx.send"), ("decrypt", "rx.decrypt")):
        share = (_stage_mean(stage) - costs[cost].value) / costs["cross"].value
        assert share == pytest.approx(_moved_share(stage), abs=1e-6)
        assert 0 < share < 1
    # Polls of this recording deliver little more than a packet each: that often something went up the stack.
    left = _stage_mean("rx.deliver") - costs["deliver"].value - _moved_share("rx.deliver") * costs["cross"].value
    assert 0.5 < left / costs["stack"].value <= 1
    assert costs["receive"].value + costs["handoff"].value > _stage_mean("rx.receive")
    assert costs["encrypt"].low < costs["encrypt"].value < costs["encrypt"].high
    assert machine.cores == 2
    assert any("lab" in note for note in machine.notes)
    for name in ("wake", "switch", "hold", "transfer", "cross", "stack"):
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
    recorded = 6_152  # packets/s with all CPUs busy, of which the model leaves out the part outside of WireGuard's path
    assert recorded < point.pps < 2.5 * recorded
    assert point.limit.server == "all CPUs"


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
