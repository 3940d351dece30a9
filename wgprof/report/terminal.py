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
from wgprof.analysis.summary import Analysis, verdict
from wgprof.analysis.tables import Tables
from wgprof.report import ends, sheets
from wgprof.report.mechanics import mechanics_sheets
from wgprof.report.sampled import sampled_sheets
from wgprof.report.sheets import Sheet

_STYLES = {checks.OK: "green", checks.FAIL: "bold red", checks.UNKNOWN: "yellow", "error": "red", "wait": "dim"}
_PIPE_WIDTH = 160


def print_analysis(analysis: Analysis, recording: Tables, console: Console | None = None) -> None:
    """Print the verdict, then the evidence: stages, servers, queues, CPUs, what is between, ends, quality, log."""
    console = console or Console(highlight=False)
    if not console.is_terminal and console.width < _PIPE_WIDTH:
        console = Console(file=console.file, width=_PIPE_WIDTH, highlight=False)
    for line in verdict(analysis):
        failed = line == analysis.variant.warning or (line.startswith("Quality") and bool(analysis.failed))
        console.print(Text(clean(line, 1000), style="bold red" if failed else "bold"), soft_wrap=True)
    for line in sheets.notes(analysis):
        console.print(Text(line, style="yellow"), soft_wrap=True)
    evidence = [*sheets.pipeline_sheets(analysis), sheets.servers_sheet(analysis), sheets.queues_sheet(analysis)]
    evidence += [sheets.cores_sheet(analysis), *mechanics_sheets(analysis)]
    _print_sheets([*evidence, *sampled_sheets(analysis)], console)
    if analysis.ends is not None:
        console.print()
        for line in ends.lines(analysis.ends):
            console.print(Text(line), soft_wrap=True)
        _print_sheets(ends.ends_sheets(analysis.ends), console)
    _print_sheets([sheets.quality_sheet(analysis), sheets.log_sheet(recording)], console)


def _print_sheets(tables: Sequence[Sheet], console: Console) -> None:
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
