"""S1 to S4: something that works one at a time is saturated.  All recordings here are constructed."""

from __future__ import annotations

import pytest

from tests.support.situation import DEVICE, FIRST_PEER, Row, Situation, receiver, sender
from wgprof.analysis.summary import analyse
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import EXPLAINED, FOUND, NOT_FOUND, Diagnosis, Outcome


def diagnosed(situation: Situation) -> Diagnosis:
    recording = situation.recording()
    return diagnose(analyse(recording), recording)


def outcome(situation: Situation, rule: str) -> Outcome:
    return next(o for o in diagnosed(situation).outcomes if o.id == rule)


def funnel() -> Situation:
    """CPU 0 receives a flow that fills it; crypto is elsewhere."""
    situation = Situation(cpus=4).stage("rx.receive", 300_000, 1.5, cpu=0)
    for cpu in (1, 2, 3):
        situation.stage("rx.decrypt", 100_000, 2.0, cpu=cpu).cpu(cpu, system=0.25, softirq=0.1)
    situation.stage("rx.deliver", 300_000, 0.3, cpu=1).runs("rx.napi", 20_000, 300_000, 1.0, cpu=1)
    situation.runs("decrypt.work", 5_000, 300_000, 1.0, cpu=2, owner=DEVICE)
    return situation.queue("rx-queue", 5, handoffs=300_000, occupied=0.5).cpu(0, softirq=0.99, net_rx=0.53)


def test_s1_names_the_cpu_that_receives_everything() -> None:
    found = outcome(funnel(), "S1")
    assert found.state == FOUND
    (finding,) = found.findings
    assert (finding.cpu, finding.limits) == (0, True)
    assert finding.bound.factor is not None and finding.bound.factor > 1
    assert any(step.command.startswith("ethtool -N NIC rx-flow-hash") for step in finding.steps)
    assert finding.severity.ce == pytest.approx(0.98, abs=0.02)  # 0.45 in the stage and 0.53 in front of it


@pytest.mark.parametrize(
    ("described", "because", "commands"),
    [
        ({"rss_hash": {"udp4": "sd"}}, "by addresses alone", ["ethtool -N eth0 rx-flow-hash udp4 sdfn"]),
        ({"rss_hash": {"udp4": "sdfn"}}, "one queue", []),
        ({"rx_queues": 1}, "one receive queue of eth0", ["echo MASK > /sys/class/net/eth0/queues/rx-0/rps_cpus"]),
    ],
)
def test_s1_says_what_the_nic_does_and_how_it_is_told(described: Row, because: str, commands: list[str]) -> None:
    situation = funnel().stage("rx.receive", 30_000, 1.5, cpu=0, peer=FIRST_PEER + 1).nic(**described)
    situation.peers = 2
    (finding,) = outcome(situation, "S1").findings
    assert because in finding.claim
    changing = [step.command for step in finding.steps if step.command and not step.command.startswith("ethtool -n")]
    assert changing == commands
    with_one = funnel().nic(name="a;b", rx_queues=4)
    told = [step.command for step in outcome(with_one, "S1").findings[0].steps if step.command]
    assert all("'a;b'" in command for command in told), "what a recording names is one word for a shell"


def test_s1_is_not_a_hot_softirq_cpu_that_receives_nothing() -> None:
    """The hot core of execution order inversion is not the one with the NIC's interrupts."""
    other = funnel().cpu(0, softirq=0.4, net_rx=0.1).cpu(1, softirq=0.99)
    found = outcome(other, "S1")
    assert found.state == NOT_FOUND
    assert "not the NIC's doing" in found.reason


def test_s1_is_not_a_receiving_cpu_with_time_left() -> None:
    assert outcome(funnel().cpu(0, softirq=0.6), "S1").state == NOT_FOUND


def test_s1_needs_a_second_cpu() -> None:
    assert outcome(receiver(cpus=1), "S1").state == NOT_FOUND


def serial_rx(us: float = 9.8, poll_size: int = 60, empty: float = 0.0, occupied: float = 1.0) -> Situation:
    """One NAPI that delivers 100,000 packets/s at `us` each on CPU 1."""
    situation = Situation(cpus=4).stage("rx.receive", 100_000, 1.0, cpu=0)
    for cpu in (0, 2, 3):
        situation.stage("rx.decrypt", 33_000, 5.0, cpu=cpu).cpu(cpu, system=0.2, softirq=0.1)
    situation.stage("rx.deliver", 99_000, us, cpu=1).cpu(1, softirq=0.98)
    situation.runs("rx.napi", 99_000 / poll_size / (1 - empty), 99_000, 3.0, cpu=1, empty=99_000 / poll_size * empty)
    situation.runs("decrypt.work", 5_000, 99_000, 1.0, cpu=2, owner=DEVICE)
    return situation.queue("rx-queue", 900, handoffs=100_000, occupied=occupied)


