"""The page of the scaling curves: what a sweep measured."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from wgprof.dashboard.figures import Shown
from wgprof.dashboard.library import Entry
from wgprof.dashboard.pages import failed, grids
from wgprof.errors import MachineError
from wgprof.model.installed import require_model
from wgprof.report import sweep as words
from wgprof.views import scaling
from wgprof.views.picture import Picture

SCALING = scaling.VIEW.name


def chooser(sweeps: list[Entry], chosen: Entry | None) -> Component:
    """A choice of the sweep."""
    return dmc.Select(
        id={"kind": "sweep", "name": "chosen"},
        label="Sweep",
        placeholder="Choose a sweep",
        data=[{"value": candidate.slug, "label": candidate.name} for candidate in sweeps],
        value=chosen.slug if chosen is not None else None,
        searchable=True,
        allowDeselect=False,
        nothingFoundMessage="No such sweep",
        w=420,
        mt="xs",
    )


def verdict_of(results: words.Results) -> tuple[list[Component], str]:
    """The lines with which `wgprof sweep show` begins, and what kind of finding they are like."""
    warned = words.warnings(results)
    first, *rest = words.headline(results)
    lines = [html.P(line, className="failed") for line in warned]
    lines += [html.P(first, className="claim"), *(html.P(line) for line in (*rest, words.LAB, words.INTERVALS))]
    return lines, "defect" if warned else ""


def sweep_page(results: words.Results, scheme: str) -> list[Component]:
    """Its curves, then all its tables."""
    tables = [
        words.configurations_sheet(results),
        words.servers_sheet(results),
        *words.trouble_sheets(results),
        words.fits_sheet(results),
        words.runs_sheet(results),
    ]
    return [*_curves(results, scheme), *grids(tables, SCALING), _notes(words.ORDER)]


def _curves(results: words.Results, scheme: str) -> list[Component]:
    try:
        require_model("drawing a sweep's curves")
    except MachineError as error:  # the tables need nothing
        return [failed(error)]
    from wgprof.report.sweep_page import shown_figures

    drawn, left_out = shown_figures(results)
    parts: list[Component] = []
    for one in drawn:
        picture = Picture(one.name, one.figure, one.caption)
        parts += [html.H2(one.title), Shown.of(picture, scheme).component]
    return [*parts, _notes(left_out)] if left_out else parts


def _notes(line: str) -> Component:
    return html.Ul([html.Li(line)], className="notes")
