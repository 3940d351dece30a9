"""Tables as grids: sorted and filtered in the browser, their figures by value and not by their first digit."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
from dash import html
from dash.development.base_component import Component

from wgprof.report.sheets import Sheet

_ROW_PX, _HEADER_PX = 34, 40
#: Taller ones scroll; so do those of more rows, where how tall they are depends on their texts.
_MOST_PX, _MOST_WRAPPED = 560, 40
_LONGEST_TEXT, _MOST_TEXT = 34, 120  # characters: longer cells wrap; longer ones ask for no more room
_LEAST_WRAPPED_PX = 170
#: How a figure begins; a column without any is one of words.
_FIGURES = frozenset("0123456789+-–≥≤×±")
_CHARACTER_PX, _PADDING_PX = 7.2, 34
#: What the columns' words mean, where a reader may not know.
MEANINGS = {
    "CE": "cores-equivalent: CPU seconds per second",
    "busy": "share of the time in which it ran",
    "occupied": "busy, and with what ran on top of it (softirqs, interrupts)",
    "demand/packet": "CPU time that one packet costs it",
    "cap": "throughput at which it would be busy all the time",
    "cap Mbit/s": "the cap in bits, with packets of today's size",
    "p50": "half of all were shorter",
    "p99": "99 of 100 were shorter",
    "empty": "runs that found nothing to do",
    "runs": "executions of its work item, or polls",
    "refused": "packets turned away because the queue was full",
    "Little's law": "mean depth = arrival rate × mean wait: how far what was measured is off",
    "failed": "packets the stage refused or dropped",
    "softirq": "work the kernel does between interrupts and tasks, most of the network's",
    "n": "observations behind the figure",
    "interval": "the true value lies in it with 95 % confidence",
    "threshold": "from where on the figure speaks for the signature",
}


class Grid:
    """A sheet that has rows, with its title."""

    def __init__(self, sheet: Sheet, name: str) -> None:
        self.id = {"kind": "grid", "name": name}
        self.rows: list[dict[str, Any]] = [
            {**{f"c{number}": cell for number, cell in enumerate(cells)}, "kind": kind}
            for cells, kind in zip(sheet.rows, sheet.kinds, strict=True)
        ]
        self._title = sheet.title
        self._columns = [_column(sheet, number) for number in range(len(sheet.columns))]
        self._kinds = sorted(set(sheet.kinds) - {""})
        wraps = any(len(cell) > _LONGEST_TEXT for cells in sheet.rows for cell in cells)
        tall = _HEADER_PX + _ROW_PX * len(self.rows) + 4
        fits = not wraps and tall <= _MOST_PX
        #: None: as high as its rows.
        self._height = None if fits or len(self.rows) <= (_MOST_WRAPPED if wraps else 0) else f"{min(tall, _MOST_PX)}px"

    @property
    def outline(self) -> str:
        """All that is seen but the rows and how wide exactly the columns are."""
        columns = [{k: v for k, v in column.items() if k not in ("flex", "minWidth")} for column in self._columns]
        return repr((self.id, self._title, columns, self._kinds, self._height))

    @property
    def component(self) -> Component:
        """As it stands on a page."""
        options: dict[str, Any] = {
            "theme": {"function": "wgprofTheme(agGrid)"},
            "rowHeight": _ROW_PX,
            "headerHeight": _HEADER_PX,
            "enableCellTextSelection": True,
            "ensureDomOrder": True,
            "suppressColumnVirtualisation": True,
            "tooltipShowDelay": 300,
            "animateRows": False,
            "accentedSort": False,
        }
        if self._height is None:
            options["domLayout"] = "autoHeight"
        shown = dag.AgGrid(
            id=self.id,
            columnDefs=self._columns,
            rowData=self.rows,
            defaultColDef={"resizable": True, "sortable": True, "suppressMovable": True},
            dashGridOptions=options,
            rowClassRules={f"row-{kind}": f"params.data.kind == '{kind}'" for kind in self._kinds},
            style={"height": self._height, "width": "100%"},
            dangerously_allow_code=False,
        )
        return html.Section([html.H2(self._title, className="grid-title"), shown], className="grid")


def _column(sheet: Sheet, number: int) -> dict[str, Any]:
    """A column as wide as its texts, or wider where there is room; long texts wrap."""
    name = str(sheet.columns[number]) or "state"
    texts = [cells[number] for cells in sheet.rows]
    longest = max(map(len, texts))
    wraps = longest > _LONGEST_TEXT
    width = _PADDING_PX + round(_CHARACTER_PX * max(min(longest, _LONGEST_TEXT), 1.15 * len(name)))
    column: dict[str, Any] = {"field": f"c{number}", "headerName": name, "flex": width, "minWidth": width}
    if name in MEANINGS:
        column["headerTooltip"] = MEANINGS[name]
    if number >= sheet.left and any(cell[:1] in _FIGURES for cell in texts if cell):
        column |= {"type": "rightAligned", "comparator": {"function": "byFigure"}}
    if wraps:
        share = round(_CHARACTER_PX * min(longest, _MOST_TEXT))
        column |= {"wrapText": True, "autoHeight": True, "flex": share, "minWidth": _LEAST_WRAPPED_PX}
    return column