def test_s2_names_the_peer_and_its_cap() -> None:
    diagnosis = diagnosed(serial_rx())
    top = diagnosis.top
    assert top is not None and top.id == "S2"
    assert (top.object, top.limits, top.kind) == (FIRST_PEER, True, "defect")
    # A cap of 1 / demand, the demand with the poll's own 3 us over 60 packets.
    cap = next(e.value for e in top.evidence if e.figure.endswith("cap"))
    assert cap == pytest.approx(1e9 / (9_800 + 3_000 / 60), rel=0.01)
    assert top.bound.factor == pytest.approx(4 / (3 * 0.3 + 0.98), rel=0.01), "the CPUs are next"
    assert "all 4 CPUs" in top.bound.next_limit


@pytest.mark.parametrize(
    ("situation", "figure"),
    [
        (serial_rx(us=7.0), "occupied"),
        (serial_rx(poll_size=8), "packets a productive poll"),
        (serial_rx(empty=0.3), "delivered nothing"),
        (serial_rx(occupied=0.5), "rx-queue held packets"),
    ],
)
def test_s2_is_not_found_when_one_thing_is_missing(situation: Situation, figure: str) -> None:
    found = outcome(situation, "S2")
    assert found.state == NOT_FOUND
    assert found.closest is not None and figure in found.closest.figure


def serial_tx(us: float = 9.6, mtu: int = 1420, seconds: float = 10.0, **more: float) -> Situation:
    """One peer's transmit work sends 100,000 packets/s on CPU 1, others encrypt."""
    situation = Situation(cpus=4, mtu=mtu, seconds=seconds).stage("tx.stage", 100_000, 0.5, cpu=0, size=mtu)
    for cpu in (0, 2, 3):
        situation.stage("tx.encrypt", 33_000, 5.0, cpu=cpu).cpu(cpu, system=more.get("others", 0.3))
    situation.stage("tx.send", 99_000, us, cpu=1, nested_us=more.get("nested_us", 0.0)).cpu(1, system=0.98)
    situation.runs("tx.work", 1_000, 99_000, 3.0, cpu=1)
    situation.runs("encrypt.work", 5_000, 99_000, 1.0, cpu=2, owner=DEVICE)
    return situation.queue("tx-queue", 1000, handoffs=5_000, segments=20, occupied=more.get("occupied", 1.0))


def test_s3_names_the_peer_and_its_cpu() -> None:
    top = diagnosed(serial_tx()).top
    assert top is not None and (top.id, top.object, top.cpu) == ("S3", FIRST_PEER, 1)
    assert top.bound.factor is not None and top.bound.factor > 2


def test_s3_counts_what_runs_on_top_of_the_work() -> None:
    """Softirqs take half of its CPU: the work is never 95 % busy, and has no time left all the same."""
    top = diagnosed(serial_tx(us=4.8, nested_us=4.9)).top
    assert top is not None and (top.id, top.cpu) == ("S3", 1)
    assert top.severity.ce == pytest.approx(0.48, abs=0.01)
    cap = next(e.value for e in top.evidence if e.figure.endswith("cap"))
    assert cap == pytest.approx(1e9 / 9_730, rel=0.01)


@pytest.mark.parametrize("situation", [serial_tx(us=5.0), serial_tx(others=0.95), serial_tx(occupied=0.4)])
def test_s3_is_not_found_with_time_left_with_no_slack_or_an_empty_queue(situation: Situation) -> None:
    assert outcome(situation, "S3").state == NOT_FOUND


def crowded(delay_us: float = 500.0, others: float = 0.3) -> Situation:
    """The work has half of CPU 1, something else the other half, and waits for it 1,000 times a second."""
    situation = serial_tx(us=4.8, others=others)
    return situation.runs("tx.work", 1_000, 0, 0.0, cpu=1, delay_us=delay_us)


def test_s3_finds_work_that_has_to_share_its_cpu_while_others_have_time() -> None:
    top = diagnosed(crowded()).top
    assert top is not None and (top.id, top.cpu) == ("S3", 1)
    assert "waits for its CPU" in top.claim
    assert any("steered" in step.command for step in top.steps)


@pytest.mark.parametrize("situation", [crowded(delay_us=50.0), crowded(others=0.95)])
def test_s3_is_not_work_that_seldom_waits_nor_where_no_cpu_has_time(situation: Situation) -> None:
    assert outcome(situation, "S3").state == NOT_FOUND


def colliding(ids: tuple[int, int], us: float = 9.6, delay_us: float = 10.0) -> Situation:
    """Two peers whose works share CPU 1, half each; with 9.6 us a packet they fill it."""
    situation = Situation(cpus=4, peers=2)
    for peer, number in zip((FIRST_PEER, FIRST_PEER + 1), ids, strict=True):
        situation.stage("tx.send", 50_000, us, cpu=1, peer=peer)
        situation.runs("tx.work", 1_000, 50_000, 3.0, cpu=1, owner=peer, delay_us=delay_us)
        situation.stage("tx.encrypt", 50_000, 5.0, cpu=2, peer=peer).queue("tx-queue", 500, owner=peer)
        situation.internal_id(peer, number)
    situation.runs("encrypt.work", 5_000, 100_000, 1.0, cpu=2, owner=DEVICE)
    return situation.cpu(1, system=0.97).cpu(2, system=0.5)


