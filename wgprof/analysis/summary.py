"""One call from a recording to everything a screen shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from wgprof.analysis import checks as quality
from wgprof.analysis import units
from wgprof.analysis.batches import PollCost, poll_costs
from wgprof.analysis.checks import Check, Evidence, Overhead
from wgprof.analysis.cores import Core, core_rows
from wgprof.analysis.ends import Ends, ends_within
from wgprof.analysis.held import CryptWait, Held, crypt_waits, held_rows
from wgprof.analysis.histogram import HistogramSums
from wgprof.analysis.journeys import JourneyCounts, Journeys, Sampling, journey_counts
from wgprof.analysis.laws import Laws, laws_of
from wgprof.analysis.ledger import Ledger, ledger_of
from wgprof.analysis.mechanics import METRICS, Mechanics, mechanics_of
from wgprof.analysis.names import Names, clean, names_of
from wgprof.analysis.nodes import Crossing, crossing, nodes_of
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
#: Characters of what a recording says of its construction: a paragraph.
_LONGEST_MARK = 800
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
    constructed: str  # what was measured and what was changed; empty for what was recorded as it is
    anonymized: bool  # labels in the place of keys, addresses and host names
    variant: Variant
    ledger: Ledger
    sampled: Sampled | None  # by perf, if it was asked for
    ends: Ends | None  # both ends of tunnels, if it has them
    outer: OuterPath
    spans: Spans | None  # what intervals are taken over; None when nothing flowed
    polls: Mapping[int, PollCost]  # what polls take by how many packets they deliver, by peer
    laws: Laws
    held: list[Held]
    crypt_waits: list[CryptWait]
    crossing: Crossing | None  # deliveries on another node than the decryption's; None with one node
    mechanics: Mechanics  # what goes on between the stages

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.verdict == quality.FAIL]


def analyse(recording: Tables) -> Analysis:
    """Analyse a recording.  Pure: reads tables, writes nothing."""
    parts = _Parts(recording)
    if parts.window is not None:
        # The two large tables one after the other: joining journeys takes most memory.
        _ = parts.flow_journeys, parts.histograms
    return Analysis(**{each.name: getattr(parts, each.name) for each in fields(Analysis)})


def analyse_part(recording: Tables) -> Analysis:
    """The same of a part of a recording, each figure when somebody asks for it: a page shows a few of them.

    There are no checks and no other end: of a part neither says anything.
    """
    return _Later(_Parts(recording, checked=False))


class _Later(Analysis):
    """An analysis whose fields are made when they are asked for; safe to be used by threads."""

    def __init__(self, parts: _Parts) -> None:
        self.__dict__["_parts"] = parts

    def __getattr__(self, name: str) -> Any:  # of what is not there yet
        if name not in Analysis.__dataclass_fields__:
            raise AttributeError(name)
        return getattr(self.__dict__["_parts"], name)


class _Parts:
    """Every field of an analysis, and what several of them are made of: each is made once, when it is asked for."""

    def __init__(self, recording: Tables, *, checked: bool = True) -> None:
        self._recording = recording
        self._checked = checked

    @cached_property
    def names(self) -> Names:
        return names_of(self._recording.table("objects"))

    @cached_property
    def window(self) -> Window | None:
        return active_window(self._recording.table("intervals"), self._recording.table("stages"))

    @cached_property
    def lab(self) -> bool:
        target = self._recording.manifest.get("target")
        return isinstance(target, dict) and target.get("kind") == "lab"

    @cached_property
    def constructed(self) -> str:
        return clean(self._recording.manifest.get("constructed") or "", _LONGEST_MARK)

    @cached_property
    def anonymized(self) -> bool:
        return self._recording.manifest.get("anonymized") is True

    @cached_property
    def variant(self) -> Variant:
        return variant_of(self._recording.manifest)

    @cached_property
    def sampled(self) -> Sampled | None:
        return sampled_of(self._recording)

    @cached_property
    def flow_journeys(self) -> Journeys:
        return as_part(self._recording).journeys

    @cached_property
    def sampling(self) -> Sampling:
        return Sampling.of(self._recording)

    @cached_property
    def histograms(self) -> HistogramSums:
        assert self.window is not None
        return HistogramSums(self._recording.table("histograms"), self.window, _METRICS)

    @cached_property
    def journeys(self) -> list[JourneyCounts]:
        return journey_counts(self.flow_journeys, self.sampling, self.window) if self.window is not None else []

    @cached_property
    def stages(self) -> list[Stage]:
        if self.window is None:
            return []
        return stage_rows(self._recording.table("stages"), self.histograms, self.window)

    @cached_property
    def waits(self) -> list[Wait]:
        return wait_rows(self.flow_journeys, self.sampling, self.window) if self.window is not None else []

    @cached_property
    def cores(self) -> list[Core]:
        if self.window is None:
            return []
        cpus, stages, executions = (self._recording.table(name) for name in ("cpus", "stages", "executions"))
        return core_rows(cpus, stages, executions, self.window)

    @cached_property
    def servers(self) -> list[Server]:
        if self.window is None:
            return []
        stages, executions = self._recording.table("stages"), self._recording.table("executions")
        inline = self.variant.is_inline
        return server_rows(stages, executions, self.cores, self.names, self.window, inline=inline)

    @cached_property
    def queues(self) -> list[Queue]:
        if self.window is None:
            return []
        journeys, sampling = self.flow_journeys, self.sampling
        return queue_rows(self._recording, self.histograms, journeys, sampling, self.names, self.window)

    @cached_property
    def headline(self) -> Headline | None:
        return _headline(self.stages, self.cores, self.servers) if self.window is not None else None

    @cached_property
    def overhead(self) -> Overhead:
        if self.window is None or self.headline is None:
            return quality.overhead_of(self._recording, 0)
        packets = sum(flow.packets for flow in self.headline.throughput)
        return quality.overhead_of(self._recording, packets / self.window.recorded_s)

    @cached_property
    def ledger(self) -> Ledger:
        return ledger_of(self._recording, self.names, self.journeys)

    @cached_property
    def checks(self) -> list[Check]:
        if not self._checked:
            return []
        names, ledger, overhead = self.names, self.ledger, self.overhead
        if self.window is None or self.headline is None:
            return quality.idle_panel(self._recording, names, ledger, overhead)
        busy_ce, inline = self.headline.busy_ce, self.variant.is_inline
        shown = (names, self.window, self.flow_journeys, self.journeys, self.queues, ledger, overhead, busy_ce, inline)
        return quality.panel(self._recording, Evidence(*shown))

    @cached_property
    def ends(self) -> Ends | None:
        wanted = self._checked and self.window is not None
        return ends_within(self._recording, self.flow_journeys) if wanted else None

    @cached_property
    def outer(self) -> OuterPath:
        return outer_path(self._recording, self.window) if self.window is not None else OuterPath()

    @cached_property
    def spans(self) -> Spans | None:
        return spans_of(self._recording, self.window) if self.window is not None else None

    @cached_property
    def laws(self) -> Laws:
        if self.spans is None:
            return Laws()
        stages, executions, cpus = (self._recording.table(name) for name in ("stages", "executions", "cpus"))
        return laws_of(stages, executions, cpus, self.servers, self.cores, self.names, self.spans, self.polls)

    @cached_property
    def polls(self) -> Mapping[int, PollCost]:
        return poll_costs(self.flow_journeys, self.sampling, self.window) if self.window is not None else {}

    @cached_property
    def held(self) -> list[Held]:
        if self.window is None or self.spans is None:
            return []
        return held_rows(self.flow_journeys, self.spans, self.window)

    @cached_property
    def crypt_waits(self) -> list[CryptWait]:
        return crypt_waits(self.flow_journeys, self.window) if self.window is not None else []

    @cached_property
    def crossing(self) -> Crossing | None:
        if self.window is None or self.spans is None:
            return None
        return crossing(self.flow_journeys, nodes_of(self._recording.manifest), self.spans, self.window)

    @cached_property
    def mechanics(self) -> Mechanics:
        return mechanics_of(self._recording, self.histograms, self.window) if self.window is not None else Mechanics()


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
    """How busy a server is, in a sentence: by its occupancy, which is what makes it the busiest."""
    occupied, busy, ce = units.share(server.occupancy), units.share(server.utilisation), units.cores(server.busy_ce)
    if occupied == busy:
        return f"{busy} busy ({ce})"
    return f"{occupied} occupied, with its own work ({busy}, {ce}) and what runs on top of it"


def server_words(server: Server) -> str:
    """What is said below the occupancy of a busiest server: whose it is, its own work, and its cap."""
    own = f"its own work {units.share(server.utilisation)}, {units.cores(server.busy_ce)}"
    return f"{server.label}; {own}; {server.caps} {units.bits(server.cap_mbit_s)}"


def limits_line(headline: Headline) -> str:
    """The busiest server of each direction, by occupancy, and its cap."""
    parts = []
    for flow in headline.throughput:
        server = flow.server
        if server is None:
            continue
        parts.append(
            f"{DIRECTION_NAMES[flow.direction]}: {server.label} is {busy_words(server)},"
            f" {server.caps} {units.rate(server.cap_pps)}"
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
