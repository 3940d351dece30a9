"""The analysis on a terminal.

Every string goes through `clean` and into rich's Text, never into markup: a recording cannot
colour, move or hide anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from wgprof.analysis import checks
from wgprof.analysis.names import clean
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.report import comparison as comparing
from wgprof.report import ends, findings, losses, outer, sheets
from wgprof.report.mechanics import mechanics_sheets
from wgprof.report.sampled import sampled_sheets
from wgprof.report.sheets import Sheet
from wgprof.rules.comparison import Comparison
from wgprof.rules.finding import Diagnosis
from wgprof.rules.verdict import verdict

_STYLES = {checks.OK: "green", checks.FAIL: "bold red", checks.UNKNOWN: "yellow", "error": "red", "wait": "dim"}
_PIPE_WIDTH = 160


def print_analysis(analysis: Analysis, diagnosis: Diagnosis, recording: Tables, console: Console | None = None) -> None:
    """Print the verdict, then the evidence: findings, pipeline, servers, queues, CPUs, what is between the stages, both
    ends; then what was ruled out, the quality panel and the log."""
    console = wide(console)
    for line in verdict(analysis, diagnosis):
        failed = line == analysis.variant.warning or (line.startswith("Quality") and bool(analysis.failed))
        console.print(Text(clean(line, 1000), style="bold red" if failed else "bold"), soft_wrap=True)
    for line in sheets.notes(analysis):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    _print_findings(diagnosis, console)
    evidence = [*sheets.pipeline_sheets(analysis), sheets.servers_sheet(analysis), sheets.queues_sheet(analysis)]
    evidence += [sheets.cores_sheet(analysis), *outer.outer_sheets(analysis), *mechanics_sheets(analysis)]
    print_sheets([*evidence, *sampled_sheets(analysis)], console)
    if analysis.ends is not None:
        console.print()
        for line in ends.lines(analysis.ends):
            console.print(Text(line), soft_wrap=True)
        print_sheets(ends.ends_sheets(analysis.ends), console)
    ruled_out = [findings.ruled_out_sheet(diagnosis)] if analysis.window is not None else []
    quality = [losses.ledger_sheet(analysis), sheets.quality_sheet(analysis), losses.meanings_sheet(analysis)]
    print_sheets([*ruled_out, *quality, sheets.log_sheet(recording)], console)


def print_comparison(comparison: Comparison, names: tuple[str, str], console: Console | None = None) -> None:
    """Print what changed in three lines, then every figure, then how it was judged."""
    console = wide(console)
    names = (clean(names[0], 40), clean(names[1], 40))
    for line in comparing.lines(comparison, names):
        console.print(Text(clean(line, 1000), style="bold"), soft_wrap=True)
    console.print(Text(comparing.ONE_RUN, style="yellow"), soft_wrap=True)
    print_sheets(comparing.comparison_sheets(comparison, names), console)
    console.print()
    console.print(Text(comparing.TEST), soft_wrap=True)


def wide(console: Console | None) -> Console:
    """The console to print on; a pipe has no width of its own."""
    console = console or Console(highlight=False)
    if not console.is_terminal and console.width < _PIPE_WIDTH:
        console = Console(file=console.file, width=_PIPE_WIDTH, highlight=False)
    return console


def _print_findings(diagnosis: Diagnosis, console: Console) -> None:
    for shown in findings.shown_findings(diagnosis):
        console.print()
        console.print(Text(shown.title, style="bold"), soft_wrap=True)
        for line in shown.lines:
            console.print(Text(line), soft_wrap=True)
        for number, (text, command) in enumerate(shown.steps, 1):
            console.print(Text(f"{number}. {text}"), soft_wrap=True)
            if command:
                console.print(Text(f"     {command}"), soft_wrap=True)
        console.print(_table(shown.evidence))


def print_sheets(tables: Sequence[Sheet], console: Console) -> None:
    """Print the tables that have rows, each after an empty line."""
    for sheet in tables:
        if sheet.rows:
            console.print()
            console.print(_table(sheet))


def _table(sheet: Sheet) -> Table:
    table = Table(
        title=Text(sheet.title),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for number, column in enumerate(sheet.columns):
        words = number < sheet.left
        table.add_column(Text(column), justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for cells, kind in zip(sheet.rows, sheet.kinds, strict=True):
        style = _STYLES.get(kind, "")
        # Of a check only its mark is coloured; the rest must stay readable.
        marked = kind in sheets.MARKS
        table.add_row(*(Text(c, style=style if not marked or n == 0 else "") for n, c in enumerate(cells)))
    return table
