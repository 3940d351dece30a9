"""The ledger: every loss once, under its cause, and silent only where the kernel told nobody."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.simulated import DEVICE, FIRST_PEER, INTERVAL_NS, START_NS, InMemory, Load, gateway
from wgprof.analysis.journeys import JourneyCounts
from wgprof.analysis.ledger import CAUSES, Ledger, Loss, ledger_of
from wgprof.analysis.names import names_of
from wgprof.analysis.summary import analyse
from wgprof.report.losses import ledger_sheet

NETNS = 4026531840
OUTER = {"netns": NETNS, "netns_name": "left", "name": "eth0"}
WHEN = {"t_ns": START_NS, "dt_ns": INTERVAL_NS}
PEER = FIRST_PEER
REPLAYED = {"stage": "rx.deliver", "object": PEER}


@pytest.fixture(scope="module")
def good() -> InMemory:
    return gateway(seconds=0.3, tx=Load(rate=500), rx=Load(rate=500), seed=5)


def with_rows(recording: InMemory, table: str, *rows: dict[str, Any]) -> InMemory:
    """With rows added to a table, one after another."""
    old = [{str(name): value for name, value in row.items()} for row in recording.table(table).to_dict("records")]
    return recording.with_table(table, [*old, *({**WHEN, **row} for row in rows)])


def ledger(recording: InMemory, counts: list[JourneyCounts] | None = None) -> Ledger:
    return ledger_of(recording, names_of(recording.table("objects")), counts or [])


def rows(found: Ledger) -> dict[tuple[str, str], tuple[int, bool]]:
    return {(loss.cause, loss.direction): (loss.packets, loss.silent) for loss in found.losses}


def test_nothing_lost_is_an_empty_ledger(good: InMemory) -> None:
    found = ledger(good)
    assert (found.losses, found.recorder, found.outer_known) == ((), (), False)
    assert ledger_sheet(analyse(good)).rows == []


SILENT: list[tuple[str, str, str, dict[str, Any]]] = [
    ("queue-full", "tx", "arrivals", {"queue": "tx-queue", "object": PEER, "refused_packets": 7}),
    ("queue-full", "rx", "arrivals", {"queue": "rx-queue", "object": PEER, "refused_packets": 7}),
    ("ring-full", "tx", "arrivals", {"queue": "encrypt-ring", "object": DEVICE, "refused_packets": 7}),
    ("crypt-failed", "tx", "stages", {"stage": "tx.encrypt", "object": PEER, "failed": 7}),
    ("send-failed", "tx", "stages", {"stage": "tx.send", "object": PEER, "failed": 7}),
    ("not-delivered", "rx", "stages", {"stage": "rx.deliver", "object": PEER, "failed": 7}),
]


@pytest.mark.parametrize(("cause", "direction", "table", "row"), SILENT)
def test_what_wireguard_drops_without_a_word_is_silent(
    good: InMemory, cause: str, direction: str, table: str, row: dict[str, Any]
) -> None:
    found = ledger(with_rows(good, table, row))
    assert rows(found) == {(cause, direction): (7, True)}
    assert found.total("tunnel", silent=True) == found.total("tunnel") == 7


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(refused=st.integers(0, 500), forged=st.integers(0, 500), replayed=st.integers(0, 500))
def test_what_a_poll_drops_is_told_by_cause_and_each_packet_once(
    good: InMemory, refused: int, forged: int, replayed: int
) -> None:
    """The poll drops what was refused, what was forged and what was replayed: its own count has all three."""
    stages = (
        {"stage": "rx.decrypt", "object": PEER, "failed": forged},
        {"stage": "rx.deliver", "object": PEER, "failed": refused + forged + replayed},
    )
    ring = {"queue": "decrypt-ring", "object": DEVICE, "refused_packets": refused}
    found = ledger(with_rows(with_rows(good, "stages", *stages), "arrivals", ring))
    causes = {"ring-full": refused, "crypt-failed": forged, "not-delivered": replayed}
    assert rows(found) == {(cause, "rx"): (count, True) for cause, count in causes.items() if count}
    assert found.total("tunnel") == refused + forged + replayed


def test_staged_overflow_and_what_the_outer_path_refused_share_a_counter_and_are_told_apart(good: InMemory) -> None:
    """Both are tx_dropped; but what the outer path refused was sent by WireGuard, and is missing in tx_packets."""
    dropped = with_rows(good, "interfaces", {"netns": NETNS, "name": "wg0", "tx_dropped": 9, "tx_errors": 2})
    assert rows(ledger(dropped)) == {("staged-overflow", "tx"): (9, False), ("interface-errors", "tx"): (2, False)}
    sent = {"stage": "tx.send", "object": PEER, "packets": 4}
    both = rows(ledger(with_rows(dropped, "stages", sent)))
    assert both["outer-refused", "tx"] == (4, False)
    assert both["staged-overflow", "tx"] == (5, False)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dropped=st.integers(0, 10_000), unsent=st.integers(-50, 10_000))
def test_what_was_dropped_on_transmit_is_divided_and_neither_doubled_nor_forgotten(
    good: InMemory, dropped: int, unsent: int
) -> None:
    """`unsent` below zero: handshake messages are in tx_packets and in no stage."""
    counters = {"netns": NETNS, "name": "wg0", "tx_dropped": dropped, "tx_packets": max(-unsent, 0)}
    sent = {"stage": "tx.send", "object": PEER, "packets": max(unsent, 0)}
    found = ledger(with_rows(with_rows(good, "interfaces", counters), "stages", sent))
    parts = rows(found)
    assert found.total("tunnel", silent=False) == found.total("tunnel") == dropped
    assert parts.get(("outer-refused", "tx"), (0, False))[0] == min(max(unsent, 0), dropped)


def test_the_outer_path_and_the_sockets_are_scopes_of_their_own(good: InMemory) -> None:
    recording = with_rows(good, "softnet", {"cpu": 0, "processed": 10}, {"cpu": 1, "dropped": 30, "flow_limit": 5})
    counters = {"rx_dropped": 31, "tx_errors": 2}
    recording = with_rows(recording, "interfaces", {"netns": NETNS, "name": "eth0", **counters})
    udp = {"netns": NETNS, "in_errors": 20, "rcvbuf_errors": 12, "csum_errors": 3}
    recording = with_rows(with_rows(recording, "udp", udp), "sockets", {"netns": NETNS, "port": 51820, "drops": 5})
    recording.manifest = {**good.manifest, "outer": [OUTER]}
    found = ledger(recording)
    assert found.outer_known
    outer = {(loss.cause, loss.subject): loss.packets for loss in found.losses if loss.scope == "outer"}
    assert outer == {
        ("backlog-full", "CPU 1"): 30,
        ("flow-limit", "CPU 1"): 5,
        ("outer-dropped", "eth0@left"): 31,
        ("outer-errors", "eth0@left"): 2,
    }
    # The interface's rx_dropped has the backlog's drops among it: they are not counted twice.
    assert found.total("outer") == 30 + 5 + 2
    assert found.total("socket") == 20
    assert found.total("tunnel") == 0
    assert {loss.subject for loss in found.losses if loss.scope == "socket"} == {"left", "UDP port 51820 in left"}
    counted = [loss for loss in found.losses if loss.scope == "socket" and loss.subject == "left"]
    assert all("of all UDP in this namespace, not only WireGuard's" in loss.meaning for loss in counted)
    (panel,) = (c for c in analyse(recording).checks if (c.name, c.subject) == ("packet losses", "UDP sockets"))
    assert panel.detail.endswith("of all UDP in the namespaces, 5 of them seen at WireGuard's own sockets")
    recording.manifest = {**good.manifest, "outer": [{**OUTER, "netns_name": ""}]}
    assert "the agent's namespace" in {loss.subject for loss in ledger(recording).losses}


def test_an_interface_of_the_same_name_elsewhere_is_not_the_outer_one(good: InMemory) -> None:
    recording = with_rows(good, "interfaces", {"netns": 7, "name": "eth0", "rx_dropped": 3})
    recording.manifest = {**good.manifest, "outer": [OUTER]}
    assert ledger(recording).losses == ()


def test_handshakes_are_no_loss_and_a_flood_without_a_session_is(good: InMemory) -> None:
    def came(calls: int, *losses: dict[str, Any]) -> dict[tuple[str, str], tuple[int, bool]]:
        stray = {"stage": "rx.receive", "object": 0, "calls": calls}
        return rows(ledger(with_rows(with_rows(good, "stages", stray), "losses", *losses)))

    assert came(8) == {}
    lost, silent = came(1009)["no-session", "rx"]
    assert silent
    assert lost == 1000
    # With more peers than the maps hold their packets are counted there, and nothing can be said.
    assert came(1008, {"cause": "no-free-slot", "where": "objects", "count": 1}) == {}


def test_the_recorders_own_losses_are_kept_apart(good: InMemory) -> None:
    recording = with_rows(good, "losses", {"cause": "ring-full", "where": "events", "count": 12})
    recording = with_rows(recording, "probes", {"point": "tx.send end", "kind": "kretprobe", "misses": 3})
    found = ledger(recording, [JourneyCounts("rx", 10, 6, 0, 2, 2)])
    assert found.losses == ()
    assert [(loss.cause, loss.where, loss.count) for loss in found.recorder] == [
        ("ring-full", "events", 12),
        ("missed-run", "tx.send end", 3),
        ("lost-journey", "rx", 2),
    ]
    assert [row[1] for row in ledger_sheet(analyse(recording)).rows] == ["ring-full", "missed-run"]


def test_misses_that_are_not_known_are_no_zero(good: InMemory) -> None:
    probes: list[dict[str, object]] = [
        {"point": f"{stage} end", "kind": "kretprobe", "misses": -1, "affects": "stages"} for stage in ("tx.send", "x")
    ]
    analysis = analyse(good.with_table("probes", [*probes, {"point": "tx.stage", "kind": "fexit"}]))
    assert [(loss.cause, loss.count) for loss in analysis.ledger.recorder] == [("missed-run", None)]
    (row,) = ledger_sheet(analysis).rows
    assert (row[2], row[-1]) == ("2 kprobes: not known", "–")
    (check,) = (c for c in analysis.checks if c.name == "probes")
    assert (check.verdict, check.value, check.taints) == ("unknown", None, ("stages",))
    assert "tx.send end, x end" in check.detail


@pytest.mark.parametrize(("replayed", "own", "verdict"), [(0, 2, "fail"), (1, 1, "fail"), (2, 0, "unknown")])
def test_a_journey_that_a_poll_dropped_as_replayed_is_not_the_recorders(
    good: InMemory, replayed: int, own: int, verdict: str
) -> None:
    """No probe sees a replay: its journey just ends; the poll's own count tells it from a lost event."""
    journeys = good.table("journeys")
    delivered = journeys.index[journeys["point"] == 6]
    cut = InMemory({**good.tables, "journeys": journeys.drop(index=delivered[[15, 20]])}, good.manifest)
    # Its edges are far away.
    intervals = [{"t_ns": START_NS + n * INTERVAL_NS, "dt_ns": INTERVAL_NS, "sample_every": 4} for n in range(-30, 60)]
    cut = with_rows(cut.with_table("intervals", intervals), "stages", {**REPLAYED, "failed": replayed})
    analysis = analyse(cut)
    assert sum(loss.count or 0 for loss in analysis.ledger.recorder) == own
    (check,) = (c for c in analysis.checks if (c.name, c.subject) == ("journeys", "rx"))
    assert (check.value, check.verdict) == (2, verdict)


def test_every_cause_says_what_happened() -> None:
    for key in CAUSES:
        cause, _, direction = key.partition(" ")
        for way in (direction,) if direction else ("tx", "rx"):
            assert Loss("tunnel", cause, "", way, 1).meaning == CAUSES[key]
