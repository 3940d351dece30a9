"""The tables of an analysis as text, for the terminal and for the page alike.

Cells are plain text whose control characters are gone; whoever draws them escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wgprof.analysis import checks, units
from wgprof.analysis.names import clean
from wgprof.analysis.queues import Queue
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import DIRECTIONS, PEER_QUEUES, RINGS, STAGES, WAITS, Tables

#: More rows than this are for `--json`.
_MOST_ROWS = 100
_MOST_LOG_LINES = 50
MARKS = {checks.OK: "ok", checks.FAIL: "FAIL", checks.UNKNOWN: "open"}
_NOTHING = "–"


@dataclass(frozen=True)
class Sheet:
    """A table: the first `left` columns are words, the others figures; `kinds` gives each row a style."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    left: int = 1
    kinds: list[str] = field(default_factory=list)

    def add(self, cells: list[str], kind: str = "") -> None:
        """Append a row; beyond the most rows only the fact that there are more."""
        if len(self.rows) < _MOST_ROWS:
            self.rows.append(cells)
            self.kinds.append(kind)
        elif len(self.rows) == _MOST_ROWS:
            self.rows.append(["more: see wgprof show --json", *[""] * (len(self.columns) - 1)])
            self.kinds.append("")


def notes(analysis: Analysis) -> list[str]:
    """What the reader must know before believing a number."""
    lines = [analysis.variant.note] if analysis.variant.note else []
    if analysis.variant.is_inline:
        lines.append(
            "Inline: no ring, worker or peer queue lies between the stages. tx.encrypt.wait and rx.decrypt.wait are"
            " zero by construction, but for segments of one list, which wait for those before them; rx.deliver.wait is"
            " the time in the cell of a CPU, tx.send.wait that until a list's last segment is encrypted."
        )
    if analysis.lab:
        lines.append("Recorded in the lab: absolute speed is the emulator's; counts, orders and ratios are real.")
    if analysis.anonymized:
        lines.append("Anonymised: peer-N, addr-N and host-N stand for public keys, addresses and host names.")
    window = analysis.window
    if window is not None and window.trimmed:
        end_s = window.offset_s + window.duration_s
        lines.append(
            f"Averages are over the {window.duration_s:.1f} s with traffic"
            f" ({window.offset_s:.1f} s to {end_s:.1f} s of {window.recorded_s:.1f} s)."
        )
    if analysis.spans is not None and analysis.spans.idle_s >= 1:
        lines.append(
            f"Findings leave out the {analysis.spans.idle_s:.1f} s in which no WireGuard interface moved a byte."
        )
    return lines


def pipeline_sheets(analysis: Analysis) -> list[Sheet]:
    """For each direction with traffic its stages and waits in order."""
    return [_pipeline(analysis, direction) for direction in DIRECTIONS if _flowed(analysis, direction)]


def _flowed(analysis: Analysis, direction: str) -> bool:
    return any(stage.packets for stage in analysis.stages if stage.direction == direction)


def _pipeline(analysis: Analysis, direction: str) -> Sheet:
    title = f"{DIRECTION_NAMES[direction].capitalize()}: stages and waits in order"
    sheet = Sheet(title, ("step", "packets/s", "Mbit/s", "mean", "p50", "p99", "busy", "failed", "CPUs"))
    waits = {w.wait: w for w in analysis.waits if w.object is None}
    stages = {s.stage: s for s in analysis.stages if s.object is None}
    for number, name in enumerate(STAGES[direction]):
        if number:
            wait = waits[WAITS[direction][number - 1]]
            times = [units.duration(t) for t in (wait.mean_ns, wait.p50_ns, wait.p99_ns)]
            sheet.add([f"  {wait.wait}", "", "", *times, "", "", ""], "wait")
        stage = stages[name]
        times = [units.duration(t) for t in (stage.service_mean_ns, stage.service_p50_ns, stage.service_p99_ns)]
        ran_on = ",".join(map(str, stage.cpus[:8])) + ("…" if len(stage.cpus) > 8 else "")
        rates = [units.digits(stage.rate_pps, 4), units.digits(stage.rate_mbit_s)]
        sheet.add([name, *rates, *times, units.cores(stage.busy_ce), units.count(stage.failed), ran_on])
    return sheet