def test_s3_finds_two_peers_whose_works_share_a_cpu() -> None:
    found = outcome(colliding((1, 5)), "S3")
    assert found.state == FOUND
    (finding,) = found.findings
    assert finding.cpu == 1 and "share CPU 1" in finding.claim


def test_s3_finds_two_peers_that_collide_on_a_cpu_they_have_to_share_with_crypto() -> None:
    """Crypt workers take the rest of the CPU: the works never fill it, and wait for it all the time."""
    (finding,) = outcome(colliding((1, 5), us=7.0, delay_us=700.0), "S3").findings
    assert "share CPU 1" in finding.claim and "internal ids are equal" in finding.claim


def test_s3_is_not_two_peers_that_share_a_cpu_with_time_to_spare() -> None:
    assert outcome(colliding((1, 5), us=7.0, delay_us=10.0), "S3").state == NOT_FOUND


def test_s3_calls_a_shared_cpu_a_collision_only_when_the_internal_ids_say_so() -> None:
    found = outcome(colliding((1, 2), us=7.0, delay_us=700.0), "S3").findings
    assert found and all("waits for its CPU" in finding.claim for finding in found)


def test_s3_does_not_blame_internal_ids_that_differ() -> None:
    assert outcome(colliding((1, 2)), "S3").state == NOT_FOUND


def converged(
    cpus: int = 8, peers: int = 6, threaded: int = 0, wander: bool = False, deliver: float = 15.0
) -> Situation:
    """All peers are polled on CPU 3 for the whole time, or (`wander`) on another one each second."""
    situation = Situation(cpus=cpus, peers=peers, threaded=threaded)
    for peer in range(FIRST_PEER, FIRST_PEER + peers):
        situation.stage("rx.receive", 10_000, 1.0, cpu=0, peer=peer)
        for second in range(10):
            cpu = second % cpus if wander else 3
            when = (float(second), second + 1.0)
            situation.stage("rx.deliver", 10_000, deliver, cpu=cpu, peer=peer, only=when)
            situation.runs("rx.napi", 500, 10_000, 3.0, cpu=cpu, owner=peer, only=when)
        situation.queue("rx-queue", 300, owner=peer, handoffs=10_000)
        for cpu in range(cpus):
            situation.stage("rx.decrypt", 10_000 / cpus, 5.0, cpu=cpu, peer=peer)
    situation.runs("decrypt.work", 5_000, 10_000 * peers, 1.0, cpu=2, owner=DEVICE)
    for cpu in range(cpus):
        situation.cpu(cpu, system=0.1)
    return situation.cpu(3, softirq=0.98)


def test_s4_finds_polls_that_converged_and_names_the_cpu() -> None:
    top = diagnosed(converged()).top
    assert top is not None and (top.id, top.cpu) == ("S4", 3)
    assert top.steps[0].command == "echo 1 > /sys/class/net/wg0/threaded"
    assert top.severity.lost_pps is not None and top.severity.lost_pps > 0


@pytest.mark.parametrize("situation", [converged(threaded=1), converged(wander=True), converged(peers=1),
                                       receiver(cpus=8, peers=6)])  # fmt: skip
def test_s4_is_not_found_when_threaded_when_it_moves_with_one_peer_or_when_spread(situation: Situation) -> None:
    assert outcome(situation, "S4").state == NOT_FOUND


def test_s4_is_not_found_where_something_else_fills_the_cpu() -> None:
    """Two tunnels into one receive queue: their polls are on the CPU that is full of what the NIC sends there."""
    judged = outcome(converged(deliver=1.0), "S4")
    assert judged.state == NOT_FOUND
    (share,) = (row for row in judged.evidence if row.figure.startswith("polls with delivery"))
    assert share.value is not None and share.value < 0.5


def test_s4_explains_a_busy_napi_away() -> None:
    """One peer of many has a NAPI that is saturated as well, because it shares the CPU that all converge on."""
    situation = converged()
    situation.stage("rx.deliver", 90_000, 10.5, cpu=3).runs("rx.napi", 1_500, 90_000, 3.0, cpu=3)
    situation.queue("rx-queue", 900, handoffs=90_000)
    outcomes = {o.id: o for o in diagnosed(situation).outcomes}
    assert (outcomes["S4"].state, outcomes["S2"].state, outcomes["S2"].explained_by) == (FOUND, EXPLAINED, "S4")
    assert "share" in outcomes["S2"].reason


@pytest.mark.parametrize("situation", [receiver(), sender(), receiver(peers=4), sender(peers=4)])
def test_healthy_machines_give_no_finding(situation: Situation) -> None:
    diagnosis = diagnosed(situation)
    assert diagnosis.findings == []
    assert {o.state for o in diagnosis.outcomes if o.id in ("S1", "S2", "S3", "S4")} == {NOT_FOUND}
