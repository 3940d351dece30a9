"""S14 and S16, and what holds for all rules: idle, cold, lossy and incomplete recordings.  Constructed throughout."""

from __future__ import annotations

import pytest

from tests.support.simulated import InMemory
from tests.support.situation import DEVICE, INTERVAL_NS, START_NS, WG0, Situation, receiver, sender
from tests.unit.test_rules_serving import diagnosed, outcome, serial_tx
from wgprof.analysis.summary import analyse
from wgprof.rules.diagnose import RULES, diagnose
from wgprof.rules.finding import EXPLAINED, FOUND, NOT_DECIDABLE, NOT_FOUND, Bound, Finding, Outcome, Severity
from wgprof.rules.precedence import TABLE, explain_away
from wgprof.rules.verdict import verdict


def crypto(us: float = 76.0, busy: float = 0.97, other: float = 0.0) -> Situation:
    """Both directions on four CPUs, each of which does 10,000 packets/s of either crypto at `us` / 4."""
    situation = Situation(cpus=4)
    for cpu in range(4):
        situation.stage("tx.encrypt", 10_000, us / 2, cpu=cpu).stage("rx.decrypt", 10_000, us / 2, cpu=cpu)
        situation.cpu(cpu, system=busy - other, user=other)
    situation.stage("tx.send", 40_000, 1.0, cpu=1).stage("rx.deliver", 40_000, 1.0, cpu=2)
    situation.stage("tx.stage", 40_000, 0.1).stage("rx.receive", 40_000, 0.1)
    situation.queue("tx-queue", 1, handoffs=40_000, occupied=0.5).queue("rx-queue", 1, handoffs=40_000, occupied=0.5)
    situation.runs("tx.work", 900, 40_000, 1.0, cpu=1).runs("rx.napi", 900, 40_000, 1.0, cpu=2)
    situation.runs("encrypt.work", 900, 40_000, 1.0, owner=DEVICE)
    return situation.runs("decrypt.work", 900, 40_000, 1.0, owner=DEVICE)


def test_s14_is_a_healthy_ceiling() -> None:
    top = diagnosed(crypto()).top
    assert top is not None and (top.id, top.kind, top.limits) == ("S14", "ceiling", True)
    assert top.severity.ce == pytest.approx(3.04, rel=0.01)
    # Without crypto's 3.04 CE of 3.88 the CPUs could do 4 / 0.84 of it.
    assert top.bound.factor == pytest.approx(4 / 0.84, rel=0.01)


@pytest.mark.parametrize("situation", [crypto(busy=0.85), crypto(us=10.0)])
def test_s14_is_not_free_cpus_nor_little_crypto(situation: Situation) -> None:
    assert outcome(situation, "S14").state == NOT_FOUND


def test_s16_finds_cpus_that_something_else_fills() -> None:
    top = diagnosed(crypto(us=20.0, other=0.4)).top
    assert top is not None and (top.id, top.kind) == ("S16", "elsewhere")
    assert top.severity.ce == pytest.approx(3.88 - 0.8 - 0.08, rel=0.02)


def test_s16_finds_a_single_thread() -> None:
    top = diagnosed(sender(on=3).cpu(3, user=0.97)).top
    assert top is not None and (top.id, top.cpu) == ("S16", 3)


def test_s16_is_not_a_thread_that_hands_nothing_over() -> None:
    """A CPU that other work fills limits no throughput while the sender's has time."""
    assert outcome(sender(on=0).cpu(3, user=0.97), "S16").state == NOT_FOUND


def test_s16_is_not_a_nic_that_fills_a_cpu() -> None:
    """All of a CPU in the driver's softirq is the NIC's doing, not a sender's."""
    assert outcome(receiver().cpu(3, softirq=0.97, net_rx=0.9), "S16").state == NOT_FOUND


def test_s16_is_not_a_thread_beside_a_busy_server() -> None:
    assert outcome(serial_tx().cpu(3, user=0.97), "S16").state == NOT_FOUND


