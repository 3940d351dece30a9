"""perf's window in a recording: its tables, what it could not do, and what a stranger may put there."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support import perf
from tests.support.documents import START_NS
from tests.support.frames import synthetic_frames
from wgprof.agent.frames import open_frame, read_frames
from wgprof.analysis.sampled import sampled_of
from wgprof.recording.decode import Decoder
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.sampled import SampledTables
from wgprof.recording.untrusted import Damage
from wgprof.recording.writer import write_recording

ROOT = Path(__file__).parent.parent.parent


def recorded(outcomes: list[dict[str, Any]] | None = None, cut: int = 0) -> Recording:
    """A recording with a window of perf; `cut` frames of the end are missing."""
    frames = list(read_frames(BytesIO(synthetic_frames(seconds=0.5))))
    window = perf.perf_frames(START_NS + 10**9, frames[-1].sequence, outcomes)
    *body, last = frames
    tail = [open_frame(raw) for raw in window] + [last._replace(sequence=last.sequence + len(window))]
    decoder = Decoder()
    for frame in [*body, *tail][: len(body) + len(tail) - cut]:
        decoder.feed(frame)
    decoded = decoder.finish()
    return Recording.from_tables(decoded.manifest, decoded.tables)


def test_the_window_becomes_tables_and_they_survive_the_file(tmp_path: Path) -> None:
    made = recorded()
    path = tmp_path / "a.wgprof"
    write_recording(path, made.manifest, {name: made.arrow(name) for name in ("stacks", "perf_stat", "kwork")})
    with open_recording(path) as recording:
        stacks, counters, kwork = (recording.table(name) for name in ("stacks", "perf_stat", "kwork"))
        manifest = recording.manifest["perf"]
    assert {(row.cpu, row.thread, row.stack): row.samples for row in stacks.itertuples()} == {
        (0, "kworker", ";".join(perf.TX)): 30,
        (1, "kworker", ";".join(perf.TX)): 10,
        (1, "ksoftirqd/1", ";".join(perf.RX)): 20,
        (0, "", "[elsewhere]"): 100,
    }
    assert set(stacks["dt_ns"]) == {2_000_000_000}
    assert len(counters) == 8
    assert counters[counters["event"] == "task-clock"]["value"].tolist() == [2_000_500_000] * 2
    assert set(counters[counters["event"] == "cache-misses"]["state"]) == {"not supported"}
    assert set(kwork["name"]) == {"wg_packet_tx_worker", "NET_RX:3"}, "the rest is not WireGuard's"
    assert (manifest["version"], manifest["sample_event"], manifest["samples"]) == ("6.1.2", "cpu-clock", 160)
    assert {part["state"] for part in manifest["parts"]} == {"ok"}


def test_the_analysis_gives_shares_of_cpu_time() -> None:
    sampled = sampled_of(recorded())
    assert sampled is not None
    tx, rx = sampled.stacks
    assert (tx.path, tx.thread, tx.cpus, tx.samples) == (perf.TX[1:], "kworker", (0, 1), 40)
    assert tx.ce == pytest.approx(40 / (perf.HZ * perf.WINDOW_S))
    assert rx.path[0] == "wg_packet_rx_poll"
    assert sampled.wireguard_ce == pytest.approx(0.06)
    assert sampled.instructions_per_cycle == pytest.approx(1.5)
    rates = {counter.event: counter.per_s for counter in sampled.counters}
    assert rates["cycles"] == pytest.approx(2e6)
    assert rates["cache-misses"] is None
    (delay,) = sampled.delays
    assert (delay.work, delay.count) == ("tx.work", 30)
    assert delay.perf_ns == pytest.approx(70_000)
    assert delay.probes_ns is not None and delay.probes_ns > 0
    assert sampled.wanting == []


def test_what_perf_could_not_do_is_told_with_its_remedy() -> None:
    missing = [perf.outcome(part, 127, "") for part in ("stat", "stacks", "kwork")]
    recording = recorded(missing)
    sampled = sampled_of(recording)
    assert sampled is not None and len(sampled.wanting) == 3
    assert "perf is not installed" in sampled.wanting[0] and "apt install linux-perf" in sampled.wanting[0]
    log = recording.table("log")
    assert log[log["topic"] == "perf"]["level"].tolist() == ["warning"] * 3


def test_a_window_that_was_cut_off_keeps_what_came() -> None:
    recording = recorded(cut=3)  # kwork, perf's end and END
    assert recording.table("stacks")["samples"].sum() == 160
    assert set(recording.table("stacks")["dt_ns"]) == {2_000_000_000}, "as long as was asked for"
    assert recording.table("kwork").empty
    assert not recording.manifest["complete"]


def test_a_recording_without_a_window_has_empty_tables() -> None:
    decoder = Decoder()
    for frame in read_frames(BytesIO(synthetic_frames(seconds=0.2))):
        decoder.feed(frame)
    decoded = decoder.finish()
    recording = Recording.from_tables(decoded.manifest, decoded.tables)
    assert recording.table("stacks").empty
    assert sampled_of(recording) is None


def test_a_file_from_before_perf_opens_as_it_did() -> None:
    with open_recording(ROOT / "reports" / "example.wgprof") as recording:
        assert recording.manifest["schema_version"] == 1
        assert recording.table("perf_stat").empty and recording.table("kwork").empty
        assert recording.manifest["perf"]["parts"] == []


def payload(raw: bytes) -> bytes:
    return open_frame(raw).payload


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xff\xff\x7f{}",
        payload(perf.perf_frame({"part": "else"})),
        payload(perf.perf_frame({"part": "begin", "t_ns": -1, "seconds": 1})),
        payload(perf.perf_frame({"part": "begin", "t_ns": 1, "seconds": "long"})),
        payload(perf.perf_frame({"part": "end", "dt_ns": 1, "outcomes": [1]})),
        payload(perf.perf_frame({"part": "end", "dt_ns": 1, "outcomes": [{"part": "stat", "exit_code": "x"}]})),
    ],
)
def test_nonsense_is_damage(damage: bytes) -> None:
    with pytest.raises(Damage):
        SampledTables().add(damage)


def test_a_second_window_and_endless_text_are_damage() -> None:
    tables = SampledTables()
    for raw in perf.perf_frames(START_NS):
        tables.add(payload(raw))
    with pytest.raises(Damage, match="second window"):
        tables.add(payload(perf.perf_frames(START_NS)[0]))
    much = payload(perf.perf_frame({"part": "stat"}, b"x" * (9 << 20)))
    tables.add(much)
    with pytest.raises(Damage, match="printed more"):
        tables.add(much)
