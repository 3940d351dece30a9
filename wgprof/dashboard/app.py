"""The Dash application: one address in, one page out."""

from __future__ import annotations

import logging
from typing import Any

import dash
import flask
from dash import ALL, ClientsideFunction, Input, Output, State

from wgprof.dashboard import shell
from wgprof.dashboard.answers import Dashboard
from wgprof.dashboard.guard import Guard, protect
from wgprof.dashboard.library import Library
from wgprof.dashboard.recordings import Recordings
from wgprof.dashboard.sweeps import Sweeps
from wgprof.recording.writer import this_version

#: Version of what cannot be read.
_UNREADABLE = -1
_LOG = logging.getLogger("wgprof.dashboard")
#: No request to anybody else, no frame around the page, no script but our own; styles are set by the components.
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    " font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_app(library: Library, recordings: Recordings, sweeps: Sweeps, guard: Guard, *, live: bool) -> flask.Flask:
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
    dashboard = Dashboard(library, recordings, sweeps)
    _in_the_browser(app)

    parts = ("verdict", "kind", "page", "figures", "nav", "facts", "tables", "behind")
    same = dict.fromkeys(parts, dash.no_update)

    def draw(where: dict[str, str] | None, asked: int, facts: dict[str, Any] | None) -> dict[str, Any]:
        try:
            change = changed(where, facts)
        except Exception:  # what is not answered is not asked again
            _LOG.exception("no page could be drawn for %r", where)
            change = same
        return {**change, "answered": asked}

    def changed(where: dict[str, str] | None, facts: dict[str, Any] | None) -> dict[str, Any]:
        search, scheme = str((where or {}).get("search", "")), str((where or {}).get("scheme", "light"))
        scheme = scheme if scheme in ("light", "dark") else "light"
        try:
            version = dashboard.version(search)
        except Exception:  # answering says why
            version = _UNREADABLE
        if facts is not None and (facts["search"], facts["scheme"], facts["version"]) == (search, scheme, version):
            return same
        try:
            answer = dashboard.answer(search, scheme)
        except Exception as error:  # a page that says so is better than one that stays as it was
            _LOG.exception("the page for %r could not be drawn", search)
            answer = dashboard.broken(search, error)
        drawn = {**same, "facts": answer.facts | {"scheme": scheme, "version": version}}
        # Nothing is drawn again for nothing.
        if not facts or version < 0 or (facts["version"], facts["identity"]) != (version, answer.facts["identity"]):
            drawn |= {"verdict": answer.verdict, "kind": answer.kind}
        if facts and answer.figures and facts["outline"] == answer.facts["outline"]:
            return {**drawn, "figures": {figure.name: figure.update for figure in answer.figures}}
        drawn |= {"page": answer.page, "figures": None, "nav": answer.nav}
        # The tables of the last page stay until those of this one come, unless they are of something else.
        return drawn if facts and facts["page"] == answer.facts["page"] else {**drawn, "tables": [], "behind": ""}

    def behind(facts: dict[str, Any], outline: str) -> dict[str, Any]:
        """What comes after the figures: tables, and links that hold what is selected now."""
        found, links = dashboard.tables(facts["search"]), dashboard.navigation(facts["search"])
        changed = {"nav": links, "tiles": found.tiles, "behind": found.outline, "tables": dash.no_update}
        if found.outline != outline:
            return {**changed, "tables": [grid.component for grid in found.grids]}
        for grid in found.grids:  # they stay where they are, with their sorting
            dash.set_props(grid.id, {"rowData": grid.rows})
        return changed

    app.callback(
        {
            "verdict": Output("verdict", "children"),
            "kind": Output("verdict", "className"),
            "page": Output("page", "children"),
            "figures": Output("figures", "data"),
            "nav": Output("nav", "children"),
            "facts": Output("facts", "data"),
            "answered": Output("answered", "data"),
            "tables": Output("tables", "children", allow_duplicate=True),
            "behind": Output("behind", "data", allow_duplicate=True),
        },
        Input("where", "data"),
        Input("asked", "data"),
        State("facts", "data"),
        prevent_initial_call=True,
    )(draw)
    app.callback(
        {
            "nav": Output("nav", "children", allow_duplicate=True),
            "tiles": Output("tiles", "children"),
            "tables": Output("tables", "children"),
            "behind": Output("behind", "data"),
        },
        Input("facts", "data"),
        State("behind", "data"),
        prevent_initial_call=True,
    )(behind)

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
    app.clientside_callback(
        of("controls"),
        *[Output(*name) for name in shown],
        Input("facts", "data"),
        Input("figures", "data"),
        *[State(*name) for name in shown],
    )
    changed = [("file", "value"), ("range", "value"), ("direction", "value"), ("peers", "value"), ("theme", "value")]
    app.clientside_callback(
        of("address"),
        Output("url", "search"),
        *[Input(*name) for name in changed],
        Input({"kind": "against", "name": ALL}, "value"),
        Input({"kind": "sweep", "name": ALL}, "value"),
        Input("reset", "n_clicks"),
        State("facts", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        of("pulse"),
        Output("asked", "data"),
        Input("pulse", "n_intervals"),
        State("asked", "data"),
        State("answered", "data"),
        State("facts", "data"),
        prevent_initial_call=True,
    )


_INDEX = """<!doctype html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<meta name="generator" content="wgprof VERSION">
<link rel="icon" href="data:,">
{%css%}
<link rel="preload" as="script" href="/_dash-component-suites/dash/dcc/async-graph.js">
<link rel="preload" as="script" href="/_dash-component-suites/plotly/package_data/plotly.min.js" id="plotly">
</head>
<body>
{%app_entry%}
{%config%}
{%scripts%}
{%renderer%}
</body>
</html>
""".replace("VERSION", this_version())
