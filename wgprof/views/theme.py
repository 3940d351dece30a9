"""What all figures share: colours everybody can tell apart, fonts, and text made safe.

Figures are drawn on a transparent ground with the text colour of a light page; whoever embeds them
on a dark one changes `font.color` and the axes' lines (see `reports/report.js`).
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from plotly.colors import sample_colorscale

from wgprof.analysis.names import clean
from wgprof.views.figure import Figure

#: Okabe and Ito's palette: told apart with every common kind of colour blindness.
COLOURS: Mapping[str, str] = {
    "tx.stage": "#56b4e9",
    "tx.encrypt": "#0072b2",
    "tx.send": "#009e73",
    "rx.receive": "#cc79a7",
    "rx.decrypt": "#e69f00",
    "rx.deliver": "#d55e00",
}
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a00", "#7f7f7f")
ALERT = "#d55e00"
#: Readable on white and on near-black.
MUTED = "#7a828c"
WAIT = "#9aa5b1"
#: Even steps of lightness, so it survives grey print.
SCALE = "Cividis"
_STEPS = 256
#: For shares of which most are small: the ground shines through, so that it works on light and on dark.
DENSITY = ((0.0, "rgba(213,94,0,0.12)"), (1.0, "rgba(213,94,0,1)"))
INK, GRID = "#1c2530", "rgba(128,136,148,0.25)"
_TIMES = {1e-7: "100 ns", 1e-6: "1 µs", 1e-5: "10 µs", 1e-4: "100 µs", 1e-3: "1 ms", 1e-2: "10 ms", 1e-1: "100 ms",
          1.0: "1 s", 10.0: "10 s", 100.0: "100 s"}  # fmt: skip
_NARROWEST_PX = 900
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def safe(text: object, longest: int = 48) -> str:
    """A recording's string for use in a figure, where Plotly reads a little HTML."""
    return html.escape(clean(text, longest), quote=False)


def base(height: int, **layout: object) -> Figure:
    """An empty figure in the house style."""
    figure = Figure(layout=style(height, {"xaxis": {}, "yaxis": {}}))
    figure.update(**layout)
    return figure


def style(height: int, axes: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:
    """A layout in the house style, with what each axis has of its own."""
    return {
        "height": height,
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": INK},
        "hoverlabel": {"align": "left", "namelength": -1},
        "margin": {"l": 60, "r": 20, "t": 30, "b": 45},
        **{name: _axis(name, own) for name, own in axes.items()},
    }


def _axis(name: str, own: Mapping[str, object]) -> dict[str, object]:
    title = own.get("title")
    text = title if isinstance(title, Mapping) else {}
    ticks = {"ticks": "outside", "tickcolor": GRID} if name.startswith("x") else {}
    lines = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False}
    return {**lines, **ticks, **own, "title": {"font": {"size": 13}, **text}}


def legend_px(labels: Iterable[str]) -> int:
    """About how high a legend of lines above a figure gets on the narrowest page."""
    rows, used = 1, 0
    for label in labels:
        width = 52 + round(7.6 * len(label))
        rows, used = (rows + 1, width) if used + width > _NARROWEST_PX else (rows, used + width)
    return 26 * rows + 8


def labels_px(labels: Iterable[str]) -> int:
    """About how wide a left margin must be for the names on its axis."""
    return 22 + round(7.4 * max((len(label) for label in labels), default=0))


def time_axis(low_s: float, high_s: float) -> dict[str, object]:
    """A logarithmic axis of seconds, ticks with their units, in whole decades."""
    low, high = math.floor(math.log10(max(low_s, 1e-7))), math.ceil(math.log10(max(high_s, 1e-6)) + 1e-9)
    ticks = {value: text for value, text in _TIMES.items() if 10**low <= value * 1.001 and value <= 10**high * 1.001}
    return {"type": "log", "range": [low, high], "tickvals": list(ticks), "ticktext": list(ticks.values())}


def tint(colour: str, share: float) -> str:
    """`colour` (#rrggbb) mixed with white: 1 is the colour itself."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * share):02x}" for part in parts)


def faint(colour: str, opacity: float) -> str:
    """`colour` (#rrggbb), letting the ground through: 1 is the colour itself."""
    return f"rgba({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))}, {opacity:g})"


def heat(share: float) -> str:
    """The colour of a utilisation from 0 to 1, of which there are as many as anybody can tell apart."""
    return _step(round(min(max(share, 0.0), 1.0) * _STEPS))


@cache
def _step(number: int) -> str:
    return str(sample_colorscale(SCALE, [number / _STEPS])[0])


def ink_on(share: float) -> str:
    """A text colour that can be read on `heat(share)`."""
    return "#ffffff" if share < 0.55 else "#10151b"


#: Colours on which dark text is read better.
_LIGHT = frozenset(COLOURS[stage] for stage in ("tx.stage", "rx.receive", "rx.decrypt"))


def ink_over(colour: str, hatched: bool = False) -> str:
    """A text colour that can be read on one of COLOURS, or on its hatching."""
    return "#10151b" if hatched or colour in _LIGHT else "#ffffff"


def nothing(height: int, message: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = base(height, xaxis={"visible": False}, yaxis={"visible": False})
    middle = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
    figure.update(annotations=[{**middle, "text": message, "font": {"color": MUTED}}])
    return figure
