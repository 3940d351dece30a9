"""`wgprof export --format perfetto`: slices that nest, arrows with both ends, values that add up to the tables."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tests.support.frames import synthetic_recording
from wgprof.analysis.cores import Measured
from wgprof.analysis.journeys import Journeys
from wgprof.analysis.names import Names
from wgprof.analysis.tables import STAGES, WAITS, Tables, ints, only, total
from wgprof.cli.export import command
from wgprof.errors import UsageError
from wgprof.export.counters import bins_of, counter_events
from wgprof.export.events import Tracks
from wgprof.export.perfetto import trace_of
from wgprof.export.slices import cpu_events, peer_events
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import TABLES
from wgprof.recording.writer import write_recording

EXAMPLE = Path(__file__).parents[2] / "reports" / "example.wgprof"
SYNTHETIC = synthetic_recording(seconds=1.0, rate=200.0, peers=2)
#: What each kind of event must have, beside its kind.
NEEDED = {
    "X": {"name", "pid", "tid", "ts", "dur"},
    "s": {"name", "cat", "id", "pid", "tid", "ts"},
    "t": {"name", "cat", "id", "pid", "tid", "ts"},
    "f": {"name", "cat", "id", "pid", "tid", "ts", "bp"},
    "C": {"name", "pid", "ts", "args"},
    "M": {"name", "pid", "args"},
}
NEXT = {pair for order in STAGES.values() for pair in pairwise(order)}
Fields = dict[str, Any]


def drawn(
    recording: Tables, from_s: float | None = None, to_s: float | None = None, most: int = 20_000
) -> list[Fields]:
    text = "".join(trace_of(recording, from_s, to_s, most).lines())
    found: list[Fields] = json.loads(text)["traceEvents"]
    return found


def of_kind(events: list[Fields], *kinds: str) -> list[Fields]:
    return [event for event in events if event["ph"] in kinds]


def ns(microseconds: float) -> int:
    return round(microseconds * 1000)


def place_names(events: list[Fields], kind: str) -> dict[int, str]:
    key = "pid" if kind == "process" else "tid"
    return {e[key]: e["args"]["name"] for e in of_kind(events, "M") if e["name"] == f"{kind}_name"}


@pytest.fixture(scope="module")
def example() -> list[Fields]:
    with open_recording(EXAMPLE) as recording:
        return drawn(recording, 3.0, 3.5)


@pytest.fixture(scope="module")
def synthetic() -> list[Fields]:
    return drawn(SYNTHETIC)


@pytest.fixture(params=["example", "synthetic"])
def events(request: pytest.FixtureRequest) -> list[Fields]:
    found: list[Fields] = request.getfixturevalue(request.param)
    assert len(of_kind(found, "X")) > 1000
    return found


def test_every_event_has_what_its_kind_needs(events: list[Fields]) -> None:
    for event in events:
        assert NEEDED[event["ph"]] <= set(event), event
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0
    threads = {(e["pid"], e["tid"]) for e in of_kind(events, "X", "s", "t", "f")}
    named = {(e["pid"], e["tid"]) for e in of_kind(events, "M") if e["name"] == "thread_name"}
    assert threads == named
    assert {e["pid"] for e in events} == set(place_names(events, "process"))


def test_slices_of_a_track_nest_or_lie_apart(events: list[Fields]) -> None:
    tracks = defaultdict(list)
    for event in of_kind(events, "X"):
        tracks[event["tid"]].append((ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])))
    for slices in tracks.values():
        open_until: list[int] = []
        for start, end in sorted(slices, key=lambda s: (s[0], -s[1])):
            while open_until and open_until[-1] <= start:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def test_arrows_lead_from_step_to_step(events: list[Fields]) -> None:
    """The event before an arrow's point is the slice it belongs to: a viewer takes the innermost that is open."""
    arrows = defaultdict(list)
    last = {}
    for event in events:
        if event["ph"] == "X":
            last = event
        elif event["ph"] in "stf":
            assert (event["tid"], event["ts"]) == (last["tid"], last["ts"])
            arrows[event["id"]].append((event["ph"], last["name"]))
    assert len(arrows) > 100
    for points in arrows.values():
        kinds = "".join(kind for kind, _ in points)
        assert kinds in ("sf", "stf")
        stages = [stage for _, stage in points]
        assert all(pair in NEXT for pair in pairwise(stages))


