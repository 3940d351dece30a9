"""S6, S9, S12, S13: packets that wait or are lost.  All recordings here are constructed."""

from __future__ import annotations

import pytest

from tests.support.situation import DEVICE, FIRST_PEER, INTERVAL_NS, START_NS, Row, Situation, receiver
from tests.unit.test_rules_serving import diagnosed, outcome
from wgprof.agent.layout import DURATION_SHIFT, bucket_of
from wgprof.rules.finding import EXPLAINED, FOUND, NOT_DECIDABLE, NOT_FOUND


def stalled(stalled_us: float = 500.0, every: int = 50, stall_cpu: int = 3) -> Situation:
    situation = receiver()
    situation.forget("journeys")
    return situation.journeys(2_000, every=every, stalled_us=stalled_us, stall_cpu=stall_cpu)


def test_s6_finds_ready_packets_behind_a_head_that_waits() -> None:
    found = outcome(stalled(), "S6")
    assert found.state == FOUND
    (finding,) = found.findings
    assert (finding.object, finding.cpu, finding.limits) == (FIRST_PEER, 3, False)
    held = next(e for e in finding.evidence if e.figure.endswith("time held, mean"))
    # Packets 20 us apart behind one that waits 500 us: held from 500 down to 0.
    assert held.value == pytest.approx(250_000, rel=0.1)


@pytest.mark.parametrize("situation", [stalled(stalled_us=60.0), stalled(every=1_999), receiver()])
def test_s6_is_not_short_or_rare(situation: Situation) -> None:
    assert outcome(situation, "S6").state == NOT_FOUND


def test_s6_is_not_a_machine_whose_cpus_are_all_busy() -> None:
    situation = stalled()
    for cpu in range(4):
        situation.cpu(cpu, system=0.97)
    assert outcome(situation, "S6").state == NOT_FOUND


def test_s6_cannot_be_ruled_out_where_holders_were_not_sampled() -> None:
    """Packets wait long for their delivery, and the one of a hundred that was sampled was not held by another."""
    situation = receiver().forget("journeys").journeys(400, gap_us=1_000, deliver_wait_us=900.0)
    found = outcome(situation, "S6")
    assert (found.state, found.needs) == (NOT_DECIDABLE, ("every packet (record with --sample 1)",))


def test_s6_cannot_be_decided_without_journeys() -> None:
    situation = receiver()
    situation.forget("journeys")
    assert outcome(situation, "S6").needs == ("journeys",)


def standing(
    us: float = 500.0, in_vain: float = 2_000, delay_us: float = 10.0, ready: float | None = None, episodes: int = 100
) -> Situation:
    """No journeys; a NAPI stands `us` before a head, so often a second; `ready` of that is after it was ready."""
    situation = receiver().forget("journeys")
    situation.runs("rx.napi", in_vain, 0, 1.0, cpu=1, empty=in_vain, delay_us=delay_us)
    mine: Row = {"server": "rx.napi", "object": FIRST_PEER}
    # What the runs of the four CPUs come to in an interval.
    situation.between("polls", **mine, productive=2_496, head_not_ready=in_vain)
    blocked: Row = {"episodes": episodes, "blocked_ns": episodes * us * 1000}
    timed: Row = {}
    if ready is not None:
        timed = {"timed": episodes, "timed_ns": blocked["blocked_ns"], "ready_ns": ready * blocked["blocked_ns"]}
    situation.between("heads", **mine, **blocked, **timed)
    bucket = bucket_of(int(us * 1000) >> DURATION_SHIFT)
    when: Row = {"t_ns": START_NS, "dt_ns": INTERVAL_NS, "cpu": 0, "object": FIRST_PEER}
    return situation.table(
        "histograms", [{**when, "metric": "rx.napi.blocked", "bucket": bucket, "count": 10 * episodes}]
    )


def test_s6_is_decided_by_the_heads_of_all_packets_where_journeys_are_missing() -> None:
    found = outcome(standing(), "S6")
    assert found.state == FOUND
    (finding,) = found.findings
    assert (finding.object, finding.cpu, finding.tainted_by) == (FIRST_PEER, None, ())
    held = next(e for e in finding.evidence if e.figure.endswith("such a head still takes at a random moment"))
    # 250 us is left of 500 us on average, less the 10 us that polls are late.
    assert held.value == pytest.approx(245_000, rel=0.07) and held.n == 1_000
    stood = next(e for e in finding.evidence if "stood before" in e.figure)
    assert stood.value == pytest.approx(0.05) and stood.low == pytest.approx(0.05)


@pytest.mark.parametrize("situation", [standing(us=60.0), standing(ready=0.9), standing(us=5_000.0, episodes=2)])
def test_s6_is_ruled_out_by_heads_that_stand_shortly_are_ready_or_rare(situation: Situation) -> None:
    assert outcome(situation, "S6").state == NOT_FOUND


