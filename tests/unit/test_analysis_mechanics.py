"""What goes on between the stages, on servers whose every run is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.simulated import INTERVAL_NS, START_NS, InMemory, rows
from wgprof.agent.layout import DURATION_SHIFT, bucket_of
from wgprof.analysis.checks import FAIL, OK
from wgprof.analysis.checks.mechanics import mechanics_checks
from wgprof.analysis.contention import contention_rows
from wgprof.analysis.histogram import HistogramSums
from wgprof.analysis.mechanics import METRICS, mechanics_of
from wgprof.analysis.names import Names
from wgprof.analysis.order import head_rows, move_rows, poll_rows
from wgprof.analysis.preemption import preemption_rows
from wgprof.analysis.wakeups import ipi_rows, wakeup_rows
from wgprof.analysis.window import Window

PEERS = (2, 3)
INTERVALS = 20
END_NS = START_NS + INTERVALS * INTERVAL_NS
WINDOW = Window(START_NS, END_NS, START_NS, END_NS)
ALL = ["polls", "heads", "moves", "preemptions", "wakeups", "contention", "ipis"]


@dataclass(frozen=True)
class Run:
    """One run of a peer's server: how long it waited and ran, where, and what it found."""

    pause_ns: int
    length_ns: int
    cpu: int
    packets: int
    stops: bool  # at a head that is not ready


RUNS = st.lists(
    st.builds(
        Run,
        pause_ns=st.integers(0, 30_000_000),
        length_ns=st.integers(1, 2_000_000),
        cpu=st.integers(0, 3),
        packets=st.integers(0, 64),
        stops=st.booleans(),
    ),
    max_size=40,
)


class Tables:
    """Tables of what the runs of some servers are, one row a run; times are cut at the window's end."""

    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("polls", "heads", "moves", "executions", "histograms")
        }

    def add(self, name: str, t_ns: int, **values: object) -> None:
        when = START_NS + (t_ns - START_NS) // INTERVAL_NS * INTERVAL_NS
        self.records[name].append({"t_ns": when, "dt_ns": INTERVAL_NS, **values})

    def count(self, server: str, peer: int, runs: Sequence[Run]) -> int:
        """Play a server's runs; how many there were."""
        now, home, stopped_ns, number = START_NS, None, None, 0
        for run in runs:
            began, now = now + run.pause_ns, now + run.pause_ns + run.length_ns
            if now >= END_NS:
                break
            number += 1
            who = {"server": server, "cpu": run.cpu, "object": peer}
            found = "productive" if run.packets else "head_not_ready" if run.stops or stopped_ns else "empty_queue"
            wasted = {"empty": 0 if run.packets else 1, "empty_ns": 0 if run.packets else run.length_ns}
            self.add("polls", now, **who, **{found: 1})
            self.add("executions", now, **who, executions=1, packets=run.packets, **wasted)
            self.add("histograms", now, cpu=run.cpu, object=peer, metric=f"{server}.packets",
                     bucket=bucket_of(run.packets), count=1)  # fmt: skip
            if home not in (None, run.cpu):
                self.add("moves", now, **who, moves=1, stay_ns=1000)
            home = run.cpu
            if stopped_ns is not None and run.packets:
                self.add("heads", now, **who, episodes=1, blocked_ns=began - stopped_ns, timed=1,
                         timed_ns=began - stopped_ns, ready_ns=(began - stopped_ns) // 3)  # fmt: skip
                self.add("histograms", now, cpu=run.cpu, object=peer, metric=f"{server}.blocked",
                         bucket=bucket_of((began - stopped_ns) >> DURATION_SHIFT), count=1)  # fmt: skip
                stopped_ns = None
            if run.stops and stopped_ns is None:
                stopped_ns = now
        return number

    def table(self, name: str) -> pd.DataFrame:
        return rows(name, self.records[name])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.tuples(st.sampled_from(["tx.work", "rx.napi"]), st.sampled_from(PEERS)), RUNS, max_size=4))
