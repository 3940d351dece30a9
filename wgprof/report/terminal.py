"""The analysis as tables on a terminal.

Every string is wrapped in rich's Text, never in markup, after `clean` took out its control
characters: a recording cannot colour, move or hide anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wgprof.analysis import checks, units
from wgprof.analysis.names import clean
from wgprof.analysis.queues import Queue
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis, verdict
from wgprof.analysis.tables import DIRECTIONS, STAGES, WAITS, Tables

_MARKS = {checks.OK: ("ok", "green"), checks.FAIL: ("FAIL", "bold red"), checks.UNKNOWN: ("open", "yellow")}
_PIPE_WIDTH = 160
_LOG_LINES = 20


def print_analysis(analysis: Analysis, recording: Tables, console: Console | None = None) -> None:
    """Print the verdict, then the evidence: pipeline, servers, queues, CPUs, quality panel, log."""
    console = console or Console(highlight=False)
    if not console.is_terminal and console.width < _PIPE_WIDTH:
        console = Console(file=console.file, width=_PIPE_WIDTH, highlight=False)
    for line in verdict(analysis):
        failed = line.startswith("Quality") and bool(analysis.failed)
        console.print(Text(clean(line, 1000), style="bold red" if failed else "bold"))
    for line in notes(analysis):
        console.print(Text(line, style="yellow"))
    if analysis.window is not None:
        for direction in DIRECTIONS:
            _print(console, _pipeline(analysis, direction))
        _print(console, _servers(analysis))
        _print(console, _queues(analysis))
        _print(console, _cores(analysis))
    _print(console, _quality(analysis))
    _print(console, _log(recording))


def notes(analysis: Analysis) -> list[str]:
    """What the reader must know before believing a number."""
    lines = []
    if analysis.lab:
        lines.append("Recorded in the lab: absolute speed is the emulator's; counts, orders and ratios are real.")
    window = analysis.window
    if window is not None and window.trimmed:
        end_s = window.offset_s + window.duration_s
        lines.append(
            f"Averages are over the {window.duration_s:.1f} s with traffic"
            f" ({window.offset_s:.1f} s to {end_s:.1f} s of {window.recorded_s:.1f} s)."
        )
    return lines


def _print(console: Console, table: Table) -> None:
    if table.row_count:
        console.print()
        console.print(table)


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", no_wrap=number >= left, overflow="fold")
    return table


def _row(table: Table, cells: Iterable[str], style: str = "") -> None:
    table.add_row(*(Text(cell) for cell in cells), style=style)


def _pipeline(analysis: Analysis, direction: str) -> Table:
    title = f"{DIRECTION_NAMES[direction].capitalize()}: stages and waits in order"
    table = _table(title, "step", "packets/s", "Mbit/s", "mean", "p50", "p99", "busy", "failed", "CPUs")
    waits = {w.wait: w for w in analysis.waits if w.object is None}
    stages = {s.stage: s for s in analysis.stages if s.object is None}
    if not any(stages[name].packets for name in STAGES[direction]):
        return table
    for number, name in enumerate(STAGES[direction]):
        if number:
            wait = waits[WAITS[direction][number - 1]]
            times = [units.duration(t) for t in (wait.mean_ns, wait.p50_ns, wait.p99_ns)]
            _row(table, [f"  {wait.wait}", "", "", *times, "", "", ""], style="dim")
        stage = stages[name]
        times = [units.duration(t) for t in (stage.service_mean_ns, stage.service_p50_ns, stage.service_p99_ns)]
        ran_on = ",".join(map(str, stage.cpus[:8])) + ("…" if len(stage.cpus) > 8 else "")
        rates = [units.digits(stage.rate_pps, 4), units.digits(stage.rate_mbit_s)]
        _row(table, [name, *rates, *times, units.cores(stage.busy_ce), units.count(stage.failed), ran_on])
    return table


def _servers(analysis: Analysis) -> Table:
    table = _table(
        "Servers: what can be busy", "server", "busy", "CE", "demand/packet", "cap", "cap Mbit/s", "runs", "empty"
    )
    for s in analysis.servers:
        empty = units.share(s.empty / s.executions) if s.executions else ""
        cap = "" if s.cap_pps is None else units.rate(s.cap_pps)
        speed = "" if s.cap_mbit_s is None else units.digits(s.cap_mbit_s)
        demand = "" if s.demand_ns is None else units.duration(s.demand_ns)
        runs = units.count(s.executions) if s.executions else ""
        _row(table, [s.label, units.share(s.utilisation), f"{s.busy_ce:.2f}", demand, cap, speed, runs, empty])
    return table


def _queues(analysis: Analysis) -> Table:
    table = _table(
        "Queues: depth on a clock",
        "queue",
        "of",
        "holds",
        "mean",
        "p99",
        "max",
        "limit",
        "refused",
        "Little's law",
        left=3,
    )
    for q in analysis.queues:
        depths = ["–" if q.depth_mean is None else units.digits(q.depth_mean)]
        depths += [units.count(q.depth_p99), units.count(q.depth_max)]
        label = analysis.names.label(q.object)
        _row(table, [q.queue, label, q.unit, *depths, units.count(q.limit), units.count(q.refused_packets), _law(q)])
    return table


def _law(queue: Queue) -> str:
    law = queue.law
    if law is None:
        return ""
    if law.residual is None:
        return "open"
    between = "" if law.residual_interval is None else f" ±{law.residual_interval * 100:.1f}"
    return f"{law.residual * 100:+.1f}{between} % {_MARKS[law.verdict][0]}"


def _cores(analysis: Analysis) -> Table:
    tracks = list(analysis.cores[0].measured) if analysis.cores else []
    table = _table(
        "CPUs: the kernel's account, and of that what was measured", "CPU", "busy", "system", "softirq", *tracks
    )
    for core in analysis.cores:
        shares = [core.busy, core.system, core.softirq, *(core.measured[track] for track in tracks)]
        _row(table, [str(core.cpu), *(units.share(value) for value in shares)])
    return table


def _quality(analysis: Analysis) -> Table:
    table = _table("Quality: does the recording agree with itself?", "", "check", "subject", "result", left=4)
    for check in checks.worst_first(analysis.checks):
        mark, style = _MARKS[check.verdict]
        table.add_row(
            Text(mark, style=style), Text(check.name), Text(clean(check.subject, 80)), Text(clean(check.detail, 400))
        )
    return table


def _log(recording: Tables) -> Table:
    table = _table("Log", "level", "topic", "what happened", left=3)
    log = recording.table("log")
    for row in log[log["level"] != "info"].tail(_LOG_LINES).to_dict("records"):
        _row(table, [clean(row["level"], 16), clean(row["topic"], 16), clean(row["message"], 300)])
    return table