@pytest.mark.parametrize("situation", [standing(), standing(in_vain=400)])
def test_s6_by_heads_is_not_a_machine_whose_cpus_are_all_busy(situation: Situation) -> None:
    for cpu in range(4):
        situation.cpu(cpu, system=0.97)
    assert outcome(situation, "S6").state == NOT_FOUND


def test_s6_is_ruled_out_by_heads_where_holders_were_not_sampled() -> None:
    hidden = receiver().forget("journeys").journeys(400, gap_us=1_000, deliver_wait_us=900.0)
    assert outcome(hidden.between("heads").between("polls"), "S6").state == NOT_FOUND


def few_and_long() -> Situation:
    """Twenty episodes that take a tenth of the time."""
    return standing(us=50_000.0, episodes=2)


@pytest.mark.parametrize("situation", [standing(in_vain=400), standing(delay_us=1_000.0), few_and_long()])
def test_s6_is_not_ruled_out_by_few_polls_in_vain_late_ones_or_few_episodes(situation: Situation) -> None:
    """One late poll may be for many packets that were held; how late it was after the head was ready is not known."""
    assert outcome(situation, "S6").needs == ("journeys",)


def blind(busy: float = 0.97, others: float = 0.2, owner: int = 3) -> Situation:
    """CPU 3 is busy with something else, decrypts its turn all the same, and `owner` has the stalls."""
    situation = stalled(stall_cpu=owner)
    for cpu in range(4):
        situation.cpu(cpu, system=others)
    return situation.cpu(3, user=busy)


def test_s9_finds_crypto_on_a_cpu_that_has_no_time() -> None:
    found = outcome(blind(), "S9")
    assert found.state == FOUND
    assert found.findings[0].cpu == 3
    assert any("steered" in step.command for step in found.findings[0].steps)


@pytest.mark.parametrize("situation", [blind(busy=0.6), blind(others=0.95), blind(owner=1)])
def test_s9_is_not_a_cpu_with_time_no_slack_elsewhere_or_short_waits(situation: Situation) -> None:
    assert outcome(situation, "S9").state == NOT_FOUND


def refusing(pps: float, dropped: float = 0.0) -> Situation:
    return receiver().queue("rx-queue", 1000, handoffs=5_000, refused=pps).dropped(rx=dropped)


def test_s12_finds_refusals_that_no_counter_shows() -> None:
    found = outcome(refusing(500), "S12")
    assert found.state == FOUND
    assert found.findings[0].severity.lost_pps == pytest.approx(500)
    assert "ENOSPC" in found.findings[0].claim


@pytest.mark.parametrize("situation", [refusing(10), refusing(500, dropped=500)])
def test_s12_is_not_rare_refusals_nor_counted_ones(situation: Situation) -> None:
    assert outcome(situation, "S12").state == NOT_FOUND


def lost_wakeup(seconds: float) -> Situation:
    """Peer 2 delivers until second 3, then its queue is full and it is not polled, while peer 3 is."""
    situation = Situation(cpus=4, peers=2, threaded=1)
    for begin, end in ((0.0, 3.0), (3.0 + seconds, 10.0)):
        situation.stage("rx.deliver", 10_000, 1.0, cpu=1, only=(begin, end))
        situation.runs("rx.napi", 500, 10_000, 1.0, cpu=1, only=(begin, end))
        situation.queue("rx-queue", 3, only=(begin, end))
    situation.queue("rx-queue", 1024, handoffs=1_000, refused=1_000, only=(3.0, 3.0 + seconds))
    other = FIRST_PEER + 1
    situation.stage("rx.deliver", 10_000, 1.0, cpu=2, peer=other).runs("rx.napi", 500, 10_000, 1.0, cpu=2, owner=other)
    situation.stage("rx.decrypt", 20_000, 2.0, cpu=2, peer=other).runs("decrypt.work", 900, 20_000, 1.0, owner=DEVICE)
    return situation.queue("rx-queue", 3, owner=other)


def test_s13_finds_a_full_queue_that_nobody_polls_and_explains_its_drops() -> None:
    diagnosis = diagnosed(lost_wakeup(4.0))
    top = diagnosis.top
    assert top is not None and (top.id, top.object) == ("S13", FIRST_PEER)
    assert "4.0 s" in top.claim
    drops = next(o for o in diagnosis.outcomes if o.id == "S12")
    assert (drops.state, drops.explained_by) == (EXPLAINED, "S13")
    assert [f.id for f in diagnosis.findings] == ["S13"]


def test_s13_is_not_a_short_stall_nor_a_full_queue_that_is_polled() -> None:
    assert outcome(lost_wakeup(0.4), "S13").state == NOT_FOUND
    assert outcome(receiver(peers=2).queue("rx-queue", 1024), "S13").state == NOT_FOUND


def test_s13_cannot_be_decided_without_depths() -> None:
    situation = receiver()
    situation.forget("depths")
    assert outcome(situation, "S13").state == NOT_DECIDABLE
