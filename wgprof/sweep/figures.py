"""A sweep as typed tables: figures of each recording, and of each configuration over its repeats."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wgprof.analysis import checks
from wgprof.analysis.estimate import Estimate, student
from wgprof.analysis.names import clean
from wgprof.analysis.servers import Server
from wgprof.analysis.summary import Analysis, analyse
from wgprof.analysis.tables import STAGES, Tables, only, total
from wgprof.analysis.window import Window
from wgprof.model.limits import GSO_MAX_BYTES
from wgprof.model.sums import Sums, data_and_acknowledgements, sums_of
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import DONE, FAILED, Run
from wgprof.sweep.file import SweepFile

#: What can be busy, in the order of the path; a peer's servers by the busiest of them.
SERVERS = ("tx.work", "encrypt.work", "decrypt.work", "rx.napi", "tx.inline", "rx.inline")
#: The share of the NAPIs' polls that delivered nothing.
WASTED = "wasted polls"
_LONGEST_NAME = 120
#: No machine carries more.
_MOST_BPS = 1e15


@dataclass(frozen=True)
class RunFigures:
    """What one recording says.  Rates are bytes that arrived, over the time in which something was sent."""

    number: int
    repeat: int
    goodput_mbit_s: float
    rate_mbit_s: float  # inside the tunnels, by the probes
    packet_bytes: float  # of those delivered; this, and what follows `warning`, of the packets that carry data
    busy_ce: float
    busy_share: float
    utilisation: Mapping[str, float]  # of SERVERS, those that ran
    server_ce: Mapping[str, float]  # of the same, all peers and CPUs together
    wasted_polls: float | None  # share of the NAPIs' polls that delivered nothing
    checks_ok: int
    checks_open: int
    failed: tuple[str, ...]  # checks, with what they are of
    warning: str
    list_packets: float  # segments in a list that is sent at once
    service_ns: Mapping[str, float]  # stage -> mean service time, a packet
    passed_on: float  # what GRO passes on, a delivered packet; no more often than polls deliver


@dataclass(frozen=True)
class Row:
    """A configuration: means over its repeats with 95 % intervals over them (none with one repeat).

    Without a recording (`runs` empty) there are no figures.
    """

    number: int  # from 1
    configuration: Configuration
    label: str
    runs: tuple[RunFigures, ...]
    failures: tuple[str, ...]  # why runs failed
    waiting: int
    goodput_mbit_s: Estimate | None
    busy_ce: Estimate | None
    busy_share: Estimate | None
    utilisation: Mapping[str, Estimate]
    server_ce: Mapping[str, Estimate]
    wasted_polls: Estimate | None

    @property
    def failed_checks(self) -> dict[str, int]:
        """Failed check -> in how many of the recordings."""
        names = [name for run in self.runs for name in dict.fromkeys(run.failed)]
        return {name: names.count(name) for name in dict.fromkeys(names)}

    @property
    def warning(self) -> str:
        """What has to be said first, of packets that were not encrypted."""
        return next((run.warning for run in self.runs if run.warning), "")


def rows_of(file: SweepFile, progress: Callable[[int, int], None] | None = None) -> list[Row]:
    """Analyse every recording of a sweep.  Raises RecordingError if one is damaged."""
    found: dict[int, RunFigures] = {}
    done = file.sweep.in_state(DONE)
    for count, run in enumerate(done, start=1):
        with file.recording(run) as recording:
            found[run.number] = run_figures(run, recording)
        if progress is not None:
            progress(count, len(done))
    axes = file.sweep.axes
    runs_of: dict[Configuration, list[Run]] = {c: [] for c in file.sweep.matrix.configurations}
    for run in sorted(file.sweep.runs, key=lambda run: run.repeat):
        runs_of[run.configuration].append(run)
    return [_row(number, c, c.label(axes), runs, found) for number, (c, runs) in enumerate(runs_of.items(), start=1)]


def run_figures(run: Run, recording: Tables) -> RunFigures:
    """The figures of one recording; all zero if nothing flowed in it."""
    analysis = analyse(recording)
    headline = analysis.headline
    delivered = next((t for t in headline.throughput if t.direction == "rx"), None) if headline else None
    rate = delivered.rate_mbit_s if delivered else 0.0
    verdicts = [check.verdict for check in analysis.checks]
    data = _data(recording, analysis)
    return RunFigures(
        number=run.number,
        repeat=run.repeat,
        goodput_mbit_s=_goodput_mbit_s(recording.manifest.get("results"), rate),
        rate_mbit_s=rate,
        packet_bytes=data.size("rx.deliver"),
        busy_ce=headline.busy_ce if headline else 0.0,
        busy_share=headline.busy_share if headline else 0.0,
        utilisation=_utilisation(analysis.servers),
        server_ce=_server_ce(analysis.servers),
        wasted_polls=_wasted(analysis.servers),
        checks_ok=verdicts.count(checks.OK),
        checks_open=verdicts.count(checks.UNKNOWN),
        failed=tuple(clean(f"{check.name} ({_subject(check)})", _LONGEST_NAME) for check in analysis.failed),
        warning=analysis.variant.warning,
        list_packets=data.packets("tx.stage") / max(total(only(data.stages, stage="tx.stage"), "calls"), 1),
        service_ns={
            stage: data.service_ns(stage) / max(data.packets(stage), 1) for names in STAGES.values() for stage in names
        },
        passed_on=_passed_on(data),
    )


def _subject(check: checks.Check) -> str:
    """Without the peer, whose key is another one in every recording."""
    return check.subject.partition(" › ")[0]


def _goodput_mbit_s(results: object, otherwise: float) -> float:
    """What the receivers counted; where they counted nothing that can be believed, what the probes saw delivered."""
    value = results.get("goodput_bps") if isinstance(results, Mapping) else None
    if type(value) in (int, float) and 0 < float(str(value)) < _MOST_BPS:
        return float(str(value)) / 1e6
    return otherwise


def _data(recording: Tables, analysis: Analysis) -> Sums:
    """What was recorded of the packets that carry data; of all, if there were none."""
    sums = sums_of(recording, analysis.window or Window(0, 0, 0, 0))
    return data_and_acknowledgements(sums)[0] if sums.packets("rx.decrypt") else sums


def _passed_on(data: Sums) -> float:
    """GRO ends with the poll, and at 64 KB."""
    polls = data.productive / max(data.packets("rx.deliver"), 1)
    return min(max(polls, data.size("rx.deliver") / GSO_MAX_BYTES), 1.0)


def _utilisation(servers: Sequence[Server]) -> dict[str, float]:
    """Of a peer's server the busiest peer's; of workers, and of inline, that of all CPUs together."""
    return {
        kind: max(server.utilisation for server in servers if _counts(server, kind))
        for kind in SERVERS
        if any(_counts(server, kind) for server in servers)
    }


def _counts(server: Server, kind: str) -> bool:
    """Whether it is of the kind: a peer's of those that every peer has, else that of all CPUs together."""
    of_peer = kind in ("tx.work", "rx.napi")
    return server.kind == kind and server.cpu is None and of_peer == (server.object is not None)