def test_classes_heads_and_places_follow_from_the_runs(played: dict[tuple[str, int], list[Run]]) -> None:
    tables = Tables()
    counts = {key: tables.count(*key, runs) for key, runs in played.items()}
    executions, histograms = tables.table("executions"), sums(tables)
    polls = poll_rows(tables.table("polls"), executions, histograms, WINDOW)
    heads = head_rows(tables.table("heads"), histograms, WINDOW)
    moves = move_rows(tables.table("moves"), executions, WINDOW)
    for poll in polls:
        assert poll.productive + poll.empty_queue + poll.head_not_ready == poll.executions
        assert 0 <= poll.wasted_share <= 1 and (poll.packets_mean is None) == (poll.productive == 0)
        assert poll.packets_p50 is None or 1 <= poll.packets_p50 <= 64 * 1.07
    assert {(p.server, p.object): p.executions for p in polls if p.object is not None} == {
        key: count for key, count in counts.items() if count
    }
    for server in ("tx.work", "rx.napi"):
        for found, what in ((polls, "executions"), (heads, "episodes"), (moves, "moves")):
            mine = [row for row in found if row.server == server]
            together = [getattr(row, what) for row in mine if row.object is None]
            assert together == [sum(getattr(row, what) for row in mine if row.object is not None)][: len(together)]
    for head in heads:
        assert head.object is None or head.blocked_share <= 1, "a peer stands before one head at a time"
        assert head.ready_share is None or 0 <= head.ready_share <= 1 / 3
        assert head.mean_ns is not None and head.p99_ns is not None
        # Half of it where all stand equally long, more where they do not; a bucket is 13 % wide.
        assert head.residual_ns is None or head.residual_ns >= head.mean_ns / 2 * 0.86
        assert head.p50_ns is not None and head.p50_ns <= head.p99_ns
    for move in moves:
        assert move.moves < max(move.executions, 1)
        assert sum(share for _, share in move.cpus) == pytest.approx(1)
        assert [share for _, share in move.cpus] == sorted((share for _, share in move.cpus), reverse=True)


def recording(**tables: list[dict[str, Any]]) -> InMemory:
    """One interval of a recording, with rows of some tables."""
    when = {"t_ns": START_NS, "dt_ns": INTERVAL_NS}
    frames = {name: rows(name, [{**when, **row} for row in records]) for name, records in tables.items()}
    return InMemory(frames, {"complete": True, "detail": {"on": ALL, "off": {}}})


def sums(tables: Tables | InMemory, window: Window = WINDOW) -> HistogramSums:
    return HistogramSums(tables.table("histograms"), window, METRICS)


RUN: dict[str, Any] = {"server": "rx.napi", "object": 2, "executions": 5, "packets": 9, "empty": 3, "empty_ns": 3_000}
POLL: dict[str, Any] = {"server": "rx.napi", "object": 2, "productive": 2, "empty_queue": 2, "head_not_ready": 1}


def test_polls_that_do_not_add_up_fail() -> None:
    (check,) = mechanics_checks(recording(executions=[RUN], polls=[POLL]), Names())
    assert (check.name, check.subject, check.verdict, check.value) == ("polls by class", "rx.napi", OK, 0)
    for wrong in ([{**POLL, "productive": 3}], [{**POLL, "object": 3}], []):
        (check,) = mechanics_checks(recording(executions=[RUN], polls=wrong), Names())
        assert check.verdict == FAIL and check.value, wrong
    # What one peer has too much must not hide what another one lacks.
    both = recording(
        executions=[RUN, {**RUN, "object": 3}],
        polls=[{**POLL, "productive": 1}, {**POLL, "object": 3, "productive": 3}],
    )
    (check,) = mechanics_checks(both, Names())
    assert check.verdict == FAIL


def test_preemption_that_is_not_the_nested_time_fails() -> None:
    stage = {"stage": "rx.decrypt", "object": 2, "calls": 100, "service_ns": 10**9, "nested_ns": 4 * 10**9}
    top = {
        "stage": "rx.decrypt",
        "object": 2,
        "calls": 30,
        "softirqs": 40,
        "softirq_ns": 10**9,
        "switched_ns": 3 * 10**9,
    }
    (check,) = mechanics_checks(recording(stages=[stage], preemptions=[top]), Names())
    assert (check.name, check.verdict) == ("preemption", OK)
    (check,) = mechanics_checks(recording(stages=[stage], preemptions=[{**top, "softirq_ns": 9 * 10**8}]), Names())
    assert check.verdict == FAIL


def test_a_recording_of_an_older_wgprof_is_not_judged_by_what_it_lacks() -> None:
    old = recording(executions=[RUN])
    old.manifest = {"complete": True}
    assert mechanics_checks(old, Names()) == []
    mechanics = mechanics_of(old, sums(old), WINDOW)
    assert (mechanics.polls, mechanics.moves, mechanics.preemptions) == ([], [], [])
    (wakeup,) = mechanics.wakeups
    assert wakeup.woken is None and wakeup.executions_per_packet == pytest.approx(5 / 9)


