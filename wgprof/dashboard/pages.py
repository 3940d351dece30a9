"""What stands on each page, below the verdict and the filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis, server_words
from wgprof.dashboard.figures import Shown
from wgprof.dashboard.grid import Grid
from wgprof.dashboard.recordings import Cut, Whole
from wgprof.errors import WgprofError
from wgprof.report import ends, findings, sheets
from wgprof.report.page import manifest_rows, probes_sheet
from wgprof.report.sections import view_sheets
from wgprof.report.sheets import Sheet
from wgprof.rules.finding import Finding
from wgprof.rules.verdict import answer
from wgprof.views import compare, latency
from wgprof.views.catalogue import MORE_VIEWS, VIEWS
from wgprof.views.picture import View

FINDINGS, COMPARE, RECORDING = "findings", compare.VIEW.name, "recording"
#: A path may have any characters, and four thousand of them.
_LONGEST_ERROR = 600


@dataclass(frozen=True)
class Page:
    """A page of the navigation; `whole`: it is about the whole recording, whatever is selected."""

    name: str
    title: str
    lead: str
    whole: bool = True


def all_pages() -> list[Page]:
    """Every page in the order of the navigation; the first is shown first."""
    first, *rest = [Page(view.name, view.title, view.sentence, view.whole) for view in VIEWS]
    found = "What holds the tunnel up, how that was decided, and what to do about it."
    recorded = "What was asked, what was attached where, and on which machine."
    return [
        first,
        Page(FINDINGS, "Findings", found),
        *rest,
        *(Page(view.name, view.title, view.sentence) for view in MORE_VIEWS),
        Page(RECORDING, "Recording", recorded),
    ]


def heading(page: Page) -> list[Component]:
    """Title and what the page is for."""
    return [html.Div([html.H1(page.title), html.P(page.lead, className="lead")], className="heading")]


def verdict_of(whole: Whole) -> tuple[list[Component], str]:
    """The lines of `wgprof show`, and the kind of the finding they begin with."""
    analysis, diagnosis = whole.analysis, whole.diagnosis
    warning, lines = analysis.variant.warning, answer(analysis, diagnosis)
    quality_first = bool(analysis.failed)
    shown_lines = [html.P(warning, className="warning")] if warning else []
    for number, line in enumerate(lines):
        claim = number == (1 if quality_first else 0)
        failed = quality_first and number == 0
        shown_lines.append(html.P(line, className="claim" if claim else "failed" if failed else None))
    return shown_lines, diagnosis.top.kind if diagnosis.top else ""


def view_figures(view: View, cut: Cut, selection: Selection, scheme: str) -> list[Shown] | str:
    """The figures of a view, or why there is nothing."""
    missing = view.missing(cut.part, cut.analysis)
    return missing or [Shown.of(picture, scheme) for picture in view.draw(cut.part, cut.analysis, selection)]


def view_tables(view: View, cut: Cut) -> Behind:
    """What stands below the figures of a view: the headline in a few numbers, tables."""
    if view.missing(cut.part, cut.analysis):
        return Behind()
    behind = view_sheets(view.name, cut.analysis)
    if view.name == latency.VIEW.name and cut.analysis.ends is not None:
        behind = [*behind, *ends.ends_sheets(cut.analysis.ends)]
    return Behind(_tiles(cut.analysis) if view is VIEWS[0] else None, tuple(_grids(behind, view.name)))


@dataclass(frozen=True)
class Behind:
    """What stands below the figures of a page, and what of it has to be new where the last one's stands."""

    tiles: Component | None = None
    grids: tuple[Grid, ...] = ()

    @property
    def outline(self) -> str:
        """Where it is the same, the grids that stand there take the rows of these."""
        return "\n".join(grid.outline for grid in self.grids)


def grids(found: list[Sheet], name: str) -> list[Component]:
    """The sheets that have rows; `name` is that of the page, to tell its grids from others."""
    return [grid.component for grid in _grids(found, name)]


def _grids(found: list[Sheet], name: str) -> list[Grid]:
    return [Grid(sheet, f"{name}-{number}") for number, sheet in enumerate(found) if sheet.rows]