def servers_sheet(analysis: Analysis) -> Sheet:
    """What can cap throughput: servers of one peer, and the workers of all CPUs.  Single CPUs are in `cores_sheet`."""
    columns = ("server", "busy", "CE", "occupied", "demand/packet", "cap", "cap Mbit/s", "runs", "empty")
    sheet = Sheet("Servers: what can be busy", columns)
    for s in (server for server in analysis.servers if server.cpu is None):
        demand = "" if s.demand_ns is None else units.duration(s.demand_ns)
        least = "≥ " if s.cap_is_least else ""
        cap = "" if s.cap_pps is None else least + units.rate(s.cap_pps)
        speed = "" if s.cap_mbit_s is None else least + units.digits(s.cap_mbit_s)
        runs = units.count(s.executions) if s.executions else ""
        empty = units.share(s.empty / s.executions) if s.executions else ""
        busy, occupied = units.share(s.utilisation), units.share(s.occupancy)
        sheet.add([s.label, busy, f"{s.busy_ce:.2f}", occupied, demand, cap, speed, runs, empty])
    return sheet


def queues_sheet(analysis: Analysis) -> Sheet:
    """Every queue that held something."""
    columns = ("queue", "of", "holds", "mean", "p99", "max", "limit", "refused", "Little's law")
    sheet = Sheet("Queues: depth on a clock", columns, left=3)
    for q in analysis.queues:
        mean = _NOTHING if q.depth_mean is None else units.digits(q.depth_mean)
        depths = [mean, units.count(q.depth_p99), units.count(q.depth_max)]
        label = analysis.names.label(q.object)
        sheet.add([q.queue, label, q.unit, *depths, units.count(q.limit), units.count(q.refused_packets), _law(q)])
    held = {q.queue for q in analysis.queues}
    absent = [name for name in (*RINGS.values(), *PEER_QUEUES.values()) if name not in held]
    for name in absent if analysis.variant.is_inline else ():
        sheet.add([name, _NOTHING, "no such queue: inline", *[""] * (len(columns) - 3)])
    return sheet


def _law(queue: Queue) -> str:
    law = queue.law
    if law is None:
        return ""
    if law.residual is None:
        return MARKS[checks.UNKNOWN]
    between = "" if law.residual_interval is None else f" ±{law.residual_interval * 100:.1f}"
    return f"{law.residual * 100:+.1f}{between} % {MARKS[law.verdict]}"


def cores_sheet(analysis: Analysis) -> Sheet:
    """The CPUs."""
    tracks = list(analysis.cores[0].measured) if analysis.cores else []
    columns = ("CPU", "busy", "system", "softirq", *tracks)
    sheet = Sheet("CPUs: the kernel's account, and of that what was measured", columns)
    for core in analysis.cores:
        shares = [core.busy, core.system, core.softirq, *(core.measured[track] for track in tracks)]
        sheet.add([str(core.cpu), *(units.share(value) for value in shares)])
    return sheet


def quality_sheet(analysis: Analysis, only_failed: bool = False) -> Sheet:
    """The quality panel, failures first."""
    sheet = Sheet("Quality: does the recording agree with itself?", ("", "check", "subject", "result"), left=4)
    for check in checks.worst_first(analysis.failed if only_failed else analysis.checks):
        detail = clean(check.detail, 400)
        if check.verdict == checks.FAIL and check.taints:
            detail += f"; doubtful: {', '.join(check.taints)}"
        sheet.add([MARKS[check.verdict], check.name, clean(check.subject, 80), detail], check.verdict)
    return sheet


def log_sheet(recording: Tables, least: Sequence[str] = ("warning", "error")) -> Sheet:
    """What happened while recording."""
    sheet = Sheet("Log", ("at", "level", "topic", "what happened"), left=4)
    log, intervals = recording.table("log"), recording.table("intervals")
    start_ns = int(intervals["t_ns"].min()) if len(intervals) else None
    for row in log[log["level"].isin(list(least))].tail(_MOST_LOG_LINES).to_dict("records"):
        at = "" if start_ns is None else f"{(int(row['t_ns']) - start_ns) / 1e9:.1f} s"
        level = clean(row["level"], 16)
        sheet.add([at, level, clean(row["topic"], 16), clean(row["message"], 300)], level)
    return sheet
