"""A recording's totals as OpenMetrics text, for node_exporter's textfile collector or a push gateway.

Counters are of the whole recording, so that they add up with the tables; gauges are of the window with traffic, as
`wgprof show` has them, but for the depths of queues.  Only the types counter and gauge are used: the textfile
collector reads Prometheus' older text format, which is the same for these and refuses OpenMetrics' info and stateset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from wgprof.analysis.cores import BUSY_COLUMNS
from wgprof.analysis.names import clean
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import DIRECTIONS, Tables, direction_of, total
from wgprof.export.places import Places
from wgprof.rules.finding import NOT_DECIDABLE, Diagnosis

_PREFIX = "wgprof_"
#: Characters of a label: a finding's place is the longest.
_LONGEST = 160
_NS = 1e-9


@dataclass
class Family:
    """One metric: a value for each set of labels.  Equal sets, which a damaged recording may have, are put together."""

    name: str  # without the prefix; ends in its unit, if it has one
    meaning: str
    labels: tuple[str, ...] = ()
    counter: bool = False
    unit: str = ""
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def put(self, value: float | None, *labels: object) -> None:
        """Add to a counter, or set a gauge to the greater value; None: not known, and not shown."""
        if value is None:
            return
        key = tuple(clean(label, _LONGEST) for label in labels)
        if self.counter:
            self.values[key] = self.values.get(key, 0) + value
        else:
            self.values[key] = max(self.values.get(key, value), value)

    def metric(self) -> Metric:
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        metric = kind(_PREFIX + self.name, self.meaning, labels=self.labels, unit=self.unit)
        for labels, value in self.values.items():
            metric.add_metric(labels, value)
        return metric


def openmetrics_text(recording: Tables, analysis: Analysis, diagnosis: Diagnosis) -> str:
    """All metrics, ending in `# EOF`."""
    registry = CollectorRegistry()
    registry.register(_Families(families(recording, analysis, diagnosis)))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


class _Families(Collector):
    def __init__(self, found: Iterable[Family]) -> None:
        self._metrics = [family.metric() for family in found if family.values]

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def families(recording: Tables, analysis: Analysis, diagnosis: Diagnosis) -> Iterator[Family]:
    """Every metric; those without a value are empty."""
    places = Places(recording)
    yield from _recording(recording, analysis)
    yield from _stages(recording, places)
    yield from _servers(recording, places)
    yield from _utilisation(analysis, places)
    yield from _queues(recording, places)
    yield from _interfaces(recording, places)
    yield from _cpus(recording, analysis)
    yield from _losses(analysis)
    yield from _findings(diagnosis)
    yield from _quality(analysis)


def _recording(recording: Tables, analysis: Analysis) -> Iterator[Family]:
    manifest = recording.manifest
    facts = (
        manifest.get("writer_version", ""),
        manifest["machine"]["kernel"],
        analysis.variant.name,
        manifest["target"]["kind"],
        str(analysis.anonymized).lower(),
    )
    info = Family("recording_info", "What was recorded; always 1.", ("wgprof", "kernel", "module", "target",
                  "anonymized"))  # fmt: skip
    info.put(1, *facts)
    yield info
    start_s = manifest["clock"]["start_unix_ns"] * _NS
    window = analysis.window
    for name, meaning, value in (
        ("recording_start_timestamp_seconds", "When the recording began, Unix time.", start_s or None),
        ("recording_duration_seconds", "Length of the recording.", manifest["duration_s"]),
        ("recording_traffic_seconds", "Length of the window with traffic, which gauges are of.",
         window.duration_s if window else 0.0),
    ):  # fmt: skip
        family = Family(name, meaning, unit="seconds")
        family.put(value)
        yield family


_PEER = ("interface", "netns", "peer")


def _stages(recording: Tables, places: Places) -> Iterator[Family]:
    table = recording.table("stages")
    labels = (*_PEER, "direction", "stage")
    for column, scale, family in (
        ("packets", 1, Family("stage_packets", "Packets that passed a stage.", labels, True, "packets")),
        ("bytes", 1, Family("stage_bytes", "Their bytes, as the stage saw them.", labels, True, "bytes")),
        ("service_ns", _NS, Family("stage_service_seconds", "CPU time in a stage, without what ran on top of it.",
                                   labels, True, "seconds")),
        ("nested_ns", _NS, Family("stage_nested_seconds", "Time that something else ran on top of a stage.",
                                  labels, True, "seconds")),
        ("failed", 1, Family("stage_failed_packets", "Packets a stage refused or dropped.", labels, True, "packets")),
    ):  # fmt: skip
        for (number, stage), value in _sums(table, ["object", "stage"], column):
            family.put(value * scale, *places.of(number), direction_of(str(stage)), stage)
        yield family


def _servers(recording: Tables, places: Places) -> Iterator[Family]:
    table = recording.table("executions")
    labels = (*_PEER, "server")
    for column, scale, family in (
        ("executions", 1, Family("server_executions", "Work items run and NAPI polls.", labels, True)),
        ("empty", 1, Family("server_empty_executions", "Those that moved no packet.", labels, True)),
        ("busy_ns", _NS, Family("server_busy_seconds", "CPU time of their own, without the stage inside and what ran "
                                "on top.", labels, True, "seconds")),
    ):  # fmt: skip
        for (number, server), value in _sums(table, ["object", "server"], column):
            family.put(value * scale, *places.of(number), server)
        yield family


def _utilisation(analysis: Analysis, places: Places) -> Iterator[Family]:
    labels = (*_PEER, "direction", "server", "cpu")
    used = Family("server_utilisation_ratio", "Busy share of a server's CPUs.", labels, unit="ratio")
    occupied = Family("server_occupancy_ratio", "Share with what ran on top of it; at 1 it is at its cap.", labels,
                      unit="ratio")  # fmt: skip
    cap = Family("server_cap_packets_per_second", "Throughput at which it would always be busy.", labels)
    for row in analysis.servers:
        if row.kind == "cpu":
            continue
        who = (*places.of(row.object), row.direction, row.kind, "all" if row.cpu is None else row.cpu)
        used.put(row.utilisation, *who)
        occupied.put(row.occupancy, *who)
        cap.put(row.cap_pps, *who)
    yield from (used, occupied, cap)


def _queues(recording: Tables, places: Places) -> Iterator[Family]:
    labels = (*_PEER, "queue")
    for column, family in (
        ("packets", Family("queue_offered_packets", "Packets handed to a queue.", labels, True, "packets")),
        ("refused_packets", Family("queue_refused_packets", "Packets a full queue refused.", labels, True, "packets")),
    ):
        for (number, queue), value in _sums(recording.table("arrivals"), ["object", "queue"], column):
            family.put(value, *places.of(number), queue)
        yield family
    mean = Family("queue_depth_mean", "Mean depth on a clock, over the recording: packets, or hand-offs of "
                  "encrypt-ring and tx-queue.", labels)  # fmt: skip
    depths = recording.table("depths")
    looks = dict(_sums(depths, ["object", "queue"], "samples"))
    for (number, queue), value in _sums(depths, ["object", "queue"], "depth_sum"):
        if looks[number, queue]:
            mean.put(value / looks[number, queue], *places.of(number), queue)
    yield mean


def _interfaces(recording: Tables, places: Places) -> Iterator[Family]:
    table = recording.table("interfaces")
    labels = ("interface", "netns", "direction")
    for column, unit, meaning in (
        ("packets", "packets", "Packets by an interface's own counters."),
        ("bytes", "bytes", "Bytes by an interface's own counters."),
        ("errors", "", "Errors by an interface's own counters."),
        ("dropped", "", "Drops by an interface's own counters."),
    ):
        family = Family(f"interface_{column}", meaning, labels, True, unit)
        for direction in DIRECTIONS:
            for (netns, name), value in _sums(table, ["netns", "name"], f"{direction}_{column}"):
                family.put(value, name, places.netns(netns), direction)
        yield family


def _cpus(recording: Tables, analysis: Analysis) -> Iterator[Family]:
    table = recording.table("cpus")
    spent = Family("cpu_seconds", "The kernel's account of each CPU.", ("cpu", "mode"), True, "seconds")
    for column in (*BUSY_COLUMNS, "idle_ns"):
        for (cpu,), value in _sums(table, ["cpu"], column):
            spent.put(value * _NS, cpu, column.removesuffix("_ns"))
    busy = Family("cpu_busy_ratio", "Busy share of a CPU.", ("cpu",), unit="ratio")
    for core in analysis.cores:
        busy.put(core.busy, core.cpu)
    yield from (spent, busy)


def _losses(analysis: Analysis) -> Iterator[Family]:
    labels = ("scope", "cause", "subject", "direction", "silent", "among")
    lost = Family("lost_packets", "Packets lost, by cause; silent: no counter of the kernel has them; among: counted "
                  "with that cause as well.", labels, True, "packets")  # fmt: skip
    for loss in analysis.ledger.losses:
        silent = str(loss.silent).lower()
        lost.put(loss.packets, loss.scope, loss.cause, loss.subject, loss.direction, silent, loss.among)
    missed = Family("recorder_lost", "Events, returns and runs the recorder missed.", ("cause", "where"), True)
    for own in analysis.ledger.recorder:
        missed.put(own.count, own.cause, own.where)
    yield from (lost, missed)


def _findings(diagnosis: Diagnosis) -> Iterator[Family]:
    state = Family("signature_found", "1: found; 0: not, or explained by another; not there: not decidable.",
                   ("signature", "name"))  # fmt: skip
    found = {finding.id for finding in diagnosis.findings}
    for outcome in diagnosis.outcomes:
        known = None if outcome.state == NOT_DECIDABLE else float(outcome.id in found)
        state.put(known, outcome.id, outcome.name)
    labels = ("signature", "name", "kind", "where")
    rank = Family("finding_rank", "Findings, the one to act on first is 1.", (*labels, "limits", "doubtful"))
    cores = Family("finding_cores", "What it costs: CPU seconds a second.", labels)
    lost = Family("finding_lost_packets_per_second", "Packets/s lost, or that could be carried besides.", labels)
    gain = Family("finding_gain_ratio", "Throughput without it over today's, at most.", labels, unit="ratio")
    for number, finding in enumerate(diagnosis.findings, 1):
        who = (finding.id, finding.name, finding.kind, finding.where)
        rank.put(number, *who, str(finding.limits).lower(), str(finding.doubtful).lower())
        cores.put(finding.severity.ce, *who)
        lost.put(finding.severity.lost_pps, *who)
        gain.put(finding.bound.factor, *who)
    yield from (state, rank, cores, lost, gain)


def _quality(analysis: Analysis) -> Iterator[Family]:
    count = Family("quality_checks", "Checks of the recording against itself, by verdict.", ("verdict",))
    verdicts = [check.verdict for check in analysis.checks]
    for verdict in ("ok", "fail", "unknown"):
        count.put(verdicts.count(verdict), verdict)
    failed = Family("quality_check_failed", "1: the check failed, 0: it holds; not there: not decidable.",
                    ("check", "subject"))  # fmt: skip
    for check in analysis.checks:
        failed.put(None if check.verdict == "unknown" else float(check.verdict == "fail"), check.name, check.subject)
    yield from (count, failed)


def _sums(frame: pd.DataFrame, keys: Sequence[str], column: str) -> Iterator[tuple[tuple[object, ...], float]]:
    for key, rows in frame.groupby(list(keys), observed=True, sort=True):
        yield tuple(key), total(rows, column)