def _tiles(analysis: Analysis) -> Component:
    """The headline in a few numbers."""
    tiles = []
    headline = analysis.headline
    for flow in headline.throughput if headline else ():
        if not flow.packets:
            continue
        name = DIRECTION_NAMES[flow.direction]
        each = f"{units.rate(flow.rate_pps)}, {units.count(flow.mean_bytes)} bytes each"
        tiles.append(_tile(name.capitalize(), units.bits(flow.rate_mbit_s), "", each))
        if flow.server is not None:
            occupied, below = units.share(flow.server.occupancy), server_words(flow.server)
            tiles.append(_tile(f"Busiest server, {name}", occupied, "occupied", below))
    if headline is not None and headline.cpus:
        below = f"of {headline.cpus}, by the kernel's account"
        tiles.append(_tile("CPUs busy", units.share(headline.busy_share), units.cores(headline.busy_ce), below))
    return html.Section(tiles, className="tiles", **{"aria-label": "Headline"})


def _tile(what: str, number: str, small: str, below: str) -> Component:
    figure = [number, " ", html.Small(small)] if small else [number]
    return html.Div([html.P(what), html.P(figure, className="number"), html.P(below)], className="tile")


def findings_page(whole: Whole, links: Callable[[str], str]) -> list[Component]:
    """Every finding with its evidence, then what was ruled out and how close it came."""
    diagnosis, analysis = whole.diagnosis, whole.analysis
    cards = [_card(found, number, links) for number, found in enumerate(findings.shown_findings(diagnosis))]
    if not cards:
        text = "Every signature that was looked for is below, with the figure that decided against it."
        cards = [nothing("Nothing was found.", text)]
    rest = [findings.ruled_out_sheet(diagnosis)] if analysis.window is not None else []
    return [*_notes(sheets.notes(analysis)), *cards, *grids(rest, "ruled-out")]


def _card(found: findings.Shown, number: int, links: Callable[[str], str]) -> Component:
    finding: Finding = found.finding
    steps = [html.Li([text, *([html.Br(), html.Code(command)] if command else [])]) for text, command in found.steps]
    views = {view.name: view.title for view in VIEWS}
    seen = [dmc.Anchor(views[name], href=links(name), refresh=False) for name in finding.figures if name in views]
    between: list[Component | str] = []
    for link in seen:
        between += [", ", link] if between else ["Seen in: ", link]
    return html.Article(
        [
            html.H2(found.title),
            *(html.P(line, className="soft") for line in found.lines),
            html.Ol(steps) if steps else html.Div(),
            *grids([found.evidence], f"evidence-{number}"),
            html.P(between, className="soft"),
        ],
        className=f"card {finding.kind}",
    )


def recording_page(whole: Whole) -> list[Component]:
    """Manifest, probes, log."""
    manifest = Sheet("Manifest", ("key", "value"), left=2)
    rows = [[name, value] for name, value in manifest_rows(whole.part.manifest)]
    manifest.rows.extend(rows)
    manifest.kinds.extend("" for _ in rows)
    log = sheets.log_sheet(whole.part, ("info", "warning", "error"))
    return grids([probes_sheet(whole.part), log, manifest], "recording")


def _notes(lines: list[str]) -> list[Component]:
    return [html.Ul([html.Li(line) for line in lines], className="notes")] if lines else []


def nothing(what: str, why: str) -> Component:
    """An empty state: what is missing, and which command gives it."""
    return html.Section([html.P(what, className="what"), html.P(_with_code(why))], className="card empty")


def failed(error: WgprofError) -> Component:
    """An error as the command line prints it."""
    return html.Section(
        [
            html.P(clean(f"{error.sentence}.".replace("..", "."), _LONGEST_ERROR), className="what"),
            html.P(_with_code(clean(error.remedy, _LONGEST_ERROR))),
        ],
        className="card defect",
        role="alert",
    )


def _with_code(text: str) -> list[Component | str]:
    """Text in which what stands between backticks is code."""
    return [html.Code(part) if number % 2 else part for number, part in enumerate(text.split("`"))]


def note_of(whole: Whole) -> list[Component]:
    """What was left out, if anything was."""
    return [remark(whole.note)] if whole.note else []


def remark(text: str) -> Component:
    """A line under the heading."""
    return html.P(_with_code(text), className="lead")
