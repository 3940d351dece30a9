"""What an address gives: the verdict, a page, and the facts that the controls are set from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dash.development.base_component import Component

from wgprof.analysis.names import clean
from wgprof.analysis.selection import Selection
from wgprof.dashboard import scaling, shell
from wgprof.dashboard.cache import Cache
from wgprof.dashboard.compare import compare_page
from wgprof.dashboard.figures import Shown
from wgprof.dashboard.library import Entry, Library
from wgprof.dashboard.pages import (
    COMPARE,
    FINDINGS,
    RECORDING,
    Behind,
    Page,
    all_pages,
    failed,
    findings_page,
    heading,
    note_of,
    nothing,
    recording_page,
    remark,
    verdict_of,
    view_figures,
    view_tables,
)
from wgprof.dashboard.recordings import Identity, Recordings, Whole
from wgprof.dashboard.scaling import SCALING
from wgprof.dashboard.state import State, parse
from wgprof.dashboard.sweeps import Sweeps
from wgprof.errors import WgprofError
from wgprof.views.catalogue import MORE_VIEWS, VIEWS

#: Pages that are kept as they were drawn: going back is at once.
_MOST_DRAWN = 64
#: Version of what is not there.
_NONE = -2
_NO_RECORDING = "There is no recording here, so the other pages are empty: `wgprof record --duration 30` makes one."
_BUG = "This is a bug; the terminal shows where. Please report it."


@dataclass(frozen=True)
class Answer:
    """What a state of the address gives: verdict and page, and the facts the controls are set from.

    `facts["outline"]`: what the page consists of beside what its `figures` show; empty if it has no figures.
    """

    verdict: list[Component]
    kind: str
    page: list[Component]
    nav: list[Component]
    facts: dict[str, Any]
    figures: tuple[Shown, ...] = ()


class Dashboard:
    """Answers for one library; nothing here knows of browsers."""

    def __init__(self, library: Library, recordings: Recordings, sweeps: Sweeps) -> None:
        self._library = library
        self._recordings = recordings
        self._sweeps = sweeps
        self._pages = {page.name: page for page in all_pages()}
        self._drawn: Cache[tuple[Identity, str, Selection, str], list[Shown] | str] = Cache(_MOST_DRAWN, lambda _: 1)
        self._swept: Cache[tuple[Identity, str], list[Component]] = Cache(_MOST_DRAWN, lambda _: 1)
        self._views = {view.name: view for view in (*VIEWS, *MORE_VIEWS) if view.name != COMPARE}

    @property
    def _first(self) -> Page:
        """The page that is shown if the address names none."""
        library = self._library
        only_sweeps = not library.live and not library.entries() and bool(library.entries("sweep"))
        return self._pages[SCALING] if only_sweeps else next(iter(self._pages.values()))

    def version(self, search: str) -> int:
        """A number that grows when what the address shows has something new."""
        entry = self._library.find(parse(search).file)
        return self._recordings.version(entry) if entry is not None else _NONE

    def answer(self, search: str, scheme: str) -> Answer:
        """Everything for one address."""
        state, entries = parse(search), self._library.entries()
        page = self._pages.get(state.page, self._first)
        facts = _facts(state, search, page) | {"files": _choices(entries), "follows": self._library.live}
        nav = self._navigation(state, page)
        entry = self._library.find(state.file)
        if page.name == SCALING and (sweeps := self._library.entries("sweep")):
            facts |= {"file": entry.slug, "live": entry.live} if entry is not None else {}
            # What is being recorded does not change a sweep.
            return self._scaling(page, sweeps, state, scheme, nav, facts | {"follows": False})
        if entry is None:
            return Answer([], "", [*heading(page), _no_entry(state, entries)], nav, facts)
        facts |= {
            "file": entry.slug,
            "live": entry.live,
            "follows": entry.live,
            "title": f"{page.title} · {entry.name} · wgprof",
        }
        try:
            whole = self._recordings.whole(entry)
        except WgprofError as error:
            return Answer([], "", [*heading(page), failed(error)], nav, facts)
        facts |= _facts_of(whole, entry, state)
        verdict, kind = verdict_of(whole)
        head = [*heading(page), *note_of(whole)]
        try:
            if page.name not in self._views:
                return Answer(
                    verdict, kind, [*head, *self._content(page, whole, entry, entries, state, scheme)], nav, facts
                )
            figures = self._figures(page, whole, _selection(page, state), scheme)
        except WgprofError as error:
            return Answer(verdict, kind, [*head, failed(error)], nav, facts)
        if isinstance(figures, str):
            return Answer(verdict, kind, [*head, nothing("There is nothing to draw here.", figures)], nav, facts)
        outline = [page.name, entry.slug, whole.note, *(figure.name for figure in figures)]
        content = [figure.component for figure in figures]
        return Answer(verdict, kind, [*head, *content], nav, facts | {"outline": json.dumps(outline)}, tuple(figures))

    def _scaling(
        self, page: Page, sweeps: list[Entry], state: State, scheme: str, nav: list[Component], facts: dict[str, Any]
    ) -> Answer:
        """The page about a sweep: nothing on it is of a recording that is open."""
        chosen = self._library.find(state.sweep, "sweep")
        head = [*heading(page), *([] if self._library.entries() else [remark(_NO_RECORDING)])]
        head.append(scaling.chooser(sweeps, chosen))
        if chosen is None:
            return Answer([], "", [*head, nothing("There is no such sweep here.", "Choose one above.")], nav, facts)
        facts |= {"sweep": chosen.slug, "title": f"{page.title} · {chosen.name} · wgprof"}
        try:
            identity, results = self._sweeps.results(chosen)
        except WgprofError as error:
            return Answer([], "", [*head, failed(error)], nav, facts)
        facts |= {"identity": ["sweep", chosen.slug, *identity[1:]]}
        content = self._swept.get((identity, scheme), lambda: scaling.sweep_page(results, scheme))
        return Answer(*scaling.verdict_of(results), [*head, *content], nav, facts)

    def tables(self, search: str) -> Behind:
        """What is behind the figures of an address, and comes after them; nothing where there are no figures."""
        state = parse(search)
        page, entry = self._pages.get(state.page, self._first), self._library.find(state.file)
        if entry is None or page.name not in self._views:
            return Behind()
        try:
            whole = self._recordings.whole(entry)
        except WgprofError:
            return Behind()  # the page says why
        return view_tables(self._views[page.name], self._recordings.cut(whole, _selection(page, state)))

    def broken(self, search: str, error: Exception) -> Answer:
        """The page for an address whose page could not be drawn."""
        state = parse(search)
        page = self._pages.get(state.page, self._first)
        why = WgprofError(f"This page could not be drawn: {type(error).__name__}", _BUG)
        facts = _facts(state, search, page) | {"files": _choices(self._library.entries())}
        return Answer([], "", [*heading(page), failed(why)], self._navigation(state, page), facts)

    def _content(
        self, page: Page, whole: Whole, entry: Entry, entries: list[Entry], state: State, scheme: str
    ) -> list[Component]:
        if page.name == FINDINGS:
            return findings_page(whole, lambda name: _address(state, name))
        if page.name == RECORDING:
            return recording_page(whole)
        if page.name == COMPARE:
            other = self._library.find(state.against) if state.against else None
            return compare_page(self._recordings, entries, entry, other, scheme)
        raise KeyError(page.name)

    def _figures(self, page: Page, whole: Whole, selection: Selection, scheme: str) -> list[Shown] | str:
        """The figures of a page, or why there are none."""

        def drawn() -> list[Shown] | str:
            return view_figures(self._views[page.name], self._recordings.cut(whole, selection), selection, scheme)

        return drawn() if whole.live else self._drawn.get((whole.identity, page.name, selection, scheme), drawn)

    def navigation(self, search: str) -> list[Component]:
        """The links to the other pages, with what an address has selected."""
        state = parse(search)
        return self._navigation(state, self._pages.get(state.page, self._first))

    def _navigation(self, state: State, page: Page) -> list[Component]:
        links = [(p.name, p.title, _address(state, p.name)) for p in self._pages.values()]
        return shell.navigation(links, page.name)


def _facts(state: State, search: str, page: Page) -> dict[str, Any]:
    """What is true of every answer; the others add to it."""
    return {
        "search": search,
        "page": page.name,
        "file": state.file,
        "sweep": "",
        "live": False,
        "follows": False,
        "whole": page.whole,
        "title": f"{page.title} · wgprof",
        "bounds": [0.0, 1.0],
        "range": [0.0, 1.0],
        "direction": state.direction or "",
        "peers": [str(number) for number in state.peers],
        "peers_known": [],
        "theme": state.theme,
        "created": "",
        "identity": None,
        "outline": "",
    }


def _facts_of(whole: Whole, entry: Entry, state: State) -> dict[str, Any]:
    """Of a recording that could be read."""
    low, high = _tenth(whole.start_s), max(_tenth(whole.end_s), _tenth(whole.start_s) + 0.1)
    start = low if state.start_s is None or whole.live else min(max(state.start_s, low), high)
    end = high if state.end_s is None or whole.live else min(max(state.end_s, start), high)
    known = [{"value": str(number), "label": label} for number, label in whole.peers.items()]
    created = clean(whole.part.manifest.get("created", ""), 20).replace("T", " ").replace("Z", " UTC")
    return {
        "bounds": [low, high],
        "range": [start, end],
        "peers_known": known,
        "peers": [str(number) for number in state.peers if number in whole.peers],
        "created": created,
        "identity": [entry.slug, *whole.identity[1:]],
    }


def _address(state: State, name: str) -> str:
    """Of another page, with all else as it is."""
    return "/" + state.at(name)


def _selection(page: Page, state: State) -> Selection:
    return Selection() if page.whole else state.selection


def _tenth(seconds: float) -> float:
    return round(seconds, 1)


def _choices(entries: list[Entry]) -> list[dict[str, str]]:
    return [{"value": e.slug, "label": e.name + (" (being recorded)" if e.live else "")} for e in entries]


def _no_entry(state: State, entries: list[Entry]) -> Component:
    if entries:
        return nothing("There is no such recording here.", "Choose one at the top of the page.")
    return nothing(
        "There is no recording here yet.", "Make one: `wgprof record --duration 30`. It appears here by itself."
    )
