"""A part of a recording is a recording: cut by time, direction and peer, and analysed like the whole."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.simulated import DEVICE, FIRST_PEER, START_NS, InMemory, Load, gateway
from wgprof.analysis.journeys import Journeys
from wgprof.analysis.selection import Part, Selection, as_part
from wgprof.analysis.summary import analyse
from wgprof.analysis.tables import STAGES, direction_of, total
from wgprof.recording.reader import open_recording
from wgprof.recording.schema import TABLES
from wgprof.resources import resource_dir


@pytest.fixture(scope="module")
def recording() -> InMemory:
    return gateway(seconds=4, peers=3, workers=2, tx=Load(rate=600), rx=Load(rate=300), seed=4)


def test_selecting_everything_changes_nothing(recording: InMemory) -> None:
    part = Part(recording)
    assert part.selection.everything
    for table in TABLES:
        assert part.table(table.name).equals(recording.table(table.name)), table.name


def test_parts_of_time_add_up_to_the_whole(recording: InMemory) -> None:
    cuts = [
        Part(recording, Selection(end_s=1.05)),
        Part(recording, Selection(1.05, 2.0)),
        Part(recording, Selection(2.0)),
    ]
    for name, column in (("stages", "packets"), ("cpus", "idle_ns"), ("depths", "samples"), ("histograms", "count")):
        assert sum(total(part.table(name), column) for part in cuts) == total(recording.table(name), column) > 0
    assert sum(len(part.table("journeys")) for part in cuts) == len(recording.table("journeys"))
    assert cuts[1].table("intervals")["t_ns"].min() >= START_NS + 1.05e9


def test_a_direction_leaves_only_its_own_names(recording: InMemory) -> None:
    for wanted in ("tx", "rx"):
        part = Part(recording, Selection(direction=wanted))
        assert set(part.table("stages")["stage"].astype(str)) == set(STAGES[wanted])
        for name, column in (("executions", "server"), ("depths", "queue"), ("histograms", "metric")):
            found = set(part.table(name)[column].astype(str))
            assert found and {direction_of(value) for value in found} == {wanted}
        assert len(part.journeys) and part.journeys.of(wanted).all()
        assert part.table("cpus").equals(recording.table("cpus"))


def test_peers_keep_what_they_share_and_lose_the_others(recording: InMemory) -> None:
    part = Part(recording, Selection(peers=frozenset({FIRST_PEER + 1})))
    assert set(part.table("stages")["object"]) == {FIRST_PEER + 1}
    assert set(part.table("executions")["object"]) == {DEVICE, FIRST_PEER + 1}
    assert set(part.table("objects")["object"]) == {DEVICE, FIRST_PEER + 1}
    assert set(part.journeys.object.tolist()) == {FIRST_PEER + 1}
    everybody = Part(recording, Selection(peers=frozenset(range(FIRST_PEER, FIRST_PEER + 3))))
    assert total(everybody.table("stages"), "packets") == total(recording.table("stages"), "packets")


def test_the_analysis_of_a_part_is_of_that_part(recording: InMemory) -> None:
    whole = analyse(recording)
    part = analyse(Part(recording, Selection(1.0, 3.0, "tx", frozenset({FIRST_PEER}))))
    assert part.window is not None and part.window.duration_s == pytest.approx(2.0)
    (server,) = (s for s in part.servers if s.kind == "tx.work")
    (same,) = (s for s in whole.servers if s.kind == "tx.work" and s.object == FIRST_PEER)
    assert server.demand_ns == pytest.approx(same.demand_ns, rel=0.05)
    assert not any(s.packets for s in part.stages if s.direction == "rx")


def test_a_part_of_a_part_counts_time_from_the_same_beginning(recording: InMemory) -> None:
    late = Part(recording, Selection(1.0))
    later = Part(late, Selection(2.0, 2.5))
    assert later.began_ns == late.began_ns == START_NS
    assert later.table("intervals")["t_ns"].tolist() == [START_NS + n * 10**8 for n in range(20, 25)]
    assert as_part(later) is later


@pytest.mark.parametrize("selection", [Selection(1e300), Selection(end_s=-5.0), Selection(peers=frozenset({999_999}))])
def test_nothing_selected_is_nothing_that_flowed(selection: Selection) -> None:
    example = open_recording(Path(str(resource_dir("reports"))) / "example.wgprof")
    assert analyse(Part(example, selection)).window is None
    assert analyse(Part(InMemory(), selection)).window is None


@pytest.mark.parametrize(
    "selection",
    [Selection(), Selection(direction="rx"), Selection(0.7, 2.3), Selection(peers=frozenset({FIRST_PEER})),
     Selection(1.0, None, "tx", frozenset({FIRST_PEER + 1})), Selection(80.0, 90.0)],
    ids=str,
)  # fmt: skip
def test_a_part_of_a_part_is_the_same_as_of_the_recording(recording: InMemory, selection: Selection) -> None:
    """What a part keeps for whatever is cut out of it changes nothing, nor does the order of rows."""
    shuffled = recording.table("journeys").sample(frac=1, random_state=1)
    for tables in (recording, replace(recording, tables={**recording.tables, "journeys": shuffled})):
        whole, direct = Part(tables), Part(tables, selection)
        for part in (Part(whole, selection), Part(whole, selection)):
            for name in ("stages", "depths", "histograms", "journeys"):
                pd.testing.assert_frame_equal(part.table(name), direct.table(name))
            for each in fields(Journeys):
                one, other = getattr(part.journeys, each.name), getattr(direct.journeys, each.name)
                np.testing.assert_array_equal(one, other, each.name)