def test_packets_have_their_steps_and_waits(example: list[Fields]) -> None:
    """Against the table of journeys: every packet that began then, and what its steps and waits took."""
    processes = place_names(example, "process")
    with open_recording(EXAMPLE) as recording:
        events, began = recording.table("journeys"), int(ints(recording.table("intervals"), "t_ns").min())
    starts = (events["end_ns"] - events["service_ns"]).rename("start")
    packets = pd.concat([events, starts], axis=1).groupby(["object", events["point"] > 3, "key_index", "nonce"])
    first = packets["start"].min() - began
    assert len(of_packets(example, "packet")) == int(((first >= 3e9) & (first < 3.5e9)).sum())
    for direction in ("tx", "rx"):
        mine = [
            e
            for e in of_kind(example, "X")
            if processes[e["pid"]].endswith({"tx": "transmit", "rx": "receive"}[direction])
        ]
        names = {e["name"] for e in mine}
        assert names - {"packet, dropped"} == {"packet", *STAGES[direction], *WAITS[direction]}


def of_packets(events: list[Fields], name: str) -> list[Fields]:
    return [event for event in of_kind(events, "X") if event["name"].startswith(name)]


def test_service_on_cpus_is_that_of_the_journeys(synthetic: list[Fields]) -> None:
    processes = place_names(synthetic, "process")
    spent: dict[str, int] = defaultdict(int)
    for event in of_kind(synthetic, "X"):
        if processes[event["pid"]].startswith("CPUs"):
            spent[event["name"]] += ns(event["dur"]) * event["args"]["packets"]
    journeys = SYNTHETIC.table("journeys")
    for point, stage in enumerate((*STAGES["tx"], *STAGES["rx"]), 1):
        assert spent[stage] == total(only(journeys, point=point), "service_ns")


def integrals(events: list[Fields]) -> dict[tuple[str, str, str], float]:
    """Value times seconds by (process, counter, series)."""
    processes = place_names(events, "process")
    points = defaultdict(list)
    for event in of_kind(events, "C"):
        for series, value in event["args"].items():
            points[processes[event["pid"]], event["name"], series].append((event["ts"] / 1e6, value))
    for values in points.values():
        assert values[-1][1] == 0
        assert values == sorted(values, key=lambda point: point[0])
    return {
        name: sum(value * (later - at) for (at, value), (later, _) in pairwise(values))
        for name, values in points.items()
    }


def whole(recording: Tables, most_values: int) -> list[Fields]:
    """All counters of a recording, of at most so many values."""
    part, tracks = trace_of(recording).part, Tracks()
    bins = bins_of(part, most_values)
    found = list(counter_events(part, bins, trace_of(recording).names, tracks))
    return [dict(event.fields) for event in (*found, *tracks.events())]


@pytest.mark.parametrize("most_values", [100_000, 500])
def test_counters_add_up_to_the_tables(most_values: int) -> None:
    with open_recording(EXAMPLE) as recording:
        found = integrals(whole(recording, most_values))
        stages, executions, cpus, depths = (recording.table(n) for n in ("stages", "executions", "cpus", "depths"))
    for direction, word in (("tx", "transmit"), ("rx", "receive")):
        mbits = sum(v for (process, _, series), v in found.items() if process.startswith("Goodput") and series == word)
        assert mbits == pytest.approx(total(only(stages, stage=STAGES[direction][2]), "bytes") * 8 / 1e6, rel=1e-4)
    for cpu in (0, 1):
        spent = Measured(stages, executions).cpu(cpu, only(cpus, cpu=cpu))
        for track, wanted in spent.items():
            assert found["CPU time, %", f"CPU {cpu}", track] / 100 == pytest.approx(wanted / 1e9, rel=1e-3, abs=1e-3)
    if most_values == 100_000:  # a mean of means is not the mean
        seen = depths[ints(depths, "samples") > 0]
        area = float(np.sum(ints(seen, "depth_sum") / ints(seen, "samples") * ints(seen, "dt_ns") / 1e9))
        assert sum(v for (process, *_), v in found.items() if process == "Queue depths") == pytest.approx(
            area, rel=1e-3
        )


def crossing() -> Journeys:
    """Two steps on one CPU of which neither is in the other, as preempted workers' are."""
    none, one = np.zeros((3, 2), dtype=np.int64), np.array([1, 1])
    starts, ends, seen = none.copy(), none.copy(), none.astype(bool)
    starts[0], ends[0], seen[0] = [100, 150], [200, 250], True
    nonce, flags = np.array([1, 2], dtype=np.uint64), np.zeros(2, dtype=bool)
    return Journeys(np.zeros(2, np.int8), one, one, nonce, starts, ends, np.zeros((3, 2), np.int16), seen, flags, flags)


