"""The support matrix is written from results alone, and says what a result says."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest

from tests.lab import support
from tests.lab.support import MODULES, NAPI, TUNNELS, Results, cases
from tests.lab.support_row import Case, Row, Verdicts, examined
from tests.lab.support_text import document
from tests.support.simulated import InMemory, Load, gateway
from wgprof.lab.recipe import RECIPES
from wgprof.recording.schema import TABLES
from wgprof.recording.writer import write_recording

CASE = Case("6.12", "", 4, False)
GOOD = Row(
    CASE,
    release="6.12.1-amd64",
    attached=27,
    packets={"tx": 1234567, "rx": 7654},
    conservation=Verdicts(12, 0, 0, 3.0),
    interfaces=Verdicts(4, 0, 0, 0.0),
    little=Verdicts(5, 0, 3, 0.042),
    journeys={"complete": 900, "lost": 0},
)


def table(*rows: Row) -> list[list[str]]:
    lines = [line for line in document(rows).splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_a_good_row_has_all_its_figures() -> None:
    (cells,) = table(GOOD)
    assert cells == [
        "6.12.1-amd64", "distribution", "4", "softirq", "27 of 27", "1,234,567 / 7,654",
        "12 of 12 (3)", "4 of 4 (0)", "5 of 5 (4.2%)", "0", "0",
    ]  # fmt: skip
    assert "1 of 1 rows agree" in document([GOOD])


def test_what_failed_or_is_missing_stands_out_and_is_named() -> None:
    bad = Row(
        Case("6.1", "inline", 1, True),
        release="6.1.2-amd64",
        attached=25,
        missing={"work queued": "no such tracepoint"},
        threaded=[0],
        conservation=Verdicts(11, 1, 0, 17.0),
        recorder_losses={"unmatched-return": 4},
        journeys={"complete": 9, "lost": 2},
        packet_losses={"queue-full": 62},
        failed=["emulation, lab: the host took it away"],
    )
    none = Row(Case("7.2", "steered", 1, False), error="the lab's machine did not boot")
    first, second = table(bad, none)
    assert first[3:7] == ["threaded (found softirq)", "25 of 26", "0 / 0", "**11 of 12** (17)"]
    assert first[8:] == ["none to judge", "unmatched-return 4, journeys 2", "queue-full 62"]
    assert second[:5] == ["7.2", "steered", "1", "softirq", "**no recording**: the lab's machine did not boot"]
    text = document([bad, none])
    assert "- 6.1.2-amd64, inline: work queued: no such tracepoint" in text
    assert "- 6.1-inline-1-threaded: emulation, lab: the host took it away" in text
    assert "0 of 2 rows agree" in text


def test_results_survive_the_disk_and_come_in_the_order_of_the_kernels(tmp_path: Path) -> None:
    results = Results(tmp_path)
    rows = [Row(Case(kernel, "", tunnels, False)) for kernel in RECIPES for tunnels in (1, 4)]
    for row in reversed(rows):
        results.put(row)
    kept = results.rows()
    assert [row.case for row in kept] == [row.case for row in rows]
    assert Row.from_json(json.loads(json.dumps(asdict(GOOD)))) == GOOD
    assert results.has(CASE)
    assert not results.has(Case("6.12", "inline", 4, False))
    results.put(Row(CASE, error="the lab's machine did not boot"))
    assert not results.has(CASE), "it is tried again"


def test_every_combination_is_a_case_of_its_own_and_a_user_could_record_it() -> None:
    every = cases(RECIPES, MODULES, TUNNELS, NAPI)
    assert len({case.name for case in every}) == len(every) == 3 * 4 * 2 * 2
    options = {case.name: " ".join(case.options()) for case in every}
    assert options["6.1-distribution-4-threaded"] == "--kernel 6.1 --tunnels 4 --threaded"
    assert options["7.2-inline-1-softirq"] == "--kernel 7.2 --tunnels 1 --no-threaded --module inline"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("error: the lab is in use by process 7 (somebody)\n  Wait for it.", None),
        ("lab: booting\nerror: the lab's machine did not boot\n  Try again.", "the lab's machine did not boot"),
        ("", "exit code 3"),
    ],
)
def test_a_lab_that_was_in_use_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: str | None
) -> None:
    program = tmp_path / "wgprof"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.stderr.write({said!r})\nsys.exit(3)\n")
    program.chmod(0o755)
    monkeypatch.setattr(support, "WGPROF", program)
    row = support.record(CASE, 1, tmp_path)
    assert (row and row.error) == error


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[InMemory, Path]:
    load = Load(rate=1500, crypt_ns=80_000, serial_ns=560_000)
    recording = gateway(seconds=5, tx=load, rx=load, seed=4)
    path = tmp_path_factory.mktemp("recorded") / "it.wgprof"
    tables = {
        table.name: pa.Table.from_pandas(recording.table(table.name), schema=table.arrow, preserve_index=False)
        for table in TABLES
    }
    write_recording(path, recording.manifest, {name: t.replace_schema_metadata() for name, t in tables.items()})
    return recording, path


def test_a_recording_becomes_a_row_with_what_its_panel_says(recorded: tuple[InMemory, Path]) -> None:
    recording, path = recorded
    row = examined(CASE, path)
    stages = recording.table("stages")
    sent = int(stages[stages["stage"] == "tx.send"]["packets"].sum())
    assert row.packets["tx"] == sent > 5000
    assert (row.conservation.ok, row.conservation.failed, row.conservation.worst) == (6, 0, 0.0)
    assert (row.interfaces.ok, row.interfaces.failed) == (2, 0)
    assert row.little.ok >= 1 and not row.little.failed
    assert row.little.worst is not None and row.little.worst < 0.1
    assert (row.recorder_losses, row.packet_losses, row.missing) == ({}, {}, {})
    assert row.good
