"""`wgprof show`: three lines first, tables that cannot be forged by a recording, and stable JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.support.perf import perf_frames
from tests.support.simulated import InMemory, Load, gateway
from tests.support.two_ends import Clock, half, namespaces, only_sent
from tests.support.two_ends import save as save_half
from tests.unit.test_report import HOSTILE, hostile, save
from wgprof.agent.frames import open_frame
from wgprof.analysis.summary import analyse
from wgprof.analysis.tables import Tables
from wgprof.cli.show import command
from wgprof.errors import RecordingError, UsageError
from wgprof.recording.reader import open_recording
from wgprof.recording.sampled import SampledTables
from wgprof.report.as_json import as_document
from wgprof.report.terminal import print_analysis
from wgprof.rules.diagnose import diagnose
from wgprof.rules.verdict import verdict

#: Sampled by multiples of N, of which a test can make coarser ones.
MULTIPLES = Path(__file__).parents[1] / "captures" / "recordings" / "multiples-6.12.wgprof"


@pytest.fixture(scope="module")
def recording() -> InMemory:
    tx, rx = Load(rate=1500, segments=2, crypt_ns=100_000), Load(crypt_ns=100_000)
    return gateway(seconds=4, peers=2, workers=3, tx=tx, rx=rx, seed=5)


def printed(recording: InMemory, width: int = 200) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    analysis = analyse(recording)
    print_analysis(analysis, diagnose(analysis, recording), recording, console)
    return out.getvalue()


def lines_of(recording: Tables) -> list[str]:
    analysis = analyse(recording)
    return verdict(analysis, diagnose(analysis, recording))


def test_the_verdict_is_the_first_three_lines(recording: InMemory) -> None:
    assert printed(recording).splitlines()[:3] == lines_of(recording)


def test_tables_follow(recording: InMemory) -> None:
    text = printed(recording)
    wanted = ["Transmit: stages", "tx.send.wait", "Receive: stages", "Servers:", "Queues:", "CPUs:"]
    wanted += ["What was ruled out", "Quality: does"]
    places = [text.index(title) for title in wanted]
    assert places == sorted(places)


def test_a_failed_check_is_the_first_line(recording: InMemory) -> None:
    lossy = recording.with_table("losses", [{"cause": "ring-full", "where": "events", "count": 3}])
    first = printed(lossy).splitlines()[0]
    assert "FAILED" in first and "losses" in first


def test_nothing_flowed(recording: InMemory) -> None:
    idle = InMemory().with_table("intervals", [{"t_ns": 1, "dt_ns": 10**8, "sample_every": 1}])
    assert printed(idle).startswith("Nothing flowed")


@pytest.mark.parametrize("text", [*HOSTILE, "[bold red]hidden[/]", "[link=https://x]y[/link]", "a\nb\rc"])
def test_hostile_strings_do_nothing_on_a_terminal(recording: InMemory, text: str) -> None:
    bad = hostile(recording, text)
    out = io.StringIO()
    # No colour of our own: whatever escape is left came from the recording.
    console = Console(file=out, width=200, highlight=False, force_terminal=True, color_system=None, no_color=True)
    analysis = analyse(bad)
    print_analysis(analysis, diagnose(analysis, bad), bad, console)
    shown = out.getvalue().replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    control = {c for c in shown if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E)}
    assert control == set()
    if text.startswith("[bold"):
        assert "[bold" in shown


def with_mechanics(recording: InMemory) -> InMemory:
    """The recording with something in every table of what goes on between the stages."""
    when = {"t_ns": int(recording.table("intervals")["t_ns"].iloc[10]), "dt_ns": 10**8, "cpu": 1, "object": 2}
    poll: dict[str, object] = {"server": "rx.napi", "productive": 3, "head_not_ready": 1, "missed": 2, "nested": 1}
    tables: dict[str, dict[str, object]] = {
        "polls": poll,
        "heads": {"server": "rx.napi", "episodes": 2, "blocked_ns": 5_000, "timed": 2, "timed_ns": 5_000},
        "moves": {"server": "rx.napi", "moves": 1, "stay_ns": 10**6},
        "preemptions": {"stage": "rx.decrypt", "calls": 1, "softirqs": 1, "softirq_ns": 900},
        "wakeups": {"server": "decrypt.work", "woken": 1, "runqueue_ns": 100},
        "contention": {"lock": "decrypt-ring.producer", "waits": 7, "wait_ns": 700, "object": 1},
        "ipis": {"reschedules": 5},
    }
    for name, row in tables.items():
        recording = recording.with_table(name, [{**when, **row}])
    off = {"ipis": "ipi sent: no tracepoint \x1b[31mipi_send_cpu"}
    manifest = {"detail": {"on": ["polls", "heads", "moves", "preemptions", "wakeups", "contention"], "off": off}}
    return replace(recording, manifest={**recording.manifest, **manifest})


def test_what_goes_on_between_the_stages_has_a_sheet_each_and_a_key_each(recording: InMemory) -> None:
    made = with_mechanics(recording)
    text = printed(made)
    titles = [
        "Polls:",
        "Heads:",
        "Places:",
        "Preemption:",
        "Wake-ups:",
        "Interrupts between",
        "Contention:",
        "Not measured",
    ]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert "no tracepoint \N{REPLACEMENT CHARACTER}[31mipi_send_cpu" in text
    analysis = analyse(made)
    document = as_document(analysis, diagnose(analysis, made), made.manifest)
    for key in ("polls", "heads", "moves", "preemptions", "wakeups", "contention", "ipis"):
        assert document[key], key
    assert document["polls"][0]["executions"] == 4 and document["contention"][0]["waits"] == 7
    assert [check["verdict"] for check in document["checks"] if check["name"] == "polls by class"] == ["fail", "fail"]


def test_of_an_older_recording_only_what_it_has_is_shown(recording: InMemory) -> None:
    text = printed(recording)
    assert "Wake-ups:" in text and "Polls:" not in text and "Contention:" not in text and "Not measured" not in text


def with_perf(recording: InMemory) -> InMemory:
    """The recording with a window of perf behind it."""
    tables = SampledTables()
    for raw in perf_frames(1):
        tables.add(open_frame(raw).payload)
    tables.finish()
    for name, rows in tables.rows().items():
        recording = recording.with_table(name, rows)
    return replace(recording, manifest={**recording.manifest, "perf": tables.manifest()})


def test_the_hottest_stacks_follow_when_perf_looked(recording: InMemory) -> None:
    text = printed(with_perf(recording))
    places = [
        text.index(words) for words in ("CPUs:", "Hottest stacks", "perf's counters", "perf kwork", "Quality: does")
    ]
    assert places == sorted(places)
    (hottest,) = (line for line in text.splitlines() if line.startswith("wg_packet_tx_worker"))
    assert hottest.split() == ["wg_packet_tx_worker", ">", "udp_tunnel_xmit_skb", "kworker", "0,1", "40", "0.040"]
    assert "instructions per cycle" in text and "not supported" in text
    assert "Hottest stacks" not in printed(recording), "nothing of it without --stacks"


def test_what_perf_could_not_do_is_shown(recording: InMemory) -> None:
    state = {"part": "stacks", "state": "not installed", "sentence": "no perf here", "remedy": "Install it."}
    text = printed(replace(recording, manifest={**recording.manifest, "perf": {"parts": [state]}}))
    assert "perf stacks: no perf here. Install it." in text


def test_stacks_cannot_forge_the_screen(recording: InMemory) -> None:
    bad = with_perf(recording)
    text = "wg_x\x1b[2J[bold]"
    stack = {"cpu": 0, "dt_ns": 1, "thread": text, "stack": text, "samples": 9}
    shown = printed(bad.with_table("stacks", [stack]))
    assert "\x1b" not in shown and "[bold]" in shown


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_json_is_versioned_and_complete(recording: InMemory, tmp_path: Path) -> None:
    result = run(save(recording, tmp_path / "a.wgprof"), "--json")
    assert result.exit_code == 0
    document = json.loads(result.output)
    assert document["wgprof_show"] == 1
    assert document["flowed"] is True
    assert len(document["verdict"]) == 3
    keys = {"window", "headline", "objects", "stages", "waits", "queues", "servers", "cores", "journeys", "checks"}
    assert keys | {"overhead", "manifest", "lab", "findings", "rules", "laws"} <= set(document)
    assert [rule["id"] for rule in document["rules"]] == [f"S{number}" for number in range(1, 17)]
    assert document["headline"]["throughput"][0]["server"]["kind"] == "tx.work"
    assert {"name", "subject", "value", "bound", "unit", "verdict", "detail", "taints"} == set(document["checks"][0])


def test_json_has_no_numbers_json_does_not_have(recording: InMemory) -> None:
    manifest = {**recording.manifest, "results": {"a": float("nan"), "b": [float("inf")]}}
    analysis = analyse(recording)
    document = as_document(analysis, diagnose(analysis, recording), manifest)
    assert json.loads(json.dumps(document, allow_nan=False))["manifest"]["results"] == {"a": None, "b": [None]}


def test_json_of_an_idle_recording(tmp_path: Path) -> None:
    idle = InMemory().with_table("intervals", [{"t_ns": 1, "dt_ns": 10**8, "sample_every": 1}])
    document = json.loads(run(save(idle, tmp_path / "a.wgprof"), "--json").output)
    assert (document["flowed"], document["window"], document["headline"]) == (False, None, None)


def test_terminal_output_through_the_command(recording: InMemory, tmp_path: Path) -> None:
    result = run(save(recording, tmp_path / "a.wgprof"))
    assert result.exit_code == 0
    assert result.output.splitlines()[:3] == lines_of(recording)


@pytest.mark.parametrize("content", [None, b"", b"hello", b"PK\x03\x04 and so on"])
def test_what_is_no_recording_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "x.wgprof"
    if content is not None:
        file.write_bytes(content)
    result = run(file)
    assert isinstance(result.exception, RecordingError)
    assert "\n" not in result.exception.sentence


def both_ends(tmp_path: Path) -> tuple[Path, Path]:
    """The halves of the example recording, the second on a clock 3200 s ahead."""
    whole = open_recording(MULTIPLES)
    left, right = namespaces(whole)
    ahead = Clock(3_200_000_000_000, 40e-6, whole.manifest["clock"]["start_ns"])
    return (
        save_half(half(whole, left, Clock()), tmp_path / "a.wgprof"),
        save_half(half(whole, right, ahead), tmp_path / "b.wgprof"),
    )


def test_the_other_end_adds_the_one_way_delay(tmp_path: Path) -> None:
    first, second = both_ends(tmp_path)
    assert "One-way delay" not in run(first).output
    result = run(first, "--end", second)
    assert result.exit_code == 0
    for words in (
        "One-way delay, end to end: A → B",
        "One-way delay, end to end: B → A",
        "3,200.0002",
        "half the least",
    ):
        assert words in result.output
    document = json.loads(run(first, "--end", second, "--json").output)
    assert json.loads(run(first, "--json").output)["ends"] is None
    ends = document["ends"]
    assert (ends["first"], ends["second"], ends["same_clock"]) == ("a.wgprof", "b.wgprof", False)
    assert abs(ends["windows"][0]["offset_ns"] - 3_200_000_222_000) < 10_000
    forth = ends["directions"][0]
    assert [part["step"] for part in forth["split"]["parts"]][4:7] == ["tx.send", "network", "rx.receive"]
    assert forth["seen"]["loss"] == 0


def test_recordings_of_other_tunnels_are_one_sentence(recording: InMemory, tmp_path: Path) -> None:
    first, _ = both_ends(tmp_path)
    stranger = save(recording, tmp_path / "c.wgprof")
    result = run(first, "--end", stranger)
    assert isinstance(result.exception, RecordingError)
    assert "no sampled packet of a tunnel in common" in result.exception.sentence
    assert "at the same time" in result.exception.remedy


def test_recordings_of_other_times_say_how_far_apart(tmp_path: Path) -> None:
    first, second = both_ends(tmp_path)
    later = open_recording(second)
    later.manifest["clock"]["start_unix_ns"] += 3_600_000_000_000
    save_half(only_sent(only_sent(later, True), False), tmp_path / "later.wgprof")
    result = run(first, "--end", tmp_path / "later.wgprof")
    assert isinstance(result.exception, RecordingError)
    assert "made 3,588 s apart" in result.exception.sentence


def test_one_recording_is_not_both_ends(tmp_path: Path) -> None:
    first, _ = both_ends(tmp_path)
    result = run(first, "--end", first)
    assert isinstance(result.exception, UsageError)
