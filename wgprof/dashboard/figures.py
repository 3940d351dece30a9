"""Figures as the page shows them: in its colours, with buttons that send nothing anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from wgprof.views.figure import Figure
from wgprof.views.picture import Picture
from wgprof.views.theme import INK

_INK = {"light": INK, "dark": "#e6eaee"}
_GROUND = {"light": "#ffffff", "dark": "#1f262e"}
_GRID = {"light": "rgba(128,136,148,0.25)", "dark": "rgba(150,160,172,0.30)"}
_CONFIG = {
    "displaylogo": False,
    "plotlyServerURL": "",
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    "responsive": True,
}


def painted(figure: Figure, scheme: str) -> dict[str, Any]:
    """The figure as plain data, in the colours of a light or a dark page."""
    data = figure.plain()
    layout = data["layout"]
    ink, grid = _INK[scheme], _GRID[scheme]
    layout["font"] = {**layout.get("font", {}), "color": ink}
    layout["hoverlabel"] = {
        **layout.get("hoverlabel", {}),
        "bgcolor": _GROUND[scheme],
        "bordercolor": grid,
        "font": {"color": ink},
    }
    layout["modebar"] = {"bgcolor": "rgba(0,0,0,0)", "color": "#7a828c", "activecolor": "#56b4e9"}
    for name, axis in layout.items():
        if name.startswith(("xaxis", "yaxis")):
            axis |= {"gridcolor": grid, "linecolor": grid, "tickcolor": grid}
    return data


@dataclass(frozen=True)
class Shown:
    """A picture as a page shows it, and as a page that shows another one of that name takes it over."""

    name: str
    figure: dict[str, Any]
    about: str
    style: dict[str, str]

    @classmethod
    def of(cls, picture: Picture, scheme: str) -> Shown:
        """In the colours of a light or a dark page."""
        height = f"{picture.figure.layout.get('height', 400)}px"
        # style.css enlarges figures on wide screens, which takes no more room by itself.
        style = {"height": height, "marginBottom": f"calc({height} * (var(--enlarged, 1) - 1))"}
        return cls(picture.name, painted(picture.figure, scheme), picture.description, style)

    @property
    def component(self) -> Component:
        """The picture with its description under it."""
        diagram = self.figure["layout"]["xaxis"].get("visible") is False
        graph = dcc.Graph(
            id={"kind": "graph", "name": self.name},
            figure=self.figure,
            config={**_CONFIG, "displayModeBar": False if diagram else "hover"},
            responsive=True,
            style=self.style,
            className="plot",
        )
        label = f"about-{self.name}"
        frame = html.Div(graph, className="scroll", tabIndex="0", role="group", **{"aria-labelledby": label})
        return html.Figure([frame, html.Figcaption(self.about, id=label)], id=f"figure-{self.name}")

    @property
    def update(self) -> dict[str, Any]:
        """What changes where there is one of that name: see `figures` in wgprof.js."""
        return {"graph": {"figure": self.figure, "style": self.style}, "about": self.about}
