"""Behind a ring that refused packets the balances stay exact, though the refusals are only inferred."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.simulated import DEVICE, FIRST_PEER, InMemory, Load, gateway
from wgprof.analysis.conservation import Balance, Conservation
from wgprof.analysis.names import names_of
from wgprof.analysis.summary import analyse

PEERS = (FIRST_PEER, FIRST_PEER + 1)
#: The property tests share one recording, which they do not change.
SHARED = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def good() -> InMemory:
    load = Load(rate=1500, crypt_ns=80_000, serial_ns=60_000)
    return gateway(seconds=0.4, idle_s=0.1, peers=2, workers=4, tx=load, rx=load, seed=11)


def changed(recording: InMemory, table: str, *edits: tuple[dict[str, object], dict[str, int]]) -> InMemory:
    """With amounts added to columns of the middle one of the rows that have the given values."""
    frame = recording.table(table).copy()
    for where, amounts in edits:
        keep = np.ones(len(frame), dtype=bool)
        for column, value in where.items():
            keep &= np.asarray(frame[column] == value, dtype=bool)
        row = np.flatnonzero(keep)[np.count_nonzero(keep) // 2]
        for column, amount in amounts.items():
            values = frame[column].to_numpy(copy=True)
            values[row] += amount
            frame[column] = values
    return InMemory({**recording.tables, table: frame}, recording.manifest)


def received(
    good: InMemory, refused: dict[int, int], *, over: int = 0, forged: int = 0, replayed: int = 0, lost: int = 0
) -> InMemory:
    """More packets arrive on receive, and all of them are dropped: what the tables then hold, by their definitions.

    By peer some are refused at the ring (`over` more are inferred than were).  Of the first peer some are `forged`
    and some `replayed`, and some are `lost` as nothing in the kernel can lose them: accepted, and never seen again.
    """
    first, total = FIRST_PEER, sum(refused.values())
    arrivals = [({"queue": "decrypt-ring", "object": DEVICE}, {"refused_packets": total + over})]
    stages = []
    for peer, count in refused.items():
        more = count + (forged + replayed + lost if peer == first else 0)
        arrivals.append(({"queue": "rx-queue", "object": peer}, {"packets": more, "outside": more, "handoffs": more}))
        dropped = count + (forged + replayed if peer == first else 0)
        stages.append(({"stage": "rx.deliver", "object": peer}, {"failed": dropped}))
    stages.append(({"stage": "rx.decrypt", "object": first}, {"failed": forged, "packets": replayed}))
    return changed(changed(good, "arrivals", *arrivals), "stages", *stages)


def broken(recording: InMemory) -> list[Balance]:
    conservation = Conservation(recording, names_of(recording.table("objects")))
    return [balance for balance in conservation.balances() if not balance.holds]


def test_refusals_at_a_shared_ring_are_balanced_peer_by_peer(good: InMemory) -> None:
    """Nobody counts whose packets the ring refused; what each peer's poll dropped says it."""
    analysis = analyse(received(good, {PEERS[0]: 2, PEERS[1]: 3}))
    assert [check.detail for check in analysis.failed if check.name != "window"] == []  # it is short
    around = [c for c in analysis.checks if c.detail.startswith("rx-queue − rx.deliver")]
    assert [(c.subject, c.value, c.bound) for c in around] == [(analysis.names.label(p), 0, 0) for p in PEERS]
    (refusals,) = (c for c in analysis.checks if c.name == "refusals")
    assert (refusals.value, refusals.verdict) == (0, "ok")


