"""The frame around every page: header, navigation, verdict, filters; filled by the callbacks of app.py."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

PULSE_MS = 250
DIRECTIONS = [
    {"value": "", "label": "Both"},
    {"value": "tx", "label": "Transmit"},
    {"value": "rx", "label": "Receive"},
]
SCHEMES = [{"value": "", "label": "Auto"}, {"value": "light", "label": "Light"}, {"value": "dark", "label": "Dark"}]
#: Shades with enough contrast on white and on near-black (WCAG AA).
_THEME = {
    "primaryColor": "blue",
    "primaryShade": {"light": 8, "dark": 5},
    "fontFamily": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif",
    "fontFamilyMonospace": "ui-monospace, 'Liberation Mono', Menlo, monospace",
    "headings": {"fontWeight": "650"},
    "defaultRadius": "sm",
    "focusRing": "auto",
    "respectReducedMotion": True,
}


def layout(*, live: bool) -> Component:
    """The whole page, empty."""
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="where"),
            dcc.Store(id="facts"),
            dcc.Store(id="figures"),
            dcc.Store(id="behind", data=""),
            dcc.Store(id="asked", data=0),
            dcc.Store(id="answered", data=0),
            dcc.Interval(id="pulse", interval=PULSE_MS, disabled=not live),
            html.A("Skip to the content", href="#content", className="skip"),
            html.Div(id="announce", role="status", className="unseen", **{"aria-live": "polite"}),
            dmc.AppShell(
                [_header(live=live), _navbar(), _main()],
                header={"height": 56},
                navbar={"width": 184, "breakpoint": "sm", "collapsed": {"mobile": False}},
                padding="sm",
            ),
        ],
        id="provider",
        theme=_THEME,
        defaultColorScheme="auto",
    )


def _header(*, live: bool) -> Component:
    badge = dmc.Badge("Live", id="live", color="red", variant="filled", className="live", display="none")
    return dmc.AppShellHeader(
        html.Div(
            [
                html.Span("wgprof", className="brand"),
                dmc.Select(
                    id="file",
                    data=[],
                    searchable=True,
                    allowDeselect=False,
                    className="file",
                    placeholder="No recording",
                    nothingFoundMessage="No such recording",
                    size="sm",
                    **{"aria-label": "Recording"},
                ),
                badge,
                html.Span(id="when", className="soft when"),
                dmc.SegmentedControl(
                    id="theme", data=SCHEMES, value="", size="xs", className="theme", **{"aria-label": "Colours"}
                ),
            ],
            className="bar",
        )
    )


def _navbar() -> Component:
    return dmc.AppShellNavbar(html.Div(id="nav"), p="xs", **{"aria-label": "Pages"})


def _main() -> Component:
    return dmc.AppShellMain(
        [
            html.Section(id="verdict", **{"aria-label": "Verdict"}),
            _filters(),
            dcc.Loading(
                html.Div(html.P("Reading the recording…", className="soft"), id="page"),
                delay_show=500,
                target_components={"page": "children"},
                overlay_style={"visibility": "visible", "opacity": 0.55},
                color="#1c7ed6",
            ),
            html.Div(id="tiles"),
            html.Div(id="tables"),
        ],
        id="content",
        tabIndex=-1,
    )


def _filters() -> Component:
    return html.Section(
        [
            html.Div(
                [
                    html.Span("Time", id="time-label", className="filter-label"),
                    dmc.RangeSlider(
                        id="range",
                        min=0,
                        max=1,
                        step=0.1,
                        precision=1,
                        value=[0, 1],
                        minRange=0.1,
                        updatemode="mouseup",
                        thumbFromLabel="From, in seconds since the recording began",
                        thumbToLabel="To, in seconds since the recording began",
                        size="sm",
                        className="range",
                        label=None,
                    ),
                    html.Output(id="range-text", className="range-text"),
                ],
                className="filter time",
            ),
            dmc.SegmentedControl(
                id="direction", data=DIRECTIONS, value="", size="xs", **{"aria-label": "Direction of the packets"}
            ),
            dmc.MultiSelect(
                id="peers",
                data=[],
                value=[],
                placeholder="All peers",
                searchable=True,
                clearable=True,
                hidePickedOptions=True,
                maxDropdownHeight=320,
                size="xs",
                className="peers",
                clearButtonProps={"aria-label": "All peers"},
                **{"aria-label": "Peers"},
            ),
            dmc.Button("Reset", id="reset", variant="default", size="xs"),
        ],
        className="filters",
        id="filters",
        **{"aria-label": "What is shown"},
    )


def navigation(links: list[tuple[str, str, str]], active: str) -> list[Component]:
    """Links to the pages: name, title, address."""
    return [
        dmc.NavLink(
            label=title,
            href=href,
            active="exact" if name == active else None,
            refresh=False,
            id={"kind": "page", "name": name},
            **{"aria-current": "page"} if name == active else {},
        )
        for name, title, href in links
    ]
