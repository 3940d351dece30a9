"""The Dash application: one address in, one page out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import dash
import flask
from dash import ALL, ClientsideFunction, Input, Output, State
from dash.development.base_component import Component

from wgprof.analysis.names import clean
from wgprof.dashboard import shell
from wgprof.dashboard.compare import compare_page
from wgprof.dashboard.guard import Guard, protect
from wgprof.dashboard.library import Entry, Library
from wgprof.dashboard.pages import (
    COMPARE,
    FINDINGS,
    RECORDING,
    Page,
    all_pages,
    failed,
    findings_page,
    heading,
    note_of,
    nothing,
    recording_page,
    verdict_of,
    view_page,
)
from wgprof.dashboard.recordings import Recordings, Whole
from wgprof.dashboard.state import State as Asked
from wgprof.dashboard.state import parse
from wgprof.errors import WgprofError
from wgprof.recording.writer import this_version
from wgprof.views.catalogue import view_of

#: Versions of what is not there, and of what cannot be read.
_NONE, _UNREADABLE = -2, -1
_BUG = "This is a bug; the terminal shows where. Please report it."
_LOG = logging.getLogger("wgprof.dashboard")
#: No request to anybody else, no frame around the page, no script but our own; styles are set by the components.
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Answer:
    """What a state of the address gives: verdict and page, and the facts the controls are set from."""

    verdict: list[Component]
    kind: str
    page: list[Component]
    nav: list[Component]
    facts: dict[str, Any]


class Dashboard:
    """Answers for one library; nothing here knows of browsers."""

    def __init__(self, library: Library, recordings: Recordings) -> None:
        self._library = library
        self._recordings = recordings
        self._pages = {page.name: page for page in all_pages()}

    def version(self, search: str) -> int:
        """A number that grows when what the address shows has something new."""
        entry = self._library.find(parse(search).file)
        return self._recordings.version(entry) if entry is not None else _NONE

    def answer(self, search: str, scheme: str, asked: int) -> Answer:
        """Everything for one address."""
        state, entries = parse(search), self._library.entries()
        first = next(iter(self._pages))
        page = self._pages.get(state.page, self._pages[first])
        state = replace(state, page=page.name if page.name != first else "")
        facts = _facts(state, search, page, asked) | {"files": _choices(entries), "follows": self._library.live}
        nav = shell.navigation(
            [(p.name, p.title, self._address(state, p.name)) for p in self._pages.values()], page.name
        )
        entry = self._library.find(state.file)
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
        facts |= _facts_of(whole, state)
        verdict, kind = verdict_of(whole)
        try:
            content = self._content(page, whole, entry, entries, state, scheme)
        except WgprofError as error:
            content = [failed(error)]
        return Answer(verdict, kind, [*heading(page), *note_of(whole), *content], nav, facts)

    def broken(self, search: str, asked: int, error: Exception) -> Answer:
        """The page for an address whose page could not be drawn."""
        state, first = parse(search), next(iter(self._pages.values()))
        page = self._pages.get(state.page, first)
        why = WgprofError(f"This page could not be drawn: {type(error).__name__}", _BUG)
        facts = _facts(state, search, page, asked) | {"files": _choices(self._library.entries())}
        links = [(p.name, p.title, self._address(state, p.name)) for p in self._pages.values()]
        return Answer([], "", [*heading(page), failed(why)], shell.navigation(links, page.name), facts)

    def _content(
        self, page: Page, whole: Whole, entry: Entry, entries: list[Entry], state: Asked, scheme: str
    ) -> list[Component]:
        if page.name == FINDINGS:
            return findings_page(whole, lambda name: self._address(state, name))
        if page.name == RECORDING:
            return recording_page(whole)
        if page.name == COMPARE:
            other = self._library.find(state.against) if state.against else None
            return compare_page(self._recordings, entries, entry, other, scheme)
        selection = Asked().selection if page.whole else state.selection
        return view_page(view_of(page.name), self._recordings.cut(whole, selection), selection, scheme)

    def _address(self, state: Asked, name: str) -> str:
        first = next(iter(self._pages))
        return "/" + state.at("" if name == first else name)


def make_app(library: Library, recordings: Recordings, guard: Guard, *, live: bool) -> flask.Flask:
    """The application as WSGI, guarded; Dash adds its callbacks to it."""
    server = flask.Flask("wgprof.dashboard")
    app = dash.Dash(
        "wgprof.dashboard",
        server=server,
        title="wgprof",
        update_title="",
        serve_locally=True,
        compress=False,
        add_log_handler=False,
        enable_mcp=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        index_string=_INDEX,
        suppress_callback_exceptions=True,
    )
    app.layout = shell.layout(live=live)
    dashboard = Dashboard(library, recordings)
    _in_the_browser(app)

    def draw(where: dict[str, str] | None, asked: int, facts: dict[str, Any] | None) -> tuple[Any, ...]:
        search, scheme = str((where or {}).get("search", "")), str((where or {}).get("scheme", "light"))
        if scheme not in ("light", "dark"):
            scheme = "light"
        try:
            version = dashboard.version(search)
        except WgprofError:
            version = _UNREADABLE
        if facts is not None and (facts["search"], facts["scheme"], facts["version"]) == (search, scheme, version):
            return (*[dash.no_update] * 4, {**facts, "asked": asked})
        try:
            answer = dashboard.answer(search, scheme, asked)
        except Exception as error:  # a page that says so is better than one that stays as it was
            _LOG.exception("the page for %r could not be drawn", search)
            answer = dashboard.broken(search, asked, error)
        return (
            answer.verdict,
            answer.kind,
            answer.page,
            answer.nav,
            answer.facts | {"scheme": scheme, "version": version},
        )

    app.callback(
        Output("verdict", "children"),
        Output("verdict", "className"),
        Output("page", "children"),
        Output("nav", "children"),
        Output("facts", "data"),
        Input("where", "data"),
        Input("asked", "data"),
        State("facts", "data"),
        prevent_initial_call=True,
    )(draw)

    hashes = " ".join(f"'{found}'" if not found.startswith("'") else found for found in app.csp_hashes())
    protect(server, guard, _POLICY.format(scripts=hashes))
    return server


def _in_the_browser(app: dash.Dash) -> None:
    """The callbacks that need no server."""

    def of(name: str) -> ClientsideFunction:
        return ClientsideFunction("wgprof", name)

    app.clientside_callback(
        of("where"), Output("where", "data"), Output("provider", "forceColorScheme"), Input("url", "search")
    )
    shown = [("file", "data"), ("file", "value"), ("range", "min"), ("range", "max"), ("range", "value"),
             ("range", "disabled"), ("range-text", "children"), ("direction", "value"), ("peers", "data"),
             ("peers", "value"), ("theme", "value"), ("live", "display"), ("when", "children"),
             ("announce", "children")]  # fmt: skip
    app.clientside_callback(of("controls"), *[Output(*name) for name in shown], Input("facts", "data"))
    changed = [("file", "value"), ("range", "value"), ("direction", "value"), ("peers", "value"), ("theme", "value")]
    app.clientside_callback(
        of("address"),
        Output("url", "search"),
        *[Input(*name) for name in changed],
        Input({"kind": "against", "name": ALL}, "value"),
        Input("reset", "n_clicks"),
        State("facts", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        of("pulse"),
        Output("asked", "data"),
        Input("pulse", "n_intervals"),
        State("asked", "data"),
        State("facts", "data"),
        prevent_initial_call=True,
    )


def _facts(state: Asked, search: str, page: Page, asked: int) -> dict[str, Any]:
    """What is true of every answer; the others add to it."""
    return {
        "search": search,
        "asked": asked,
        "version": 0,
        "file": state.file,
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
    }


def _facts_of(whole: Whole, state: Asked) -> dict[str, Any]:
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
    }


def _tenth(seconds: float) -> float:
    return round(seconds, 1)


def _choices(entries: list[Entry]) -> list[dict[str, str]]:
    return [{"value": e.slug, "label": e.name + (" (being recorded)" if e.live else "")} for e in entries]


def _no_entry(state: Asked, entries: list[Entry]) -> Component:
    if entries:
        return nothing("There is no such recording here.", "Choose one at the top of the page.")
    return nothing(
        "There is no recording here yet.", "Make one: `wgprof record --duration 30`. It appears here by itself."
    )


_INDEX = """<!doctype html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<meta name="generator" content="wgprof VERSION">
<link rel="icon" href="data:,">
{%css%}
</head>
<body>
{%app_entry%}
{%config%}
{%scripts%}
{%renderer%}
</body>
</html>
""".replace("VERSION", this_version())
