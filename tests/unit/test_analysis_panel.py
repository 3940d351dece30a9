"""Windows, clocks, accounts and overhead on the quality panel: each planted fault is found, and only that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.simulated import FIRST_PEER, INTERVAL_NS, START_NS, InMemory, Load, gateway
from wgprof.analysis.checks import MEANINGS, Check
from wgprof.analysis.checks.balance import conservation_checks
from wgprof.analysis.checks.overhead import Overhead, overhead_checks
from wgprof.analysis.checks.times import clock_checks, depth_clock_checks
from wgprof.analysis.conservation import Balance
from wgprof.analysis.journeys import join_journeys
from wgprof.analysis.names import names_of
from wgprof.analysis.summary import analyse
from wgprof.analysis.warmth import COLD_NS, Warmth, warmth
from wgprof.analysis.window import Window
from wgprof.report.losses import meanings_sheet

MANIFEST: dict[str, Any] = {"asked": {"interval_ms": 100, "depth_hz": 199}, "machine": {"clocksource": "tsc"}}


@pytest.fixture(scope="module")
def good() -> InMemory:
    load = Load(rate=1400, crypt_ns=80_000, serial_ns=600_000)
    recording = gateway(seconds=5, tx=load, rx=load, seed=11)
    recording.manifest = {**recording.manifest, **MANIFEST}
    return recording


def change(recording: InMemory, table: str, edit: Callable[[pd.DataFrame], None]) -> InMemory:
    frame = recording.table(table).copy()
    edit(frame)
    return InMemory({**recording.tables, table: frame}, recording.manifest)


def of(recording: InMemory, name: str, subject: str = "") -> Check:
    (found,) = (c for c in analyse(recording).checks if c.name == name and subject in ("", c.subject))
    return found


def judged(recording: InMemory) -> Warmth:
    analysis = analyse(recording)
    assert analysis.window is not None
    intervals, interfaces = recording.table("intervals"), recording.table("interfaces")
    journeys = join_journeys(recording.table("journeys"))
    return warmth(intervals, interfaces, journeys, analysis.names, analysis.window)


# -- windows


def test_steady_traffic_is_warm_but_for_its_first_second(good: InMemory) -> None:
    found = judged(good)
    (begin, end), *others = found.warm
    assert (found.idle, others, found.handshakes_ns) == (0.0, [], ())
    assert begin == found.starts_ns[0] + COLD_NS
    assert end - begin == pytest.approx(4e9, abs=2 * INTERVAL_NS)
    assert of(good, "window", "cold").verdict == "ok"


def test_byte_counters_that_did_not_move_reject_the_window(good: InMemory) -> None:
    def still(interfaces: pd.DataFrame) -> None:
        interfaces["rx_bytes"] = interfaces["tx_bytes"] = 0

    found = of(change(good, "interfaces", still), "window")
    assert (found.subject, found.verdict, found.value) == ("traffic", "fail", 0)
    assert "utilisation" in found.taints
    without = of(good.with_table("interfaces", []), "window")
    assert (without.verdict, without.value) == ("unknown", None)


@pytest.mark.parametrize(("share", "verdict"), [(0.05, "ok"), (0.3, "unknown"), (0.6, "fail")])
def test_an_idle_window_is_rejected(good: InMemory, share: float, verdict: str) -> None:
    def pause(interfaces: pd.DataFrame) -> None:
        count = len(interfaces)
        middle = interfaces.index[count // 5 : count // 5 + round(share * count)]
        interfaces.loc[middle, ["rx_bytes", "tx_bytes"]] = 0

    found = of(change(good, "interfaces", pause), "window", "idle")
    assert found.verdict == verdict
    assert found.value == pytest.approx(share, abs=0.03)


def test_a_pause_of_a_second_makes_what_follows_cold(good: InMemory) -> None:
    def pause(interfaces: pd.DataFrame) -> None:
        interfaces.loc[interfaces.index[20:32], ["rx_bytes", "tx_bytes"]] = 0

    found = judged(change(good, "interfaces", pause))
    assert len(found.starts_ns) == 2
    assert found.cold == pytest.approx(2 / 5, abs=0.03)
    assert all(begin - max(s for s in found.starts_ns if s <= begin) >= COLD_NS for begin, _ in found.warm)


def test_a_short_window_is_nothing_but_a_start() -> None:
    recording = gateway(seconds=0.8, tx=Load(rate=1000), seed=3)
    found = of(recording, "window", "cold")
    assert (found.verdict, found.value) == ("fail", 1.0)


def test_a_handshake_in_the_window_is_found_by_its_new_session(good: InMemory) -> None:
    half = START_NS + 3_000_000_000

    def rekey(journeys: pd.DataFrame) -> None:
        journeys.loc[journeys["end_ns"] >= half, "key_index"] += 1000

    found = judged(change(good, "journeys", rekey))
    (moment,) = found.handshakes_ns  # of both directions, which shake hands together
    assert half <= moment < half + INTERVAL_NS
    check = of(change(good, "journeys", rekey), "window", "cold")
    assert check.verdict == "unknown"
    assert "new sessions at 3.0 s" in check.detail


def test_the_first_session_of_a_peer_is_no_handshake(good: InMemory) -> None:
    journeys = good.table("journeys")
    late = journeys[(journeys["end_ns"] > START_NS + 2_000_000_000) | (journeys["point"] > 3)]
    assert judged(InMemory({**good.tables, "journeys": late}, good.manifest)).handshakes_ns == ()


@given(moved=st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_warm_spans_and_the_idle_and_cold_shares_fill_the_window(moved: list[bool]) -> None:
    """Whatever moved when: no interval is warm that is idle or within a second of a start."""
    t_ns = START_NS + np.arange(len(moved)) * INTERVAL_NS
    intervals = pd.DataFrame({"t_ns": t_ns, "dt_ns": INTERVAL_NS})
    rows = {"t_ns": t_ns, "netns": 1, "name": "wg0", "rx_bytes": np.array(moved, dtype=np.int64), "tx_bytes": 0}
    objects = gateway(seconds=0.1).table("objects").assign(netns=1)
    window = Window(START_NS, int(t_ns[-1]) + INTERVAL_NS, START_NS, int(t_ns[-1]) + INTERVAL_NS)
    no_journeys = join_journeys(gateway(seconds=0.1).table("journeys"))
    found = warmth(intervals, pd.DataFrame(rows), no_journeys, names_of(objects), window)
    warm = {t for begin, end in found.warm for t in range(begin, end, INTERVAL_NS)}
    active = {int(t) for t, is_moved in zip(t_ns, moved, strict=True) if is_moved}
    assert warm <= active
    assert found.idle == pytest.approx(1 - len(active) / len(moved))
    cold = {int(t) for t in t_ns for s in found.starts_ns if s <= t < s + COLD_NS}
    assert found.cold == pytest.approx(len(cold) / len(moved))
    assert warm == active - cold
    assert len(found.starts_ns) >= bool(active)


def test_nothing_flowed_is_left_open_unless_bytes_moved(good: InMemory) -> None:
    idle = good.with_table("stages", [])
    assert [(c.subject, c.verdict) for c in analyse(idle).failed] == [("traffic", "fail")]
    silent = analyse(idle.with_table("interfaces", []))
    assert silent.failed == []
    (window,) = (c for c in silent.checks if c.name == "window")
    assert window.verdict == "unknown"


# -- clocks


def test_intervals_that_leave_a_gap_or_overlap_fail(good: InMemory) -> None:
    def gap(intervals: pd.DataFrame) -> None:
        intervals.loc[intervals.index[10:], "t_ns"] += 1

    found = of(change(good, "intervals", gap), "clock", "intervals")
    assert (found.verdict, found.value, found.bound) == ("fail", 1, 0)


def test_an_agent_that_cannot_keep_up_taints_the_series_alone(good: InMemory) -> None:
    intervals = good.table("intervals").iloc[::4].copy()
    intervals["dt_ns"] = 4 * INTERVAL_NS
    late = {c.subject: c for c in clock_checks(MANIFEST, intervals, join_journeys(good.table("journeys")))}["ticks"]
    assert (late.verdict, late.value, late.taints) == ("fail", 1.0, ("time series",))
    assert of(good, "clock", "ticks").verdict == "ok"


def test_a_journey_that_runs_backwards_fails(good: InMemory) -> None:
    def turn(journeys: pd.DataFrame) -> None:
        row = journeys.index[(journeys["point"] == 2) & (journeys["object"] == FIRST_PEER)][30]
        journeys.loc[row, "end_ns"] -= 50_000_000

    found = of(change(good, "journeys", turn), "clock", "journeys")
    assert (found.verdict, found.value) == ("fail", 1)
    assert of(good, "clock", "journeys").value == 0


@pytest.mark.parametrize(
    ("source", "verdict"),
    [("tsc", "ok"), ("kvm-clock", "ok"), ("hpet", "unknown"), ("jiffies", "fail"), ("", "unknown")],
)
def test_a_poor_clock_source_is_said(good: InMemory, source: str, verdict: str) -> None:
    recording = InMemory(good.tables, {**good.manifest, "machine": {"clocksource": source, "user_hz": 100}})
    assert of(recording, "clock", "source").verdict == verdict


def test_looks_that_are_missed_just_while_a_queue_is_long_fail(good: InMemory) -> None:
    depths = pd.DataFrame(
        {"queue": "rx-queue", "object": 2, "dt_ns": INTERVAL_NS, "samples": [20, 20], "depth_sum": [200, 20 * 100]}
    )
    (even,) = depth_clock_checks(depths, 200)
    assert (even.verdict, even.value) == ("ok", 0.0)
    (missed,) = depth_clock_checks(depths.assign(samples=[20, 5], depth_sum=[200, 5 * 100]), 200)
    # (20 * 10 + 5 * 100) / 25 looks against (10 + 100) / 2 of the time
    assert missed.value == pytest.approx(1 - 28 / 55)
    assert (missed.verdict, missed.taints) == ("fail", ("depths",))
    assert depth_clock_checks(depths.assign(depth_sum=0), 200) == []
    assert of(good, "depth clock").verdict == "ok"


# -- accounts and overhead


def test_time_the_kernel_did_not_account_for_fails(good: InMemory) -> None:
    def lose(cpus: pd.DataFrame) -> None:
        cpus.loc[cpus["cpu"] == 1, "idle_ns"] //= 2

    found = of(change(good, "cpus", lose), "CPU account")
    assert found.verdict == "fail"
    assert "CPU 1" in found.detail
    assert of(good, "CPU account").verdict == "ok"


def test_a_lab_that_does_not_say_what_the_host_gave_is_left_open(good: InMemory) -> None:
    lab = InMemory(good.tables, {**good.manifest, "target": {"kind": "lab"}, "results": {}})
    assert of(lab, "emulation").verdict == "unknown"
    assert not [check for check in analyse(good).checks if check.name == "emulation"]


@pytest.mark.parametrize(("probes", "verdict"), [(0.1, "ok"), (0.4, "unknown"), (None, None)])
def test_measuring_that_is_a_large_part_of_the_work_leaves_utilisation_open(
    probes: float | None, verdict: str | None
) -> None:
    checks = overhead_checks(Overhead(probes, 100.0, 0.05, 10**8, 1.0), busy_ce=1.0)
    both = [c for c in checks if c.subject == "both"]
    assert [c.verdict for c in both] == ([] if verdict is None else [verdict])
    assert all(c.value == pytest.approx((probes or 0) + 0.05) and "caps" in c.taints for c in both)


# -- the panel as a whole


def test_every_check_has_a_meaning_that_is_shown_once(good: InMemory) -> None:
    analysis = analyse(good)
    names = list(dict.fromkeys(check.name for check in analysis.checks))
    assert [row[0] for row in meanings_sheet(analysis).rows] == names
    assert all(check.meaning == MEANINGS[check.name] for check in analysis.checks)


def test_a_failed_balance_names_the_stages_it_taints() -> None:
    balance = Balance("peer", "tx-queue − tx.encrypt", 5, 4, 0, 0)
    against = Balance("wg0", "interface tx packets − tx.send", 5, 4, 0, 0)
    first, second = conservation_checks([balance], [against])
    assert first.taints == ("packets", "rates", "tx-queue", "tx.encrypt")
    assert second.taints == ("rates", "tx.send")