def test_s16_finds_a_shaper_below_wireguard_and_explains_the_busy_server_away() -> None:
    situation = serial_tx().dropped(tx=5_000)
    diagnosis = diagnosed(situation)
    assert [f.id for f in diagnosis.findings] == ["S16"]
    assert "shaper" in diagnosis.findings[0].claim
    (serial,) = (o for o in diagnosis.outcomes if o.id == "S3")
    assert (serial.state, serial.explained_by) == (EXPLAINED, "S16")
    assert serial.findings, "what was explained away is still there to be read"


def test_s16_is_not_an_overflowing_staged_queue() -> None:
    situation = sender().dropped(tx=5_000).queue("tx.staged", 128)
    assert outcome(situation, "S16").state == NOT_FOUND


def test_s16_finds_a_reader_whose_socket_overflows() -> None:
    """A twentieth of what is delivered finds the buffer full; in a stray burst a thousandth does."""
    top = diagnosed(receiver(pps=20_000).overflowed(1_000)).top
    assert top is not None and (top.id, top.kind, top.limits) == ("S16", "elsewhere", True)
    assert "application" in top.claim
    assert "of all UDP" in top.claim and "WireGuard's own sockets have no part" in top.claim
    assert top.severity.lost_pps == pytest.approx(1_000, rel=0.05)
    assert outcome(receiver(pps=20_000).overflowed(20), "S16").state == NOT_FOUND
    # Where WireGuard's own queue refuses more, the reader is not what limits.
    upstream = receiver(pps=20_000).overflowed(1_000).queue("rx-queue", 1_000, handoffs=22_000, refused=2_000)
    assert outcome(upstream, "S16").state == NOT_FOUND


def test_s16_finds_a_tiny_mtu_where_packets_cost_too_much() -> None:
    small = serial_tx(mtu=576)
    assert outcome(small, "S16").state == FOUND
    assert outcome(serial_tx(mtu=1420), "S16").state == NOT_FOUND
    idle = sender(mtu=576)
    assert outcome(idle, "S16").state == NOT_FOUND, "nothing is short of time, so small packets cost nothing"


def test_idle_recordings_give_nothing() -> None:
    idle = diagnosed(receiver(pps=100).cpu(0, softirq=0.98))
    assert idle.findings == []
    assert {o.state for o in idle.outcomes} == {NOT_FOUND}
    assert all("idle" in o.reason for o in idle.outcomes)
    nothing = InMemory().with_table("intervals", [{"t_ns": 1, "dt_ns": 10**8, "sample_every": 1}])
    assert {o.reason for o in diagnose(analyse(nothing), nothing).outcomes} == {"nothing flowed"}


def test_a_window_whose_byte_counters_did_not_move_is_rejected() -> None:
    situation = serial_tx().forget("interfaces")
    still = situation.table("interfaces", [{**WG0, "t_ns": START_NS, "dt_ns": INTERVAL_NS, "rx_packets": 5}])
    outcomes = diagnosed(still).outcomes
    assert {o.state for o in outcomes} == {NOT_FOUND}
    assert "moved a byte" in outcomes[0].reason


def test_time_in_which_no_interface_moved_a_byte_counts_for_nothing() -> None:
    """Five of ten seconds are a pause in the middle: a server that is saturated before and after still is."""
    pause = (3.0, 8.0)
    situation = serial_tx()
    situation.pause(*pause)
    found = outcome(situation, "S3")
    assert found.state == FOUND
    recording = situation.recording()
    spans = analyse(recording).spans
    assert spans is not None
    assert spans.idle_s == pytest.approx(5.0)
    assert float(spans.seconds.sum()) == pytest.approx(5.0)


def test_findings_on_lossy_data_say_so() -> None:
    clean = diagnosed(serial_tx()).top
    lossy = diagnosed(serial_tx().table("losses", [{"cause": "lost-return", "where": "tx.send", "count": 9}])).top
    assert clean is not None and lossy is not None
    assert not clean.doubtful
    assert lossy.doubtful and any("losses" in taint for taint in lossy.tainted_by)


