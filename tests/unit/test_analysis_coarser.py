"""Longer intervals and fewer samples leave every sum, mean and verdict where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.simulated import InMemory, Load, gateway
from wgprof.analysis.coarser import Coarser, for_screens
from wgprof.analysis.journeys import Sampling
from wgprof.analysis.summary import analyse
from wgprof.analysis.tables import ints, total
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import TABLES
from wgprof.resources import resource_dir
from wgprof.rules.diagnose import diagnose

RECORDINGS = Path(__file__).resolve().parent.parent / "captures" / "recordings"


@pytest.fixture(scope="module")
def recording() -> InMemory:
    return gateway(seconds=6, peers=2, workers=2, tx=Load(rate=900), rx=Load(rate=400), sample_every=2, seed=8)


@pytest.fixture(scope="module")
def coarse(recording: InMemory) -> Coarser:
    return Coarser(recording, 10, 4000)


def test_no_count_is_lost(recording: InMemory, coarse: Coarser) -> None:
    for name, columns in {
        "intervals": ("dt_ns", "agent_cpu_ns"),
        "stages": ("packets", "bytes", "service_ns"),
        "executions": ("executions", "busy_ns"),
        "arrivals": ("handoffs", "depth_sum"),
        "depths": ("samples", "depth_sum", "occupied"),
        "histograms": ("count",),
        "cpus": ("system_ns", "idle_ns"),
        "interfaces": ("rx_bytes",),
    }.items():
        for column in columns:
            assert total(coarse.table(name), column) == total(recording.table(name), column) > 0, (name, column)
        assert len(coarse.table(name)) < len(recording.table(name))
    assert len(coarse.table("intervals")) == 9
    assert coarse.table("depths")["depth_max"].max() == recording.table("depths")["depth_max"].max()


def test_it_is_still_a_recording(coarse: Coarser) -> None:
    tables = {table.name: coarse.table(table.name) for table in TABLES}
    whole = Recording.from_tables(coarse.manifest, tables)
    assert len(whole.table("stages")) == len(coarse.table("stages"))


def test_what_is_kept_is_what_a_larger_n_would_have_sampled(recording: InMemory, coarse: Coarser) -> None:
    every = set(ints(coarse.table("intervals"), "sample_every").tolist())
    assert every == {2 * coarse.thinned} and coarse.thinned > 1
    kept = coarse.table("journeys")["nonce"].to_numpy()
    assert kept.size and not (kept % np.uint64(2 * coarse.thinned)).any()
    assert len(kept) == np.count_nonzero(recording.table("journeys")["nonce"] % (2 * coarse.thinned) == 0)


def test_what_is_kept_by_the_golden_rule_is_of_both_workers() -> None:
    """Hand-offs go to two workers in turn; keeping every Nth nonce would keep those of one."""
    every = gateway(seconds=3, workers=2, tx=Load(rate=900), sample_every=1, seed=8)
    every.manifest["sampling"] = {"rule": "golden"}
    coarse = Coarser(every, 1000, 2000)
    kept = coarse.table("journeys")
    assert coarse.thinned == 8 and coarse.table("intervals")["sample_every"].eq(8).all()
    assert 0.9 < len(kept) * 8 / len(every.table("journeys")) < 1.1
    assert Sampling.of(coarse).takes(kept["nonce"].to_numpy(dtype=np.uint64), 8).all()
    assert coarse.manifest["sampling"]["events"] == len(kept) and coarse.manifest["sampling"]["sample_every_min"] == 8
    odd = kept["nonce"].to_numpy() % 2
    assert 0.4 < odd.mean() < 0.6


@pytest.mark.parametrize("file", [resource_dir("reports") / "example.wgprof", *sorted(RECORDINGS.glob("**/*.wgprof"))],
                         ids=lambda path: Path(str(path)).stem)  # fmt: skip
def test_the_answer_is_the_same(file: Path) -> None:
    fine = open_recording(Path(str(file)))
    coarse = Coarser(fine, 50, 20_000)
    before, after = analyse(fine), analyse(coarse)
    # The edges of the traffic are known less exactly, which matters where a figure is just at its threshold.
    found, top = diagnose(before, fine), diagnose(after, coarse).top
    assert top is None or top.id in {finding.id for finding in found.findings}
    assert top is not None or found.top is None
    assert {(c.name, c.subject) for c in after.failed} <= {(c.name, c.subject) for c in before.failed}
    for was, now in zip(before.servers, after.servers, strict=True):
        assert now.busy_ce == pytest.approx(was.busy_ce, rel=0.1, abs=0.01), was.label


def test_a_small_recording_stays_as_it_is(recording: InMemory) -> None:
    coarse = Coarser(recording, 10_000, 10_000_000)
    assert not coarse.changed
    for table in TABLES:
        assert coarse.table(table.name).equals(recording.table(table.name)), table.name
    assert len(for_screens(recording).journeys) > 0


def test_nothing_recorded_is_nothing() -> None:
    assert analyse(Coarser(InMemory(), 10, 10)).window is None
