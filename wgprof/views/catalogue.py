"""All views, in the order in which they are shown: what the report and the dashboard draw.

A recording is cut with `wgprof.analysis.selection.Part` and analysed by `analyse`; a view then draws the part.  What
is cut again and again is first made as coarse as a screen is: `wgprof.analysis.coarser.for_screens`.
"""

from __future__ import annotations

from collections.abc import Iterator

from wgprof.analysis.selection import Selection, as_part
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.views import compare, cores, journeys, latency, pipeline, quality, queues, scaling, stacks, wakeups
from wgprof.views.picture import Picture, View

VIEWS: tuple[View, ...] = (
    pipeline.VIEW,
    cores.VIEW,
    queues.VIEW,
    latency.VIEW,
    journeys.VIEW,
    wakeups.VIEW,
    stacks.VIEW,
    quality.VIEW,
)


#: Views that one recording cannot fill: `compare.pictures_of` needs two, `scaling.scaling` a prediction.
MORE_VIEWS: tuple[View, ...] = (compare.VIEW, scaling.VIEW)


def view_of(name: str) -> View:
    """The view of that name.  Raises KeyError."""
    return {view.name: view for view in (*VIEWS, *MORE_VIEWS)}[name]


def pictures(view: View, recording: Tables, analysis: Analysis, selection: Selection) -> Iterator[Picture]:
    """What a view shows, if anything is there to be shown."""
    part = as_part(recording)
    if not view.missing(part, analysis):
        yield from view.draw(part, analysis, selection)