def _server_ce(servers: Sequence[Server]) -> dict[str, float]:
    """Cores-equivalent of each kind, all peers and CPUs together."""
    return {
        kind: sum(server.busy_ce for server in servers if _counts(server, kind))
        for kind in SERVERS
        if any(_counts(server, kind) for server in servers)
    }


def _wasted(servers: Sequence[Server]) -> float | None:
    naps = [server for server in servers if server.kind == "rx.napi"]
    polls = sum(server.executions for server in naps)
    return sum(server.empty for server in naps) / polls if polls else None


def _row(
    number: int, configuration: Configuration, label: str, runs: Sequence[Run], found: Mapping[int, RunFigures]
) -> Row:
    done = tuple(found[run.number] for run in runs if run.number in found)
    kinds = [kind for kind in SERVERS if any(kind in run.utilisation for run in done)]
    return Row(
        number,
        configuration,
        label,
        done,
        tuple(run.reason for run in runs if run.state == FAILED),
        sum(run.state not in (DONE, FAILED) for run in runs),
        over_repeats([run.goodput_mbit_s for run in done]),
        over_repeats([run.busy_ce for run in done], configuration.cpus),
        over_repeats([run.busy_share for run in done], 1),
        _by_kind(kinds, [run.utilisation for run in done], 1),
        _by_kind(kinds, [run.server_ce for run in done], configuration.cpus),
        over_repeats([run.wasted_polls for run in done if run.wasted_polls is not None], 1),
    )


def _by_kind(kinds: Sequence[str], runs: Sequence[Mapping[str, float]], most: float) -> dict[str, Estimate]:
    return {kind: known for kind in kinds if (known := over_repeats([run.get(kind, 0.0) for run in runs], most))}


def over_repeats(values: Sequence[float], most: float = math.inf) -> Estimate | None:
    """Mean of what is from 0 to `most`, with the 95 % interval of Student's t over repeats; None without a value."""
    if not values:
        return None
    mean, half = mean_and_half(values)
    return Estimate(mean, n=1) if half is None else Estimate(mean, mean - half, mean + half, len(values)).within(most)


def mean_and_half(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of at least one value, and half its 95 % interval; None for one value."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return mean, None
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return mean, student(n - 1) * deviation / math.sqrt(n)
