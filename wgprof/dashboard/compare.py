"""The page that compares two recordings."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from wgprof.dashboard.figures import Shown
from wgprof.dashboard.library import Entry
from wgprof.dashboard.pages import grids, nothing
from wgprof.dashboard.recordings import Recordings
from wgprof.report.comparison import ONE_RUN, TEST, lines
from wgprof.report.sections import comparison_section


def compare_page(
    recordings: Recordings, entries: list[Entry], entry: Entry, other: Entry | None, scheme: str
) -> list[Component]:
    """A choice of the other recording; with it what changed, and both pipelines."""
    others = [candidate for candidate in entries if candidate.slug != entry.slug and not candidate.live]
    if entry.live:
        return [
            nothing("A recording being written cannot be compared yet.", "Stop it first: Ctrl-C in `wgprof record`.")
        ]
    if not others:
        return [
            nothing(
                "There is nothing to compare with.",
                "Name two recordings, or the folder they are in: `wgprof dashboard A.wgprof B.wgprof`.",
            )
        ]
    chooser = dmc.Select(
        id={"kind": "against", "name": "other"},
        label=f"From {entry.name} to",
        placeholder="Choose a recording",
        data=[{"value": candidate.slug, "label": candidate.name} for candidate in others],
        value=other.slug if other is not None and other in others else None,
        searchable=True,
        w=420,
        mt="xs",
    )
    if other is None or other not in others:
        why = "Every figure of both is compared second by second; what is within the noise is called the same."
        return [chooser, nothing("Choose a second recording above.", why)]
    first, second = recordings.whole(entry), recordings.whole(other)
    section = comparison_section(recordings.compared(first, second), (entry.name, other.name))
    said = lines(recordings.compared(first, second), (entry.name, other.name))
    return [
        chooser,
        html.Section([html.P(line) for line in said], className="card", **{"aria-label": "What changed"}),
        *(Shown.of(picture, scheme).component for picture in section.pictures),
        *grids(section.sheets, "compare"),
        html.Ul([html.Li(TEST), html.Li(ONE_RUN)], className="notes"),
    ]
