"""`wgprof export --format openmetrics`: what a parser of that format reads is what the tables say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import parser as older
from prometheus_client.openmetrics import parser
from prometheus_client.samples import Sample

from tests.support.frames import synthetic_recording
from wgprof.analysis.summary import Analysis, analyse
from wgprof.analysis.tables import Tables, total
from wgprof.cli.export import command
from wgprof.export.openmetrics import openmetrics_text
from wgprof.recording.reader import Recording, open_recording
from wgprof.recording.schema import TABLES
from wgprof.recording.writer import write_recording
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import NOT_DECIDABLE, Diagnosis

EXAMPLE = Path(__file__).parents[2] / "reports" / "example.wgprof"
#: Metric -> the table and column it adds up, and what a unit of the column is in the metric's.
SUMS = {
    "stage_packets": ("stages", "packets", 1),
    "stage_bytes": ("stages", "bytes", 1),
    "stage_service_seconds": ("stages", "service_ns", 1e-9),
    "stage_nested_seconds": ("stages", "nested_ns", 1e-9),
    "stage_failed_packets": ("stages", "failed", 1),
    "server_executions": ("executions", "executions", 1),
    "server_empty_executions": ("executions", "empty", 1),
    "server_busy_seconds": ("executions", "busy_ns", 1e-9),
    "queue_offered_packets": ("arrivals", "packets", 1),
    "queue_refused_packets": ("arrivals", "refused_packets", 1),
}


def text_of(recording: Tables) -> tuple[str, Analysis, Diagnosis]:
    analysis = analyse(recording)
    diagnosis = diagnose(analysis, recording)
    return openmetrics_text(recording, analysis, diagnosis), analysis, diagnosis


def samples_of(text: str) -> dict[str, list[Sample]]:
    """What OpenMetrics' own parser reads, by metric without prefix and suffix."""
    found = parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in found}
    assert all(family.documentation and family.type in ("counter", "gauge") for family in families.values())
    return {name.removeprefix("wgprof_"): family.samples for name, family in families.items()}


Read = tuple[Recording, dict[str, list[Sample]], Analysis, Diagnosis]


@pytest.fixture(scope="module")
def read() -> Read:
    recording = open_recording(EXAMPLE)
    text, analysis, diagnosis = text_of(recording)
    return recording, samples_of(text), analysis, diagnosis


def test_counters_add_up_to_the_tables(read: Read) -> None:
    recording, samples, _, _ = read
    for metric, (table, column, unit) in SUMS.items():
        found = sum(sample.value for sample in samples[metric])
        assert found == pytest.approx(total(recording.table(table), column) * unit), metric
    for kind in ("packets", "bytes", "errors", "dropped"):
        for direction in ("tx", "rx"):
            mine = [s.value for s in samples[f"interface_{kind}"] if s.labels["direction"] == direction]
            assert sum(mine) == total(recording.table("interfaces"), f"{direction}_{kind}")
    idle = [s.value for s in samples["cpu_seconds"] if s.labels["mode"] == "idle"]
    assert sum(idle) == pytest.approx(total(recording.table("cpus"), "idle_ns") / 1e9)


def test_a_peer_is_named_by_interface_namespace_and_key(read: Read) -> None:
    recording, samples, _, _ = read
    stages, objects = recording.table("stages"), recording.table("objects")
    (peer,) = objects[(objects["kind"] == "peer") & (objects["netns_name"] == "wga")].to_dict("records")
    wanted = {"interface": "wg0", "netns": "wga", "peer": peer["public_key"], "direction": "tx", "stage": "tx.send"}
    (sample,) = [s for s in samples["stage_packets"] if s.labels == wanted]
    mine = stages[(stages["object"] == peer["object"]) & (stages["stage"] == "tx.send")]
    assert sample.value == total(mine, "packets")


def test_gauges_are_those_of_the_analysis(read: Read) -> None:
    _, samples, analysis, diagnosis = read
    assert {s.labels["cpu"]: s.value for s in samples["cpu_busy_ratio"]} == {
        str(core.cpu): core.busy for core in analysis.cores
    }
    shown = [server for server in analysis.servers if server.kind != "cpu"]
    assert sorted(s.value for s in samples["server_occupancy_ratio"]) == sorted(row.occupancy for row in shown)
    assert len(samples["server_utilisation_ratio"]) == len(shown)
    decided = {outcome.id for outcome in diagnosis.outcomes if outcome.state != NOT_DECIDABLE}
    states = {s.labels["signature"]: s.value for s in samples["signature_found"]}
    assert set(states) == decided
    assert {name for name, value in states.items() if value} == {finding.id for finding in diagnosis.findings}
    top = diagnosis.top
    assert top is not None
    (cores,) = samples["finding_cores"]
    assert (cores.labels["signature"], cores.labels["where"], cores.value) == (top.id, top.where, top.severity.ce)
    verdicts = Counter(check.verdict for check in analysis.checks)
    assert {s.labels["verdict"]: s.value for s in samples["quality_checks"]} == {**verdicts, "fail": 0}
    assert sum(s.value for s in samples["lost_packets"]) == sum(loss.packets for loss in analysis.ledger.losses)


def test_the_textfile_collectors_older_format_reads_the_same(read: Read) -> None:
    """The older format has no info and stateset, and takes the other lines that are new for comments."""
    text, _, _ = text_of(read[0])
    assert text.endswith("\n# EOF\n")
    old = [s for family in older.text_string_to_metric_families(text) for s in family.samples]
    new = [s for samples in samples_of(text).values() for s in samples]
    assert [(s.name, s.labels, s.value) for s in old] == [(s.name, s.labels, s.value) for s in new]
    kinds = {line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    assert kinds == {"counter", "gauge"}


def test_labels_are_escaped_and_no_series_comes_twice() -> None:
    """Two devices of the same evil name are one series: a collector refuses a file with a series in it twice."""
    recording = synthetic_recording(seconds=0.5, rate=100.0, peers=3)
    name = 'a"} 1\n# EOF\\'
    objects = recording.table("objects").assign(name=name, netns_name=name, public_key="", endpoint="")
    tables = {table.name: recording.arrow(table.name) for table in TABLES}
    evil = Recording.from_tables(recording.manifest, {**tables, "objects": objects})
    text, _, _ = text_of(evil)
    samples = samples_of(text)
    assert sum(s.value for s in samples["stage_packets"]) == total(evil.table("stages"), "packets")
    (interface,) = {s.labels["interface"] for s in samples["stage_packets"]}
    assert interface == 'a"} 1\N{REPLACEMENT CHARACTER}# EOF\\'
    for found in samples.values():
        assert len({tuple(sorted(s.labels.items())) for s in found}) == len(found)


def test_a_recording_without_traffic_has_totals_and_no_gauges_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.wgprof"
    write_recording(path, {}, {})
    printed = CliRunner().invoke(command, [str(path), "--format", "openmetrics"])
    assert printed.exit_code == 0
    samples = samples_of(printed.stdout)
    assert samples["recording_traffic_seconds"][0].value == 0
    assert "cpu_busy_ratio" not in samples
    written = CliRunner().invoke(command, [str(path), "--format", "openmetrics", "-o", str(tmp_path / "a.prom")])
    assert written.stdout.startswith("Wrote ")
    assert (tmp_path / "a.prom").read_text() == printed.stdout
