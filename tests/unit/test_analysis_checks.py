"""The quality panel: each planted contradiction is found, named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from tests.support.simulated import FIRST_PEER, InMemory, Load, gateway
from wgprof.analysis.checks import Check, worst_first
from wgprof.analysis.summary import analyse

TX = Load(rate=1500, segments=4, crypt_ns=80_000, serial_ns=60_000)
RX = Load(rate=3000, crypt_ns=100_000, serial_ns=200_000)


@pytest.fixture(scope="module")
def good() -> InMemory:
    return gateway(seconds=5, peers=2, workers=4, tx=TX, rx=RX, seed=11)


def change(recording: InMemory, table: str, edit: Callable[[pd.DataFrame], None]) -> InMemory:
    frame = recording.table(table).copy()
    edit(frame)
    return InMemory({**recording.tables, table: frame}, recording.manifest)


def add(frame: pd.DataFrame, row: int, **amounts: int) -> None:
    """Add to some columns of one row; the index counts from 0."""
    for column, amount in amounts.items():
        values = frame[column].to_numpy(copy=True)
        values[row] += amount
        frame[column] = values


def failed(recording: InMemory, name: str = "") -> list[Check]:
    return [check for check in analyse(recording).failed if not name or check.name == name]


def first(frame: pd.DataFrame, **equal: object) -> int:
    keep = pd.Series(True, index=frame.index)
    for column, value in equal.items():
        keep &= frame[column] == value
    return int(frame.index[keep][len(frame.index[keep]) // 2])


def test_the_unchanged_recording_fails_nothing(good: InMemory) -> None:
    assert [c.detail for c in failed(good)] == []


@pytest.mark.parametrize("stage", ["tx.encrypt", "tx.send", "rx.decrypt", "rx.deliver"])
@pytest.mark.parametrize("off", [-1, 1])
def test_one_packet_too_many_or_too_few_is_found(good: InMemory, stage: str, off: int) -> None:
    def edit(stages: pd.DataFrame) -> None:
        add(stages, first(stages, stage=stage, object=FIRST_PEER + 1), packets=off)

    bad = failed(change(good, "stages", edit), "conservation")
    assert bad
    assert {check.subject for check in bad} == {analyse(good).names.label(FIRST_PEER + 1)}
    assert all(stage in check.detail and abs(check.value or 0) == 1 for check in bad)


@pytest.mark.parametrize(("queue", "stage"), [("tx-queue", "tx.stage"), ("rx-queue", "rx.receive")])
def test_packets_from_elsewhere_are_told_apart(good: InMemory, queue: str, stage: str) -> None:
    """Keepalives reach the queue without the stage: that balances only if they were counted as such."""

    def arrive(outside: int) -> InMemory:
        def edit(arrivals: pd.DataFrame) -> None:
            row = first(arrivals, queue=queue, object=FIRST_PEER)
            add(arrivals, row, packets=3, refused_packets=3, outside=outside)

        return change(good, "arrivals", edit)

    assert failed(arrive(3)) == []
    (bad,) = failed(arrive(0), "conservation")
    assert (bad.value, bad.bound) == (-3, 0)
    assert bad.detail.startswith(stage)


@pytest.mark.parametrize(
    ("queue", "stage", "owner"),
    [("tx-queue", "tx.encrypt", FIRST_PEER), ("rx-queue", "rx.decrypt", FIRST_PEER)],
)
def test_refused_packets_at_a_peer_queue_are_accounted_for(good: InMemory, queue: str, stage: str, owner: int) -> None:
    """7 more packets arrive and are refused: the balance holds; refusals that were not counted break it."""

    def arrive(arrivals: pd.DataFrame) -> None:
        row = first(arrivals, queue=queue, object=owner)
        add(arrivals, row, handoffs=7, packets=7, refused=7, refused_packets=7, outside=7)

    def arrive_silently(arrivals: pd.DataFrame) -> None:
        add(arrivals, first(arrivals, queue=queue, object=owner), packets=7, outside=7)

    assert failed(change(good, "arrivals", arrive)) == []
    (bad,) = failed(change(good, "arrivals", arrive_silently), "conservation")
    assert (bad.value, bad.bound) == (7, 0)
    assert stage in bad.detail


def test_packets_the_crypto_failed_on_are_accounted_for(good: InMemory) -> None:
    def fail_some(stages: pd.DataFrame) -> None:
        add(stages, first(stages, stage="rx.decrypt", object=FIRST_PEER), packets=-3, failed=3)
        # The poll takes it all the same, and drops it.
        add(stages, first(stages, stage="rx.deliver", object=FIRST_PEER), packets=-3, failed=3)

    assert failed(change(good, "stages", fail_some), "conservation") == []


def cut(recording: InMemory, intervals: int) -> InMemory:
    """The recording as if it had ended earlier, in the middle of the traffic."""
    end_ns = int(recording.table("intervals")["t_ns"].iloc[intervals])
    tables = {
        name: frame[frame["t_ns"] < end_ns]
        if "t_ns" in frame
        else frame[frame["end_ns"] < end_ns]
        if "end_ns" in frame
        else frame
        for name, frame in recording.tables.items()
    }
    return InMemory(tables, recording.manifest)


def test_packets_on_their_way_at_the_end_are_allowed_and_no_more(good: InMemory) -> None:
    short = cut(good, 30)
    assert failed(short) == []

    def lose(stages: pd.DataFrame) -> None:
        mine = stages[(stages["stage"] == "rx.deliver") & (stages["object"] == FIRST_PEER)]
        stages.loc[mine.index, "packets"] -= 10  # in each of 25 intervals: more than a queue that short can hold

    assert failed(change(short, "stages", lose), "conservation")


def test_interface_counters_may_exceed_by_handshakes_only(good: InMemory) -> None:
    def with_more(number: int) -> InMemory:
        def edit(interfaces: pd.DataFrame) -> None:
            add(interfaces, 5, tx_packets=number)

        return change(good, "interfaces", edit)

    assert failed(with_more(3)) == []
    (more,) = failed(with_more(500))
    assert (more.name, more.value) == ("interface counters", 500)
    (fewer,) = failed(with_more(-1))
    assert (fewer.name, fewer.value) == ("interface counters", -1)


def test_packets_the_interface_dropped_explain_why_it_counted_fewer(good: InMemory) -> None:
    def drop(interfaces: pd.DataFrame) -> None:
        add(interfaces, 5, tx_packets=-9, tx_dropped=9)

    assert failed(change(good, "interfaces", drop)) == []


def test_more_time_measured_than_the_kernel_knows_of_fails(good: InMemory) -> None:
    def shrink(cpus: pd.DataFrame) -> None:
        cpus.loc[cpus["cpu"] == 2, "system_ns"] //= 2

    (bad,) = failed(change(good, "cpus", shrink))
    assert (bad.name, bad.subject) == ("busy time", "CPU 2")
    assert bad.value == pytest.approx(2, rel=0.01)
    assert bad.taints == ("utilisation",)


def test_softirq_time_counts_as_measured(good: InMemory) -> None:
    def softirq(cpus: pd.DataFrame) -> None:
        cpus.loc[cpus["cpu"] == 1, "probe_net_rx_ns"] = 60_000_000

    assert [c.subject for c in failed(change(good, "cpus", softirq), "busy time")] == ["CPU 1"]


def test_every_loss_is_a_failure_that_says_what_it_taints(good: InMemory) -> None:
    lossy = good.with_table(
        "losses",
        [
            {"cause": "ring-full", "where": "events", "count": 12},
            {"cause": "slot-overflow", "where": "peers", "count": 1},
            {"cause": "unmatched-return", "where": "tx.send", "count": 0},
        ],
    )
    bad = {check.subject: check for check in failed(lossy)}
    assert set(bad) == {"events", "peers"}
    assert bad["events"].taints == ("waits",)
    assert bad["events"].value == 12


def test_a_missing_probe_leaves_open_and_a_missed_run_fails(good: InMemory) -> None:
    probes: list[dict[str, object]] = [
        {"point": "tx.encrypt", "symbol": "encrypt_packet", "kind": "kretprobe", "misses": 4, "affects": "stages"},
        {"point": "rx.napi", "kind": "missing", "error": "no such symbol", "affects": "executions, journeys"},
        {"point": "tx.send", "symbol": "wg_socket_send_skb_to_peer", "kind": "fexit"},
    ]
    checks = [c for c in analyse(good.with_table("probes", probes)).checks if c.name == "probes"]
    assert [(c.subject, c.verdict) for c in checks] == [("tx.encrypt", "fail"), ("rx.napi", "unknown")]
    assert checks[1].taints == ("executions", "journeys")
    assert "no such symbol" in checks[1].detail


def test_a_lost_journey_fails(good: InMemory) -> None:
    journeys = good.table("journeys")
    lossy = InMemory({**good.tables, "journeys": journeys.drop(index=first(journeys, point=2))}, good.manifest)
    (bad,) = failed(lossy)
    assert (bad.name, bad.subject, bad.value) == ("journeys", "tx", 1)


def test_a_recovered_recording_says_that_its_end_is_open(good: InMemory) -> None:
    recovered = InMemory(good.tables, {**good.manifest, "complete": False, "end_reason": "recovered"})
    analysis = analyse(recovered)
    assert analysis.failed == []
    assert [c.verdict for c in analysis.checks if c.name == "complete"] == ["unknown"]


def test_overhead_is_the_probes_share_of_the_time_it_was_measured_in(good: InMemory) -> None:
    manifest = {**good.manifest, "probes": {"bpf_stats_ns": 2_000_000_000}}
    overhead = analyse(InMemory(good.tables, manifest)).overhead
    run_ns = int(good.table("probes")["run_ns"].sum())
    assert overhead.probes_ce == pytest.approx(run_ns / 2e9)
    assert overhead.agent_ce == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("host_cores", "given", "verdict"),
    [(4, 1.0, "ok"), (4, 0.95, "ok"), (4, 0.8, "fail"), (2, None, "fail"), (4, None, "ok")],
)
def test_host_time_that_was_not_given_taints_utilisation(
    good: InMemory, host_cores: int, given: float | None, verdict: str
) -> None:
    """All four emulated CPUs are busy all the time; the host gave them `given` of that."""

    def busy(cpus: pd.DataFrame) -> None:
        cpus["user_ns"] = cpus["dt_ns"]
        cpus["system_ns"] = cpus["idle_ns"] = 0

    lab = change(good, "cpus", busy)
    busy_s = lab.table("cpus")["user_ns"].sum() / 1e9
    results = {"vcpus": 4, "host_cores": host_cores, "host_cpu_s": None if given is None else busy_s * given}
    lab.manifest = {**good.manifest, "target": {"kind": "lab"}, "results": results}
    analysis = analyse(lab)
    (emulation,) = (c for c in analysis.checks if c.name == "emulation")
    assert emulation.verdict == verdict
    assert analysis.lab
    assert "utilisation" in emulation.taints


def test_failures_come_first() -> None:
    def check(verdict: str, name: str) -> Check:
        return Check(name, "", None, None, "", verdict, "")

    panel = [check("ok", "a"), check("unknown", "b"), check("fail", "c"), check("ok", "d"), check("fail", "e")]
    assert [c.name for c in worst_first(panel)] == ["c", "e", "b", "a", "d"]
