"""`wgprof sweep` on the command line: what it asks of the lab, what it prints, how it ends."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tests.support.sweeps import recorder, small
from wgprof.cli import cli, sweep
from wgprof.cli.sweep_lab import SweepDisplay, settings_of, time_words, traffic_error
from wgprof.errors import RecordingError, UsageError, WgprofError
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import DONE, FAILED, Sweep
from wgprof.sweep.file import SweepFile
from wgprof.sweep.running import Recorder
from wgprof.targets.lab import LabSettings


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["sweep", *words], standalone_mode=False)


def refused(*words: str) -> WgprofError:
    error = call(*words).exception
    assert isinstance(error, WgprofError), error
    return error


def lab(monkeypatch: pytest.MonkeyPatch, record: Recorder) -> None:
    monkeypatch.setattr(sweep, "lab_recorder", lambda matrix, notes, display: record)


def test_the_plan_is_the_order_and_the_time(folder: Path) -> None:
    done = call("--tunnels", "1,2", "--module", "vanilla,inline", "--repeats", "2", "--duration", "10", "--dry-run")
    lines = done.stdout.splitlines()
    assert done.return_value == 0 and len(lines) == 9
    assert sorted(line.split("  ")[-1] for line in lines[:4]) == sorted(line.split("  ")[-1] for line in lines[4:8])
    assert lines[8].startswith("4 configurations, 2 repeats: 8 recordings, about 3 min")
    assert list(folder.iterdir()) == []


def test_the_plan_is_what_is_then_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--tunnels", "1,2,4", "--repeats", "2", "--seed", "7", "-o", "it.sweep")
    planned = json.loads(call(*options, "--dry-run", "--json").stdout)
    lab(monkeypatch, recorder(lambda c, n: 100.0))
    done = call(*options, "--json")
    said = json.loads(done.stdout)
    assert done.return_value == 0 and (said["done"], said["failed"], said["interrupted"]) == (6, [], False)
    assert said["bytes"] == Path("it.sweep").stat().st_size
    with SweepFile(Path("it.sweep")) as opened:
        made = [(run.number, run.configuration.tunnels) for run in opened.sweep.in_state(DONE)]
    assert made == [(run["number"], run["configuration"]["tunnels"]) for run in planned["runs"]]


def test_on_a_pipe_it_is_quiet_but_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    lab(monkeypatch, recorder(lambda c, n: 100.0))
    done = call("--repeats", "1", "-o", "it.sweep")
    assert done.stderr == "Recordings done: 1 of 1.\n"
    assert done.stdout.startswith("Wrote it.sweep (") and done.stdout.count("\n") == 1


def test_on_a_terminal_it_shows_what_it_is_at_and_the_time_left() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)
    whole = Sweep.of(small(), "")
    with SweepDisplay(console, whole) as display:
        display.started(whole.runs[0], 130.0)
        display.say_step("Recording")
        display.stumbled(whole.runs[0], "it \x1b[31mfell over")
        display.ended(replace(whole.runs[0], state=FAILED))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    label = whole.runs[0].configuration.label(whole.axes)
    assert f"{label}: Recording" in text and "2 min left" in text and "1/4" in text
    assert "it �[31mfell over" in text and f"gave up: {label}, repeat 1" in text


def test_the_same_options_find_their_file_again(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    lab(monkeypatch, recorder(lambda c, n: 100.0))
    call("--tunnels", "2", "--repeats", "1")
    (first,) = folder.glob("*.sweep")
    before = first.stat().st_mtime_ns

    def never(configuration: Configuration, out: Path) -> None:
        raise AssertionError("it is all there")

    lab(monkeypatch, never)
    again = call("--tunnels", "2", "--repeats", "1")
    assert again.return_value == 0 and list(folder.glob("*.sweep")) == [first]
    assert first.stat().st_mtime_ns == before


def test_an_interrupt_ends_with_4_and_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(configuration: Configuration, out: Path) -> None:
        if configuration.tunnels == 2:
            raise KeyboardInterrupt
        recorder(lambda c, n: 100.0)(configuration, out)

    lab(monkeypatch, record)
    done = call("--tunnels", "1,2", "--repeats", "3", "-o", "it.sweep", "--json")
    assert done.return_value == 4 and json.loads(done.stdout)["interrupted"] is True
    assert "the same command again makes the recordings that are missing" in done.stderr
    assert Path("it.sweep").exists()


def test_a_configuration_that_fails_ends_with_1_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(configuration: Configuration, out: Path) -> None:
        if configuration.tunnels == 2:
            raise RecordingError("the lab fell over")
        recorder(lambda c, n: 100.0)(configuration, out)

    lab(monkeypatch, record)
    done = call("--tunnels", "1,2", "--repeats", "1", "-o", "it.sweep")
    assert done.return_value == 1
    assert "Failed: 2 tunnels, distribution, repeat 1: the lab fell over" in done.stderr


SPEC = """
tunnels = [1, 2]
module = ["vanilla", "inline"]
threaded = [false, true]
lab_crypto = ["off", 0.3]
mtu = [1420, 512]
serial_work = ["none", "tx.send:3000"]
one_at_a_time = true
duration = 5
repeats = 2
"""


def test_a_file_says_what_options_say(folder: Path) -> None:
    (folder / "it.toml").write_text(SPEC)
    from_file = json.loads(call("it.toml", "--dry-run", "--json").stdout)
    options = ["--tunnels", "1,2", "--module", "vanilla,inline", "--threaded", "no,yes", "--lab-crypto", "off,0.3"]
    options += ["--mtu", "1420,512", "--serial-work", "none,tx.send:3000", "--one-at-a-time"]
    from_options = json.loads(call(*options, "--duration", "5", "--repeats", "2", "--dry-run", "--json").stdout)
    assert from_file["matrix"] == from_options["matrix"] and from_file["runs"] == from_options["runs"]
    assert len(from_file["runs"]) == 2 * 3 * 5
    warned = call("it.toml", "--dry-run").stderr
    assert "Left out: threaded yes cannot be with module inline" in warned and "NOT ENCRYPTED" in warned


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--tunnels 0", "tunnels in the command line is 0, not a number from 1 to 64"),
        ("--tunnels 1,,2", "tunnels in the command line is ''"),
        ("--cpus two", "cpus in the command line is 'two'"),
        ("--cpus 65", "cpus in the command line is 65"),
        ("--module wrong", "there is no module 'wrong'"),
        ("--workload wrong", "the lab has no workload 'wrong'"),
        ("--kernel 5.4", "the lab has no kernel '5.4'"),
        ("--threaded perhaps", "threaded in the command line is 'perhaps', not yes or no"),
        ("--lab-crypto 0.9 --module vanilla", "--lab-crypto 0.9 is not a share from 0.1 to 0.6"),
        ("--lab-crypto 0.3", "lab-crypto 0.3 cannot be with module distribution"),
        ("--module inline --threaded yes", "threaded yes cannot be with module inline"),
        ("--mtu 68", "mtu in the command line is 68, not a number from 88 to 1440"),
        ("--mtu large", "mtu in the command line is 'large'"),
        ("--serial-work tx.send:0", "serial_work in the command line is 'tx.send:0', not none, or work in a stage"),
        ("--serial-work tx.send:9 --mtu 92", "serial-work tx.send:9 cannot be with mtu 92"),
        ("--duration nan", "duration in the command line is nan"),
        ("--repeats 0", "repeats in the command line is 0"),
        ("--sample x", "--sample x is neither auto nor a number"),
        ("-o it.wgprof --tunnels 1", "it.wgprof does not end in .sweep"),
        ("-o there/it.sweep --tunnels 1", "there is no folder"),
        ("missing.toml", "missing.toml could not be read"),
        ("it.toml --tunnels 2", "it.toml says what to sweep, so --tunnels does not go with it"),
        ("bad.toml", "bad.toml is not TOML"),
        ("odd.toml", "odd.toml has 'speed'"),
        ("bytes.toml", "bytes.toml is not TOML"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_runs(folder: Path, words: str, sentence: str) -> None:
    (folder / "it.toml").write_text(SPEC)
    (folder / "bad.toml").write_text("tunnels = [1,")
    (folder / "odd.toml").write_text("speed = 3")
    (folder / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    before = set(folder.iterdir())
    error = refused(*words.split())
    assert isinstance(error, UsageError) and sentence in error.sentence and "\n" not in error.sentence
    assert set(folder.iterdir()) == before


def test_the_lab_gets_the_configuration() -> None:
    configuration = Configuration(4, 1, "inline", False, "udp-paced", 0.3, "6.1", 512, "tx.send:9")
    expected = LabSettings(
        "6.1",
        cpus=1,
        tunnels=4,
        workload="udp-paced",
        module="inline",
        lab_crypto=0.3,
        mtu=512,
        serial_work="tx.send:9",
    )
    assert settings_of(configuration) == expected
    assert settings_of(Configuration(1, 2, "distribution", True, "tcp", None, "6.12")).module == ""


@pytest.mark.parametrize(
    ("results", "idle", "said"),
    [
        ({"received_bytes": 5, "tunnels": [{"interface": "wg0", "error": ""}]}, False, ""),
        ({"error": "the machine died"}, False, "the machine died"),
        ({"received_bytes": 5, "tunnels": [{"interface": "wg1", "error": "no route"}]}, False, "wg1: no route"),
        ({"received_bytes": 0}, False, "nothing arrived"),
        ({"received_bytes": 0}, True, ""),
        ({}, False, "nothing arrived"),
    ],
)
def test_a_recording_without_its_traffic_has_failed(results: dict[str, object], idle: bool, said: str) -> None:
    assert traffic_error(results, idle=idle) == said


def test_times_are_rough() -> None:
    assert [time_words(s) for s in (12.3, 99, 600, 7200)] == ["12 s", "99 s", "10 min", "2.0 h"]


def test_help_has_the_options_and_the_other_commands() -> None:
    text = call("--help").output
    assert "--tunnels" in text and "--dry-run" in text and "report" in text and "show" in text
