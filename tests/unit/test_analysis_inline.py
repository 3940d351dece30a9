"""Recordings of a variant: what inline lacks is not asked for, and the crypto dial is never overlooked."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from tests.support.simulated import DEVICE, FIRST_PEER, InMemory, Load, gateway
from wgprof.analysis.summary import Analysis, analyse
from wgprof.analysis.variant import Variant, variant_of
from wgprof.report import sheets
from wgprof.report.as_json import as_document
from wgprof.report.page import render
from wgprof.report.terminal import print_analysis
from wgprof.rules.diagnose import diagnose
from wgprof.rules.verdict import verdict

TX = Load(rate=1500, segments=4, crypt_ns=80_000, serial_ns=60_000)
RX = Load(rate=3000, crypt_ns=100_000, serial_ns=200_000)
QUEUED = ("arrivals", "depths", "executions")
FACTS = {"variant": "inline", "patch_hash": "0123456789abcdef", "source_version": "6.12.118-1"}
DIAL = {**FACTS, "variant": "inline-lab-crypto", "crypto_permille": 300, "crypto_ns": 15_000}


def of_variant(recording: InMemory, **facts: Any) -> InMemory:
    return replace(recording, manifest={**recording.manifest, "wireguard": facts})


@pytest.fixture(scope="module")
def queued() -> InMemory:
    return gateway(seconds=5, peers=2, workers=4, tx=TX, rx=RX, seed=11)


@pytest.fixture(scope="module")
def inline(queued: InMemory) -> InMemory:
    """The same packets, as if no queue had been between the stages."""
    without = queued
    for name in QUEUED:
        without = without.with_table(name, [])
    return of_variant(without, **FACTS)


def of_peer(recording: InMemory, amounts: dict[str, int], column: str = "packets") -> InMemory:
    """With packets added to stages of the first peer, in the middle of the recording."""
    frame = recording.table("stages").copy()
    values = frame[column].to_numpy(copy=True)
    for stage, amount in amounts.items():
        rows = frame.index[(frame["stage"] == stage) & (frame["object"] == FIRST_PEER)]
        values[rows[len(rows) // 2]] += amount
    frame[column] = values
    return InMemory({**recording.tables, "stages": frame}, recording.manifest)


def conservation(recording: InMemory) -> dict[str, str]:
    """Which relations of the first peer were checked, and how that ended."""
    analysis = analyse(recording)
    label = analysis.names.label(FIRST_PEER)
    mine = [c for c in analysis.checks if c.name == "conservation" and c.subject == label]
    return {check.detail.partition(":")[0]: check.verdict for check in mine}


def test_no_check_fails_or_is_left_open_for_want_of_queues(inline: InMemory) -> None:
    analysis = analyse(inline)
    assert [check.detail for check in analysis.failed] == []
    assert not [check for check in analysis.checks if check.name == "Little's law"]
    assert conservation(inline) == {
        f"{one} − {other}": "ok"
        for one, other in (
            ("tx.stage", "tx.encrypt"),
            ("tx.encrypt", "tx.send"),
            ("rx.receive", "rx.decrypt"),
            ("rx.decrypt", "rx.deliver"),
        )
    }


@pytest.mark.parametrize("stage", ["tx.stage", "tx.encrypt", "tx.send", "rx.receive", "rx.decrypt", "rx.deliver"])
@pytest.mark.parametrize("off", [-1, 1])
def test_conservation_is_exact(inline: InMemory, stage: str, off: int) -> None:
    assert "fail" in conservation(of_peer(inline, {stage: off})).values()


def test_packets_the_crypto_failed_on_are_accounted_for(inline: InMemory) -> None:
    refused = of_peer(inline, {"tx.stage": 3, "rx.receive": 2})
    refused = of_peer(refused, {"tx.encrypt": 3, "rx.decrypt": 2, "rx.deliver": 2}, column="failed")
    assert set(conservation(refused).values()) == {"ok"}


def test_a_recording_that_was_partly_queued_balances_too(queued: InMemory) -> None:
    both = of_peer(of_variant(queued, **FACTS), {"tx.stage": 50, "tx.encrypt": 50, "tx.send": 50})
    assert set(conservation(both).values()) == {"ok"}
    assert "fail" in conservation(of_peer(both, {"tx.stage": 50})).values()


def test_what_a_full_cell_dropped_is_allowed_for(inline: InMemory) -> None:
    short = of_peer(inline, {"rx.decrypt": 5, "rx.receive": 5})
    assert conservation(short)["rx.decrypt − rx.deliver"] == "fail"
    counters = short.table("interfaces").copy()
    counters["rx_dropped"] = pd.Series([5] + [0] * (len(counters) - 1), index=counters.index, dtype="int64")
    explained = InMemory({**short.tables, "interfaces": counters}, short.manifest)
    assert conservation(explained)["rx.decrypt − rx.deliver"] == "ok"


def test_packets_in_a_cell_at_the_end_are_allowed_if_a_poll_is_due(inline: InMemory) -> None:
    """Seen on a machine that the host starved: decrypted in the last moment, polled after the recording."""
    decrypted = inline.table("stages")
    mine = decrypted[(decrypted["stage"] == "rx.decrypt") & (decrypted["object"] == FIRST_PEER)]
    last = int(mine["t_ns"].max())
    frame = decrypted.copy()
    values = frame["packets"].to_numpy(copy=True)
    # All that was decrypted in the last interval is not delivered yet.
    waiting = int(mine["packets"][mine["t_ns"] == last].sum())
    values[frame.index[(frame["stage"] == "rx.deliver") & (frame["object"] == FIRST_PEER)][3]] -= waiting
    frame["packets"] = values
    short = InMemory({**inline.tables, "stages": frame}, inline.manifest)
    assert waiting and conservation(short)["rx.decrypt − rx.deliver"] == "fail"
    poll = {"t_ns": last, "dt_ns": 10**8, "object": DEVICE, "server": "rx.napi", "executions": 1}
    due, done = (short.with_table("executions", [{**poll, "wakeups": 2, "delayed": delayed}]) for delayed in (1, 2))
    assert conservation(due)["rx.decrypt − rx.deliver"] == "ok"
    assert conservation(done)["rx.decrypt − rx.deliver"] == "fail"


def test_a_packets_whole_way_is_one_server_that_takes_the_cpus_it_is_spread_over(inline: InMemory) -> None:
    stages = inline.table("stages")
    on_one = stages.assign(cpu=stages["cpu"].where(stages["object"] != FIRST_PEER, 1).astype(stages["cpu"].dtype))
    analysis = analyse(InMemory({**inline.tables, "stages": on_one}, inline.manifest))
    servers = {(s.kind, s.object): s for s in analysis.servers if s.kind != "cpu"}
    assert {kind for kind, _ in servers} == {"tx.inline", "rx.inline"}
    bound, free = servers["tx.inline", FIRST_PEER], servers["tx.inline", FIRST_PEER + 1]
    assert bound.serial and bound.capacity == 1 and bound.label.endswith("on CPU 1")
    assert not free.serial and free.capacity > 1
    work = sum(s.busy_ce for s in analysis.stages if s.object == FIRST_PEER and s.direction == "tx")
    assert bound.busy_ce == pytest.approx(work)
    assert bound.demand_ns is not None and bound.cap_pps == pytest.approx(1e9 / bound.demand_ns)
    sent = next(s for s in analysis.stages if s.object == FIRST_PEER and s.stage == "tx.send")
    assert bound.packets == sent.packets


def test_the_cells_time_is_that_of_all_peers_together(inline: InMemory) -> None:
    when = inline.table("intervals").iloc[len(inline.table("intervals")) // 2]
    poll = {"t_ns": int(when["t_ns"]), "dt_ns": int(when["dt_ns"]), "object": DEVICE, "server": "rx.napi"}
    polled = inline.with_table("executions", [{**poll, "executions": 10, "packets": 40, "busy_ns": 10**9}])
    before, after = (
        next(s for s in analyse(recording).servers if s.label == "inline receive on all CPUs")
        for recording in (inline, polled)
    )
    assert analyse(polled).window is not None
    assert after.busy_ce - before.busy_ce == pytest.approx(1 / analyse(polled).window.duration_s)  # type: ignore[union-attr]
    assert (after.packets, after.executions) == (before.packets, 10)


def test_the_tables_say_that_there_is_no_such_queue(inline: InMemory, queued: InMemory) -> None:
    def absent(analysis: Analysis) -> list[str]:
        return [row[0] for row in sheets.queues_sheet(analysis).rows if row[2] == "no such queue: inline"]

    assert absent(analyse(inline)) == ["encrypt-ring", "decrypt-ring", "tx-queue", "rx-queue"]
    assert absent(analyse(queued)) == []
    assert any(line.startswith("Inline: no ring") for line in sheets.notes(analyse(inline)))
    assert any("variant inline (patch 0123456789abcdef" in line for line in sheets.notes(analyse(inline)))


def screen(recording: InMemory) -> str:
    out = io.StringIO()
    print_analysis(
        analyse(recording),
        diagnose(analyse(recording), recording),
        recording,
        Console(file=out, width=200, highlight=False),
    )
    return out.getvalue()


def test_every_view_of_the_dial_says_first_that_nothing_was_encrypted(inline: InMemory) -> None:
    dial = of_variant(inline, **DIAL)
    said = "the packets were NOT encrypted; the cost of crypto was set to 30 % of a packet's"
    assert said in verdict(analyse(dial), diagnose(analyse(dial), dial))[0]
    assert said in screen(dial).splitlines()[0]
    document = as_document(analyse(dial), diagnose(analyse(dial), dial), dial.manifest)
    assert said in document["warning"] and said in document["verdict"][0]
    page = render(dial, analyse(dial), "test")
    body = page[page.index("<main>") :].replace("&#39;", "'")
    assert body.index(said) < body.index('aria-label="Verdict"')
    assert all(said in caption for caption in body.split("<figcaption>")[1:])
    assert body.count("<figcaption>") == body.count('class="plot"') > 4


def test_an_idle_recording_of_the_dial_says_so_too() -> None:
    idle = of_variant(InMemory(), **DIAL).with_table("intervals", [{"t_ns": 1, "dt_ns": 10**8, "sample_every": 1}])
    assert "NOT encrypted" in screen(idle).splitlines()[0]


def test_real_crypto_is_not_warned_of(inline: InMemory) -> None:
    assert not analyse(inline).variant.warning
    assert "NOT encrypted" not in screen(inline)


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({}, Variant()),
        ({"wireguard": "inline"}, Variant()),
        ({"wireguard": {"variant": ""}}, Variant()),
        ({"wireguard": {"variant": "a\nb", "crypto_permille": "300", "crypto_ns": -5}}, Variant("a�b")),
        ({"wireguard": {"variant": "distribution", "crypto_permille": True}}, Variant()),
    ],
)
def test_odd_manifests(manifest: dict[str, Any], expected: Variant) -> None:
    assert variant_of(manifest) == expected


def test_a_share_alone_is_enough_to_warn() -> None:
    assert Variant("inline", crypto_permille=100).warning
    assert "an unknown share" in Variant("vanilla-lab-crypto").warning