@SHARED
@given(
    refused=st.tuples(st.integers(1, 400), st.integers(0, 400)),
    over=st.integers(0, 50),
    forged=st.integers(0, 50),
    replayed=st.integers(0, 50),
    lost=st.integers(1, 10),
)
def test_on_receive_one_lost_packet_is_found_whatever_was_refused_forged_and_wrongly_inferred(
    *, good: InMemory, refused: tuple[int, int], over: int, forged: int, replayed: int, lost: int
) -> None:
    by_peer = dict(zip(PEERS, refused, strict=True))
    assert broken(received(good, by_peer, over=over, forged=forged)) == []
    assert broken(received(good, by_peer, forged=forged, replayed=replayed)) == []
    (found,) = broken(received(good, by_peer, over=over, forged=forged, lost=lost))
    assert (found.relation, found.difference) == ("rx-queue − rx.deliver", lost)


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize("stage", ["rx.decrypt", "rx.deliver"])
def test_one_packet_miscounted_behind_a_refusing_ring_is_found(good: InMemory, stage: str, off: int) -> None:
    recording = received(good, dict.fromkeys(PEERS, 20), over=7)
    found = broken(changed(recording, "stages", ({"stage": stage, "object": PEERS[1]}, {"packets": off})))
    assert {abs(balance.difference) for balance in found} == {1}
    assert all(stage in balance.relation for balance in found)


@pytest.mark.parametrize(("stage", "blamed"), [("tx.encrypt", True), ("tx.send", False), ("rx.decrypt", True)])
def test_a_stage_is_blamed_alone_when_the_balance_around_it_holds(good: InMemory, stage: str, blamed: bool) -> None:
    """What its neighbours counted is then beyond doubt, and so are the rates."""
    recording = changed(good, "stages", ({"stage": stage, "object": PEERS[0]}, {"packets": -4}))
    failed = [check for check in analyse(recording).failed if check.name == "conservation"]
    assert {abs(check.value or 0) for check in failed} == {4}
    assert [check.taints == ("service times", stage) for check in failed] == [blamed] * len(failed)
    assert len(failed) == (2 if blamed else 1)


def sent(good: InMemory, *, inferred: int, missing: int) -> InMemory:
    """More packets are put on the first peer's tx-queue, and `missing` of them are never encrypted nor sent."""
    more = {"packets": missing, "outside": missing, "handoffs": missing}
    ring = {"refused_packets": inferred}
    edits = ({"queue": "tx-queue", "object": FIRST_PEER}, more), ({"queue": "encrypt-ring", "object": DEVICE}, ring)
    return changed(good, "arrivals", *edits)


@SHARED
@given(inferred=st.integers(1, 300), missing=st.integers(0, 320))
def test_on_transmit_no_more_may_be_missing_than_was_inferred_to_be_refused(
    good: InMemory, inferred: int, missing: int
) -> None:
    """The one bound that stays: the kernel counts a transmit ring's refusals nowhere, so a loss up to them may hide."""
    found = broken(sent(good, inferred=inferred, missing=missing))
    assert bool(found) is (missing > inferred)
    assert all(balance.relation == "tx-queue − tx.encrypt" for balance in found)


@pytest.mark.parametrize("off", [-1, 1])
def test_on_transmit_what_is_encrypted_is_sent_exactly_whatever_the_ring_refused(good: InMemory, off: int) -> None:
    recording = sent(good, inferred=50, missing=50)
    assert broken(recording) == []
    found = broken(changed(recording, "stages", ({"stage": "tx.send", "object": PEERS[1]}, {"packets": off})))
    assert [(balance.relation, balance.difference) for balance in found] == [("tx.encrypt − tx.send", -off)]


@pytest.mark.parametrize(("inferred", "missing", "verdict"), [(100, 96, "ok"), (100, 90, "fail"), (3, 1, "ok")])
def test_an_inference_that_is_far_off_is_said(good: InMemory, inferred: int, missing: int, verdict: str) -> None:
    (refusals,) = (c for c in analyse(sent(good, inferred=inferred, missing=missing)).checks if c.name == "refusals")
    assert (refusals.verdict, refusals.value) == (verdict, inferred - missing)
    assert refusals.taints == ("refusals", "encrypt-ring")


def test_a_ring_that_refused_without_any_peer_is_no_error(good: InMemory) -> None:
    objects: pd.DataFrame = good.table("objects")
    devices_only = InMemory({**good.tables, "objects": objects[objects["kind"] == "device"]}, good.manifest)
    ring = {"queue": "decrypt-ring", "object": DEVICE}, {"refused_packets": 5}
    assert (
        Conservation(changed(devices_only, "arrivals", ring), names_of(devices_only.table("objects"))).refusals() == []
    )
