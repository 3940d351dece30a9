"""One call from a recording to everything a screen shows of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from wgprof.analysis import checks as quality
from wgprof.analysis import units
from wgprof.analysis.checks import Check, Evidence, Overhead
from wgprof.analysis.cores import Core, core_rows
from wgprof.analysis.ends import Ends, ends_within
from wgprof.analysis.held import CryptWait, Held, crypt_waits, held_rows
from wgprof.analysis.histogram import HistogramSums
from wgprof.analysis.journeys import JourneyCounts, Sampling, journey_counts
from wgprof.analysis.laws import Laws, laws_of
from wgprof.analysis.ledger import Ledger, ledger_of
from wgprof.analysis.mechanics import METRICS, Mechanics, mechanics_of
from wgprof.analysis.names import Names, names_of
from wgprof.analysis.outer import OuterPath, outer_path
from wgprof.analysis.queues import Queue, queue_rows
from wgprof.analysis.sampled import Sampled, sampled_of
from wgprof.analysis.selection import as_part
from wgprof.analysis.servers import Server, busiest, server_rows
from wgprof.analysis.spans import Spans, spans_of
from wgprof.analysis.stages import Stage, stage_rows
from wgprof.analysis.tables import DIRECTIONS, LIMITS, STAGES, Tables
from wgprof.analysis.variant import Variant, variant_of
from wgprof.analysis.waits import Wait, wait_rows
from wgprof.analysis.window import Window, active_window

#: From this mean share on it is worth saying that the CPUs themselves are the nearest limit.
_CPUS_MATTER = 0.7
#: The histograms that are looked at.
_METRICS = (
    *(f"{stage}.service" for direction in DIRECTIONS for stage in STAGES[direction]),
    *(f"{queue}.depth" for queue in LIMITS),
    *METRICS,
)
DIRECTION_NAMES = {"tx": "transmit", "rx": "receive"}


@dataclass(frozen=True)
class Throughput:
    """What left the last stage of one direction, and the server that would cap it first."""

    direction: str
    packets: int
    rate_pps: float
    rate_mbit_s: float
    mean_bytes: float
    server: Server | None


@dataclass(frozen=True)
class Headline:
    """The answer in a few numbers."""

    throughput: tuple[Throughput, ...]
    cpus: int
    busy_ce: float
    busiest_cpu: int | None
    busiest_cpu_share: float

    @property
    def busy_share(self) -> float:
        """Mean over the CPUs."""
        return self.busy_ce / self.cpus if self.cpus else 0.0


@dataclass(frozen=True)
class Analysis:
    """Everything derived from a recording.  `window` and `headline` are None when nothing flowed."""

    names: Names
    window: Window | None
    headline: Headline | None
    stages: list[Stage]
    waits: list[Wait]
    queues: list[Queue]
    cores: list[Core]
    servers: list[Server]
    journeys: list[JourneyCounts]
    overhead: Overhead
    checks: list[Check]
    lab: bool
    variant: Variant
    ledger: Ledger
    sampled: Sampled | None  # by perf, if it was asked for
    ends: Ends | None = None  # both ends of tunnels, if it has them
    outer: OuterPath = field(default_factory=OuterPath)
    spans: Spans | None = None  # what intervals are taken over; None when nothing flowed
    laws: Laws = field(default_factory=Laws)
    held: list[Held] = field(default_factory=list)
    crypt_waits: list[CryptWait] = field(default_factory=list)
    mechanics: Mechanics = field(default_factory=Mechanics)  # what goes on between the stages

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.verdict == quality.FAIL]


def analyse(recording: Tables, *, checked: bool = True) -> Analysis:
    """Analyse a recording.  Pure: reads tables, writes nothing.

    Without `checked` there are no checks and no other end: of a part of a recording neither says anything.
    """
    names = names_of(recording.table("objects"))
    intervals, stages = recording.table("intervals"), recording.table("stages")
    executions, cpus = recording.table("executions"), recording.table("cpus")
    manifest = recording.manifest
    target = manifest.get("target")
    lab = isinstance(target, dict) and target.get("kind") == "lab"
    variant, sampled = variant_of(manifest), sampled_of(recording)
    window = active_window(intervals, stages)
    if window is None:
        overhead, ledger = quality.overhead_of(recording, 0), ledger_of(recording, names, [])
        checks = quality.idle_panel(recording, names, ledger, overhead) if checked else []
        return Analysis(names, None, None, [], [], [], [], [], [], overhead, checks, lab, variant, ledger, sampled)

    # The two large tables one after the other: joining journeys takes most memory.
    journeys = as_part(recording).journeys
    histograms = HistogramSums(recording.table("histograms"), window, _METRICS)
    sampling = Sampling(intervals)
    counts = journey_counts(journeys, sampling, window)
    stage_list = stage_rows(stages, histograms, window)
    cores = core_rows(cpus, stages, executions, window)
    servers = server_rows(stages, executions, cores, names, window, inline=variant.is_inline)
    queues = queue_rows(recording, histograms, journeys, sampling, names, window)
    headline = _headline(stage_list, cores, servers)
    overhead = quality.overhead_of(recording, sum(t.packets for t in headline.throughput) / window.recorded_s)
    ledger, inline = ledger_of(recording, names, counts), variant.is_inline
    evidence = Evidence(names, window, journeys, counts, queues, ledger, overhead, headline.busy_ce, inline)
    checks = quality.panel(recording, evidence) if checked else []
    waits = wait_rows(journeys, sampling, window)
    ends = ends_within(recording, journeys) if checked else None
    spans = spans_of(recording, window)
    laws = laws_of(stages, executions, cpus, servers, cores, names, spans)
    held, by_cpu = held_rows(journeys, spans, window), crypt_waits(journeys, window)
    parts = (names, window, headline, stage_list, waits, queues, cores, servers, counts, overhead, checks, lab)
    outer, mechanics = outer_path(recording, window), mechanics_of(recording, histograms, window)
    return Analysis(*parts, variant, ledger, sampled, ends, outer, spans, laws, held, by_cpu, mechanics)


def _headline(stages: list[Stage], cores: list[Core], servers: list[Server]) -> Headline:
    flows = []
    for direction in DIRECTIONS:
        (last,) = (s for s in stages if s.stage == STAGES[direction][2] and s.object is None)
        flows.append(
            Throughput(
                direction, last.packets, last.rate_pps, last.rate_mbit_s, last.mean_bytes, busiest(servers, direction)
            )
        )
    hottest = max(cores, key=lambda core: core.busy, default=None)
    return Headline(
        tuple(flows),
        len(cores),
        sum(core.busy for core in cores),
        hottest.cpu if hottest else None,
        hottest.busy if hottest else 0.0,
    )


def speed_line(analysis: Analysis) -> str:
    """What flowed, and how busy the CPUs were; empty when nothing flowed."""
    if analysis.headline is None or analysis.window is None:
        return ""
    flows = "; ".join(
        f"{DIRECTION_NAMES[f.direction]} {units.bits(f.rate_mbit_s)} ({units.rate(f.rate_pps)})"
        for f in analysis.headline.throughput
    )
    speed = f"{flows}, over {analysis.window.duration_s:.1f} s. {_cpus(analysis.headline)}"
    return speed[0].upper() + speed[1:]


def _cpus(headline: Headline) -> str:
    if not headline.cpus:
        return "CPU times are not known."
    text = f"CPUs {units.share(headline.busy_share)} busy ({headline.busy_ce:.2f} of {headline.cpus} CE)"
    if headline.busiest_cpu is not None and headline.busiest_cpu_share > headline.busy_share + 0.1:
        text += f", CPU {headline.busiest_cpu} {units.share(headline.busiest_cpu_share)}"
    return text + "."


def busy_words(server: Server) -> str:
    """How busy a server is, in a sentence; and with what ran on top of it, where that is more."""
    text = f"{units.share(server.utilisation)} busy ({units.cores(server.busy_ce)})"
    more = server.occupancy >= server.utilisation + 0.01
    return f"{text}, {units.share(server.occupancy)} with what runs on top of it" if more else text


def limits_line(headline: Headline) -> str:
    """The busiest server of each direction and its cap."""
    parts = []
    for flow in headline.throughput:
        server = flow.server
        if server is None:
            continue
        parts.append(
            f"{DIRECTION_NAMES[flow.direction]}: {server.label} is {busy_words(server)},"
            f" {server.caps} at {units.rate(server.cap_pps)}"
            f" ({units.bits(server.cap_mbit_s)})"
        )
    if not parts:
        return "No server's busy time was measured."
    text = "Busiest server, " + "; ".join(parts) + "."
    nearer = all(f.server is None or f.server.occupancy < headline.busy_share for f in headline.throughput)
    if nearer and headline.busy_share >= _CPUS_MATTER:
        text += f" All CPUs together are nearer their limit: ×{1 / headline.busy_share:.2f} at most."
    return text


def quality_line(analysis: Analysis) -> str:
    """How far the recording can be trusted, in one line."""
    verdicts = [check.verdict for check in analysis.checks]
    good, bad, open_ = (verdicts.count(kind) for kind in (quality.OK, quality.FAIL, quality.UNKNOWN))
    if not bad:
        text = f"Quality: all {good} decidable checks hold"
        return text + (f", {open_} could not be decided." if open_ else ".")
    worst = ", ".join(dict.fromkeys(f"{check.name} ({check.subject})" for check in analysis.failed[:3]))
    more = f" and {bad - 3} more" if bad > 3 else ""
    return f"Quality: {bad} of {good + bad} checks FAILED: {worst}{more}. Read the figures with that in mind."