def test_what_overlaps_gets_a_track_of_its_own() -> None:
    for draw in (cpu_events, peer_events):
        tracks = Tracks()
        found = [dict(event.fields) for event in draw(crossing(), np.arange(2), 0, Names(), tracks)]
        names = place_names([dict(event.fields) for event in tracks.events()], "thread")
        assert len({event["tid"] for event in found}) == 2
        assert sorted(names.values()) in (["CPU 0", "CPU 0, overlapping (1)"], ["packets 001", "packets 002"])
        assert not of_kind(found, "s", "t", "f")


def test_a_packet_that_seems_to_go_on_before_it_ended_does_not_overlap_itself() -> None:
    journeys = crossing()
    journeys.seen[1, 0] = True
    journeys.start_ns[1, 0], journeys.end_ns[1, 0] = 190, 260
    tracks = Tracks()
    found = [event.fields for event in peer_events(journeys, np.arange(1), 0, Names(), tracks)]
    assert [(e["name"], ns(e["ts"]), ns(e["dur"])) for e in found] == [
        ("packet", 100, 160),
        ("tx.stage", 100, 100),
        ("tx.encrypt", 200, 60),
    ]


def test_more_packets_than_a_viewer_likes_are_cut_and_said() -> None:
    trace = trace_of(SYNTHETIC, most_packets=50)
    (note,) = trace.notes
    assert note.startswith("Only the first 50 of ")
    assert len(of_packets(drawn(SYNTHETIC, most=50), "packet")) == 50
    until = float(note.split("before ")[1].split(" s;")[0])
    slices = [e for e in of_kind(drawn(SYNTHETIC, most=50), "X") if e["name"] == "packet"]
    assert max(e["ts"] for e in slices) / 1e6 <= until + 0.001
    assert trace_of(SYNTHETIC).notes == ()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wgprof"
    write_recording(path, SYNTHETIC.manifest, {table.name: SYNTHETIC.arrow(table.name) for table in TABLES})
    return path


def test_a_trace_goes_to_a_file_or_the_standard_output(file: Path, tmp_path: Path) -> None:
    printed = run(file, "--format", "perfetto", "--from", "0.2", "--to", "0.4")
    assert printed.exit_code == 0
    events = json.loads(printed.stdout)["traceEvents"]
    assert all(0.2e6 <= e["ts"] < 0.4e6 for e in of_packets(events, "packet"))
    written = run(file, "--format", "perfetto", "--from", "0.2", "--to", "0.4", "-o", tmp_path / "a.json")
    assert written.stdout.startswith(f"Wrote {tmp_path / 'a.json'} (")
    assert (tmp_path / "a.json").read_text() == printed.stdout


@pytest.mark.parametrize("times", [("--from", "5"), ("--from", "0.5", "--to", "0.5"), ("--from", "-1")])
def test_a_time_that_is_not_there_is_a_usage_error(file: Path, times: tuple[str, ...]) -> None:
    result = run(file, "--format", "perfetto", *times)
    assert isinstance(result.exception, UsageError)
    assert "0 to 1.0 s" in result.exception.remedy


def test_times_are_for_this_format_alone(file: Path) -> None:
    assert isinstance(run(file, "--format", "folded", "--from", "1").exception, UsageError)


def test_without_sampled_packets_there_are_counters(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof"
    tables = {t.name: SYNTHETIC.arrow(t.name) for t in TABLES if t.name != "journeys"}
    write_recording(path, SYNTHETIC.manifest, tables)
    result = run(path, "--format", "perfetto")
    assert "no sampled packets" in result.stderr
    kinds = {event["ph"] for event in json.loads(result.stdout)["traceEvents"]}
    assert kinds == {"C", "M"}


def test_names_are_escaped(tmp_path: Path) -> None:
    tables = {table.name: SYNTHETIC.arrow(table.name) for table in TABLES}
    objects = SYNTHETIC.table("objects").assign(name='"},\n\x1b[2J\\')
    path = tmp_path / "a.wgprof"
    renamed = Recording.from_tables({}, {"objects": objects}).arrow("objects")
    write_recording(path, SYNTHETIC.manifest, {**tables, "objects": renamed})
    text = run(path, "--format", "perfetto").stdout
    assert "\x1b" not in text
    assert any('"},' in name for name in place_names(json.loads(text)["traceEvents"], "process").values())
