"""What a view consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.views.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure with a name that is unique among all views, and what it shows, for whoever cannot see it too."""

    name: str
    figure: Figure
    description: str


@dataclass(frozen=True)
class View:
    """A page of figures about one question.

    `draw` and `missing` get a recording (or a part of it) and the analysis of just that.  `whole`: that is always the
    whole recording, whatever was selected.
    """

    name: str
    title: str
    sentence: str  # for people who have never read WireGuard's source
    tables: tuple[str, ...]  # that it is drawn from
    draw: Callable[[Tables, Analysis, Selection], list[Picture]]
    #: Why there is nothing to draw, and which command changes that; empty if there is something.
    missing: Callable[[Tables, Analysis], str]
    whole: bool = False


def needs_traffic(_: Tables, analysis: Analysis) -> str:
    """For views of packets: what is missing when none flowed."""
    if analysis.window is not None:
        return ""
    return (
        "No packet passed a WireGuard stage in this part of the recording. Select more, or send traffic through the"
        " tunnel while `wgprof record` runs."
    )
