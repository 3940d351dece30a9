"""What a report consists of: a section for each view, with its figures and its tables."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from wgprof.analysis.coarser import for_screens
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.report import comparison as comparing
from wgprof.report import losses, outer, sheets
from wgprof.report.mechanics import mechanics_sheets
from wgprof.report.sampled import sampled_sheets
from wgprof.report.sheets import Sheet
from wgprof.rules.comparison import Comparison
from wgprof.views import compare, quality
from wgprof.views.catalogue import VIEWS, pictures
from wgprof.views.picture import Picture


@dataclass(frozen=True)
class Section:
    """A view on a page; `missing` says why there is no figure."""

    name: str
    title: str
    sentence: str
    pictures: list[Picture] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    missing: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.pictures and not any(sheet.rows for sheet in self.sheets)


def sections_of(recording: Tables, analysis: Analysis) -> list[Section]:
    """Every view of a recording, the whole of it."""
    part = for_screens(recording)
    return [
        Section(
            view.name,
            view.title,
            view.sentence,
            list(pictures(view, part, analysis, Selection())),
            view_sheets(view.name, analysis),
            view.missing(part, analysis),
        )
        for view in VIEWS
    ]


def comparison_section(comparison: Comparison, names: tuple[str, str]) -> Section:
    """The two recordings of a comparison."""
    view = compare.VIEW
    tables = comparing.comparison_sheets(comparison, names)
    return Section(view.name, view.title, view.sentence, compare.pictures_of(comparison, names), tables)


def view_sheets(name: str, analysis: Analysis) -> list[Sheet]:
    """The tables behind the figures of the view of that name."""
    if name == quality.VIEW.name:
        return [losses.ledger_sheet(analysis), sheets.quality_sheet(analysis), losses.meanings_sheet(analysis)]
    if analysis.window is None or name not in _SHEETS:
        return []
    return _SHEETS[name](analysis)


#: By the name of the view; each asks the analysis for nothing but its own.
_SHEETS: Mapping[str, Callable[[Analysis], list[Sheet]]] = {
    "pipeline": lambda analysis: [*sheets.pipeline_sheets(analysis), sheets.servers_sheet(analysis)],
    "cores": lambda analysis: [sheets.cores_sheet(analysis), *outer.outer_sheets(analysis)],
    "queues": lambda analysis: [sheets.queues_sheet(analysis)],
    "wakeups": mechanics_sheets,
    "stacks": sampled_sheets,
}


def packed_figures(sections: list[Section]) -> Iterator[tuple[str, str]]:
    """Name and JSON of every figure, compressed and in Base64: neither can mean anything to an HTML parser."""
    for section in sections:
        for picture in section.pictures:
            yield picture.name, inflatable(picture.figure.to_json())


def inflatable(text: str) -> str:
    """Gzip in Base64, which the page's script undoes."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode("ascii")
