"""Figures as the plain data that plotly.js takes.

Plotly's own objects check each value they are given, several times longer than it takes to draw; nobody should wait for
that at every click.  `checked` is for tests: it has Plotly check all of a figure.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # takes a quarter of a second
    import plotly.graph_objects as go

#: One layer of a figure, with its type.
Trace = dict[str, Any]
#: What plotly.js calls the types of numbers that it takes in Base64; whole numbers are put into the smallest.
_CODES = {"float32": "f4", "float64": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4"}
_WHOLE = (np.int8, np.uint8, np.int16, np.uint16, np.int32)


@dataclass
class Figure:
    """What is drawn, and around it: `data` and `layout` as in Plotly's reference."""

    data: list[Trace] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    def add(self, *traces: Trace) -> None:
        """Draw these over what is there."""
        self.data += traces

    def update(self, **layout: Any) -> None:
        """Set these parts of the layout, and of what is a mapping only what is named."""
        _merge(self.layout, layout)

    def update_axes(self, letter: str, **own: Any) -> None:
        """The same of all its x or y axes."""
        for name in self.layout:
            if name.startswith(f"{letter}axis"):
                _merge(self.layout[name], own)

    def plain(self) -> dict[str, Any]:
        """For JSON, arrays as plotly.js takes them quickest; a copy, which the caller may change."""
        return {"data": [_plain(trace) for trace in self.data], "layout": _plain(self.layout)}

    def to_json(self) -> str:
        """As JSON in which no text can end a script."""
        from plotly.io.json import to_json_plotly

        return str(to_json_plotly(self.plain()))

    def checked(self) -> go.Figure:
        """As Plotly's object.  Raises ValueError if plotly.js would not know what is in it."""
        import plotly.graph_objects as go

        return go.Figure(data=self.data, layout=self.layout)


def scatter(**own: Any) -> Trace:
    """Points, lines or areas."""
    return {"type": "scatter", **own}


def bar(**own: Any) -> Trace:
    """Bars."""
    return {"type": "bar", **own}


def heatmap(**own: Any) -> Trace:
    """A heat map."""
    return {"type": "heatmap", **own}


def icicle(**own: Any) -> Trace:
    """A tree from the top down."""
    return {"type": "icicle", **own}


def line_across(*, x: float | None = None, y: float | None = None, panel: int = 1, **line: Any) -> dict[str, Any]:
    """A shape: a line through a panel, upright at `x` or level at `y`."""
    number = "" if panel == 1 else str(panel)
    if x is not None:
        at = {"x0": x, "x1": x, "y0": 0, "y1": 1, "xref": f"x{number}", "yref": f"y{number} domain"}
    else:
        at = {"x0": 0, "x1": 1, "y0": y, "y1": y, "xref": f"x{number} domain", "yref": f"y{number}"}
    return {"type": "line", **at, "line": line}


def _merge(into: dict[str, Any], own: Mapping[str, Any]) -> None:
    for name, value in own.items():
        there = into.get(name)
        if isinstance(value, Mapping) and isinstance(there, dict):
            _merge(there, value)
        else:
            into[name] = value


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _packed(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        # Long lists are of texts and numbers alone.
        return [_plain(each) for each in value] if any(isinstance(each, _HOLDS_MORE) for each in value) else list(value)
    return value


_HOLDS_MORE = (np.ndarray, Mapping, list, tuple)


def _packed(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind in "iu" and values.size:
        low, high = int(values.min()), int(values.max())
        fits = (kind for kind in _WHOLE if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
        values = values.astype(next(fits, np.float64))
    code = _CODES.get(values.dtype.name)
    if code is None or not values.size:
        return values.tolist()
    shape = {"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {}
    return {"dtype": code, "bdata": base64.b64encode(values.tobytes()).decode("ascii"), **shape}