def test_preemption_in_shares_of_the_calls_and_of_the_stages_time() -> None:
    stage = {"stage": "tx.encrypt", "object": 2, "calls": 200, "service_ns": 10**9, "nested_ns": 5 * 10**8}
    work = {"server": "encrypt.work", "object": 1, "executions": 40, "busy_ns": 10**8}
    top = {"object": 2, "calls": 16, "softirqs": 20, "softirq_ns": 4 * 10**8, "net_rx": 18, "net_rx_ns": 3 * 10**8,
           "switches": 2, "switched_ns": 10**8}  # fmt: skip
    between = {**top, "stage": "encrypt.work", "object": 1, "calls": 10, "softirq_ns": 2 * 10**8}
    lengths = {"metric": "tx.encrypt.preemption", "object": 2, "bucket": bucket_of(20_000_000 >> DURATION_SHIFT)}
    made = recording(
        stages=[stage],
        executions=[work],
        preemptions=[{**top, "stage": "tx.encrypt"}, between],
        histograms=[{**lengths, "count": 20}],
    )
    steps, works = made.table("stages"), made.table("executions")
    found = preemption_rows(made.table("preemptions"), steps, works, sums(made), WINDOW)
    names = [(row.stage, row.object) for row in found]
    assert names == [("tx.encrypt", None), ("tx.encrypt", 2), ("encrypt.work", None), ("encrypt.work", 1)]
    peer, device = found[1], found[3]
    assert peer.share == pytest.approx(0.08) and peer.lengthened == pytest.approx(0.5)
    assert peer.softirq_mean_ns == pytest.approx(2e7) and peer.on_top_p50_ns == pytest.approx(2e7, rel=0.07)
    assert peer.on_top_mean_ns == pytest.approx(5e8 / 16)
    seconds = WINDOW.duration_s
    assert [peer.softirq_ce, peer.net_rx_ce] == pytest.approx([0.4 / seconds, 0.3 / seconds])
    assert peer.switched_s == pytest.approx(0.1 / seconds)
    assert (device.stage_calls, device.share) == (40, 0.25) and device.lengthened == pytest.approx(3)


def test_wakeups_interrupts_and_locks_per_packet() -> None:
    made = recording(
        executions=[{"server": "decrypt.work", "object": 1, "executions": 30, "packets": 60, "wakeups": 45,
                     "delay_ns": 3000, "delayed": 30}],
        wakeups=[{"server": "decrypt.work", "object": 1, "woken": 15, "runqueue_ns": 30_000}],
        stages=[{"stage": "rx.deliver", "object": 2, "packets": 40}, {"stage": "tx.send", "object": 2, "packets": 10}],
        ipis=[{"cpu": 1, "reschedules": 25, "sent_work": 5}, {"cpu": 0, "reschedules": 75}],
        arrivals=[{"queue": "decrypt-ring", "object": 1, "handoffs": 80}],
        contention=[{"lock": "decrypt-ring.producer", "object": 1, "cpu": 3, "waits": 8, "wait_ns": 4000}],
    )  # fmt: skip
    tables = (made.table("executions"), made.table("wakeups"), sums(made))
    (row,) = wakeup_rows(*tables, WINDOW, measured=True)
    assert (row.woken_per_packet, row.executions_per_packet, row.scheduled_per_packet) == (0.25, 0.5, 0.75)
    assert (row.runqueue_mean_ns, row.delay_mean_ns) == (2000, 100)
    (row,) = wakeup_rows(*tables, WINDOW, measured=False)
    assert row.woken is None and row.woken_per_packet is None
    reschedules, sent = ipi_rows(made.table("ipis"), made.table("stages"), WINDOW)
    assert (reschedules.what, reschedules.count, reschedules.per_packet) == ("reschedules", 100, 2.0)
    assert reschedules.cpus == ((0, 75), (1, 25)) and sent.cpus == ((1, 5),)
    (lock,) = contention_rows(made.table("contention"), made.table("arrivals"), sums(made), WINDOW)
    assert (lock.per_handoff, lock.mean_ns, lock.cpus) == (0.1, 500, (3,))
    assert lock.spin_ce == pytest.approx(4e-6 / WINDOW.duration_s)


def test_what_lies_outside_the_window_is_left_out() -> None:
    tables = Tables()
    tables.count("rx.napi", 2, [Run(0, 1000, 0, 1, False)] * 5)
    later = Window(START_NS + INTERVAL_NS, END_NS, START_NS, END_NS)
    assert poll_rows(tables.table("polls"), tables.table("executions"), sums(tables, later), later) == []
