"""S5, S7, S8, S10, S11, S15: CPU time spent for nothing.  All recordings here are constructed."""

from __future__ import annotations

import pytest

from tests.support.situation import DEVICE, FIRST_PEER, Situation, receiver
from tests.unit.test_rules_serving import diagnosed, outcome
from wgprof.rules.finding import FOUND, NOT_DECIDABLE, NOT_FOUND


def polls_for_nothing(empty: float, empty_us: float) -> Situation:
    situation = receiver()
    return situation.runs("rx.napi", empty, 0, 1.0, cpu=1, empty=empty, empty_us=empty_us)


def test_s5_counts_cpu_time_of_empty_polls() -> None:
    found = outcome(polls_for_nothing(300_000, 1.0), "S5")
    assert found.state == FOUND
    assert found.findings[0].severity.ce == pytest.approx(0.3, rel=0.01)
    assert found.findings[0].bound.factor == 1.0, "the CPUs are not full, so it costs CPU time and no throughput"


def test_s5_does_not_take_events_for_cpu_time() -> None:
    """Two thirds of the polls are empty, and take 0.5 % of a CPU."""
    found = outcome(polls_for_nothing(5_000, 1.0), "S5")
    assert found.state == NOT_FOUND
    assert found.evidence[1].value is not None and found.evidence[1].value > 0.6


def test_s5_tells_polls_apart_where_the_probes_did() -> None:
    situation = polls_for_nothing(300_000, 1.0)
    situation.between("polls", server="rx.napi", object=FIRST_PEER, productive=2_500, head_not_ready=240_000,
                      empty_queue=60_000, missed=150_000, missed_wasted=120_000, nested=30_250, nested_wasted=30_000,
                      nested_wasted_ns=40_000_000)  # fmt: skip
    told = {e.figure: e for e in outcome(situation, "S5").findings[0].evidence}
    assert told["empty polls that met a head that was not decrypted"].value == pytest.approx(0.8)
    assert told["polls asked for while their NAPI was being polled"].value == pytest.approx(150_000 / 302_500)
    assert told["such polls that delivered nothing"].value == pytest.approx(120_000 / 302_500)
    assert told["polls on top of a worker that encrypts or decrypts"].value == pytest.approx(0.1)
    assert told["CPU time of those on top that delivered nothing"].value == pytest.approx(0.04)
    assert len(outcome(polls_for_nothing(300_000, 1.0), "S5").findings[0].evidence) == 4, "an older recording"


def with_stacks(path: str, samples: int) -> Situation:
    situation = receiver()
    common = {"t_ns": 1, "dt_ns": 1_000_000_000, "cpu": 0, "thread": "kworker"}
    situation.table("stacks", [
        {**common, "stack": f"worker_thread;{path}", "samples": samples},
        {**common, "stack": "worker_thread;wg_packet_decrypt_worker;chacha20poly1305_decrypt", "samples": 400},
    ])  # fmt: skip
    return situation.says(perf={"sample_hz": 1000, "parts": [{"part": "stacks", "state": "ok"}]})


SPIN = "wg_packet_decrypt_worker;_raw_spin_lock_bh;native_queued_spin_lock_slowpath"


def test_s7_finds_cpus_that_spin_for_a_ring() -> None:
    found = outcome(with_stacks(SPIN, 300), "S7")
    assert found.state == FOUND
    assert found.findings[0].severity.ce == pytest.approx(0.3)


@pytest.mark.parametrize(
    "situation",
    [with_stacks(SPIN, 20), with_stacks("wg_packet_rx_poll;napi_gro_receive;tcp_v4_rcv;_raw_spin_lock_bh", 300)],
)
def test_s7_is_not_little_spinning_nor_another_lock(situation: Situation) -> None:
    assert outcome(situation, "S7").state == NOT_FOUND


def spinning(share: float) -> Situation:
    """Two CPUs spin for the producers' lock of the decrypt ring, for so much of the time together."""
    situation = receiver()
    for cpu in (1, 2):
        row = {"lock": "decrypt-ring.producer", "object": DEVICE, "waits": 5_000, "wait_ns": share / 2 * 1e9}
        situation.between("contention", **{**row, "cpu": cpu})
    return situation


def test_s7_finds_spinning_that_was_measured() -> None:
    found = outcome(spinning(0.3), "S7")
    assert found.state == FOUND
    (finding,) = found.findings
    assert finding.severity.ce == pytest.approx(0.3)
    assert finding.evidence[0].low == pytest.approx(0.3) and finding.evidence[0].n == 100_000
    handoffs = next(e for e in finding.evidence if e.figure.endswith("waits a hand-off"))
    assert handoffs.figure.startswith("decrypt-ring.producer of wg0") and handoffs.value == pytest.approx(0.5)


def test_s7_believes_what_was_measured_more_than_stacks() -> None:
    assert outcome(with_stacks(SPIN, 300).between("contention"), "S7").state == NOT_FOUND
    assert outcome(spinning(0.1), "S7").state == NOT_FOUND


def test_s7_cannot_be_decided_without_either() -> None:
    found = outcome(receiver(), "S7")
    assert found.state == NOT_DECIDABLE
    assert "--detail" in found.needs[0] and "--stacks" in found.needs[0]


def woken(runs_a_packet: float, us: float = 20.0) -> Situation:
    situation = receiver()
    return situation.runs("decrypt.work", 20_000 * runs_a_packet, 0, us, cpu=2, owner=DEVICE)