def test_oversubscribed_lab_recordings_taint_utilisation() -> None:
    results = {"vcpus": 4, "host_cores": 2, "host_cpu_s": 5.0}
    top = diagnosed(serial_tx().says(target={"kind": "lab"}, results=results)).top
    assert top is not None and any("emulation" in taint for taint in top.tainted_by)


def test_findings_on_cold_data_say_so() -> None:
    top = diagnosed(serial_tx(seconds=3.0)).top
    assert top is not None and any("cold" in taint for taint in top.tainted_by)


@pytest.mark.parametrize("table", ["cpus", "depths", "journeys", "arrivals", "executions"])
def test_rules_without_their_tables_say_what_they_need_and_the_others_run(table: str) -> None:
    situation = receiver()
    situation.forget(table)
    outcomes = {o.id: o for o in diagnosed(situation).outcomes}
    for rule in RULES:
        state = outcomes[rule.id].state
        if table in {need.partition(":")[0] for need in rule.needs}:
            assert (state, table in outcomes[rule.id].reason) == (NOT_DECIDABLE, True), rule.id
    assert NOT_FOUND in {o.state for o in outcomes.values()}


def test_a_probe_that_could_not_be_attached_is_named() -> None:
    missing = {"point": "poll start", "kind": "missing", "affects": "stages: rx.deliver; executions: rx.napi; journeys"}
    situation = receiver().table("probes", [missing])
    outcomes = {o.id: o for o in diagnosed(situation).outcomes}
    assert outcomes["S2"].state == NOT_DECIDABLE
    assert "executions: rx.napi" in outcomes["S2"].needs
    assert outcomes["S14"].state == NOT_FOUND


def test_precedence_names_known_rules_in_an_order_that_needs_no_repetition() -> None:
    known = {rule.id for rule in RULES}
    assert {row.by for row in TABLE} | {row.explained for row in TABLE} <= known
    for place, row in enumerate(TABLE):
        assert row.by not in {later.explained for later in TABLE[place:]}, row


def test_the_verdict_names_the_limit_and_what_to_do() -> None:
    recording = serial_tx().recording()
    analysis = analyse(recording)
    first, second, third = verdict(analysis, diagnose(analysis, recording))
    assert first.startswith("S3 serial-tx: ")
    assert "Without it ×" in second and "Next: " in second
    assert third.startswith("Quality: all ")


def test_the_verdict_says_nothing_found_and_how_near_it_is() -> None:
    recording = receiver().recording()
    analysis = analyse(recording)
    first = verdict(analysis, diagnose(analysis, recording))[0]
    assert first.startswith("Nothing found: WireGuard could carry more than was offered.")
    assert "% busy" in first and "S7 ring-contention" in first


def test_full_cpus_without_a_signature_are_said_to_be_full() -> None:
    """A third each: crypto, the rest of WireGuard, everything else."""
    situation = crypto(us=32.0)
    for cpu in range(4):
        situation.stage("tx.stage", 0.5, 650_000.0, cpu=cpu)
    recording = situation.recording()
    analysis = analyse(recording)
    diagnosis = diagnose(analysis, recording)
    assert diagnosis.findings == []
    first = verdict(analysis, diagnosis)[0]
    assert first.startswith("Nothing found but full CPUs")
    assert "Encryption takes 1.28 CE" in first


def finding(name: str, ce: float | None, cpu: int | None) -> Outcome:
    """A rule that found something; `ce` is CPU time that it is about, if any."""
    one = Finding(name, name, "", "it", "", (), Severity(ce), Bound(None), (), "", (), cpu=cpu)
    return Outcome(name, name, FOUND, "", findings=(one,))


@pytest.mark.parametrize(
    ("ce", "cpu", "state"), [(0.9, 1, EXPLAINED), (1.8, None, EXPLAINED), (0.9, 0, FOUND), (None, None, FOUND)]
)
def test_what_is_outside_explains_a_stalled_head_only_where_it_takes_its_cpu(
    ce: float | None, cpu: int | None, state: str
) -> None:
    """A link, a socket's buffer or an MTU keeps no worker from running."""
    outside, stalled = explain_away([finding("S16", ce, cpu), finding("S6", None, 1)])
    assert outside.state == FOUND
    assert stalled.state == state