def test_s8_finds_a_wake_up_for_every_packet() -> None:
    found = outcome(woken(0.9), "S8")
    assert found.state == FOUND
    assert "decrypt.work" in found.findings[0].claim


def test_s8_says_what_the_runs_took_where_that_was_measured() -> None:
    situation = woken(0.9).between("ipis", reschedules=12_000, calls=3_000, sent_work=9_000)
    situation.between("wakeups", server="decrypt.work", object=DEVICE, woken=10_000, runqueue_ns=50_000_000)
    told = {e.figure: e.value for e in outcome(situation, "S8").findings[0].evidence}
    assert told["threads woken for decrypt.work, a packet"] == pytest.approx(0.5)
    assert told["time such a thread waited for its CPU, mean"] == pytest.approx(5_000)
    assert told["interrupts between CPUs, a packet"] == pytest.approx(0.75)
    assert not any("woken" in e.figure for e in outcome(woken(0.9), "S8").findings[0].evidence)


@pytest.mark.parametrize("situation", [woken(0.1, us=300.0), woken(0.9, us=1.0)])
def test_s8_is_not_few_wake_ups_nor_cheap_ones(situation: Situation) -> None:
    assert outcome(situation, "S8").state == NOT_FOUND


def two_nodes(remote_us: float, remote: float = 0.5) -> Situation:
    situation = Situation(cpus=4, nodes=2).stage("rx.receive", 100_000, 1.0, cpu=0)
    situation.stage("rx.decrypt", 100_000 * (1 - remote), 5.0, cpu=1)
    situation.stage("rx.decrypt", 100_000 * remote, remote_us, cpu=2).stage("rx.deliver", 100_000, 1.0, cpu=1)
    situation.runs("rx.napi", 5_000, 100_000, 1.0, cpu=1)
    for cpu in range(4):
        situation.cpu(cpu, system=0.3)
    return situation.runs("decrypt.work", 5_000, 100_000, 1.0, cpu=1, owner=DEVICE).journeys(400)


def test_s10_finds_crypto_that_is_slower_on_the_other_node() -> None:
    found = outcome(two_nodes(10.0), "S10")
    assert found.state == FOUND
    assert found.findings[0].severity.ce == pytest.approx(0.25, rel=0.01)  # 50,000 packets/s x 5 us more


@pytest.mark.parametrize("situation", [two_nodes(5.1), two_nodes(10.0, remote=0.05), receiver()])
def test_s10_is_not_equal_speed_little_traffic_or_one_node(situation: Situation) -> None:
    assert outcome(situation, "S10").state == NOT_FOUND


def small_polls(packets_a_poll: float, setup_us: float = 5.0) -> Situation:
    situation = Situation(cpus=4).stage("rx.receive", 80_000, 1.0).stage("rx.decrypt", 80_000, 2.0, cpu=1)
    situation.stage("rx.deliver", 80_000, 2.0, cpu=1).cpu(1, softirq=0.6)
    return situation.runs("rx.napi", 80_000 / packets_a_poll, 80_000, setup_us, cpu=1)


def test_s11_finds_polls_that_are_mostly_set_up() -> None:
    found = outcome(small_polls(1.1), "S11")
    assert found.state == FOUND
    assert found.findings[0].severity.ce == pytest.approx(80_000 / 1.1 * 5e-6, rel=0.01)


@pytest.mark.parametrize("situation", [small_polls(20.0), small_polls(1.1, setup_us=0.4)])
def test_s11_is_not_large_polls_nor_cheap_ones(situation: Situation) -> None:
    assert outcome(situation, "S11").state == NOT_FOUND


def growing(many_us: float, threaded: int = 1) -> Situation:
    """Two tunnels for five seconds, then six; a poll's own time changes with them."""
    situation = Situation(cpus=4, peers=6, threaded=threaded)
    for peer in range(FIRST_PEER, FIRST_PEER + 6):
        late = peer >= FIRST_PEER + 2
        for begin, end, us in ((0.0, 5.0, 4.0), (5.0, 10.0, many_us)):
            if late and not begin:
                continue
            when = (begin, end)
            situation.stage("rx.deliver", 20_000, 1.0, cpu=peer % 4, peer=peer, only=when)
            situation.stage("rx.decrypt", 20_000, 1.0, cpu=peer % 4, peer=peer, only=when)
            situation.runs("rx.napi", 10_000, 20_000, us, cpu=peer % 4, owner=peer, only=when)
    for cpu in range(4):
        situation.cpu(cpu, system=0.5)
    return situation.journeys(100)


def test_s15_finds_poll_time_that_grows_with_the_tunnels() -> None:
    found = outcome(growing(12.0), "S15")
    assert found.state == FOUND
    assert found.findings[0].evidence[0].value == pytest.approx(3.0, rel=0.01)


def test_s15_is_not_constant_poll_time_nor_softirq_napi() -> None:
    assert outcome(growing(4.0), "S15").state == NOT_FOUND
    assert outcome(growing(12.0, threaded=0), "S15").state == NOT_FOUND


def test_s15_cannot_be_decided_when_the_number_of_tunnels_never_changes() -> None:
    assert outcome(receiver(peers=4, threaded=1), "S15").state == NOT_DECIDABLE


def test_wastes_rank_below_what_limits() -> None:
    situation = polls_for_nothing(300_000, 1.0)
    situation.stage("tx.send", 99_000, 9.8, cpu=3).runs("tx.work", 1_000, 99_000, 1.0, cpu=3)
    situation.queue("tx-queue", 1000, handoffs=99_000)
    assert [f.id for f in diagnosed(situation).findings] == ["S3", "S5"]
