"""What the dashboard shows, as the query of its address: a link reproduces a view.

    ?file=NAME&page=cores&from=1.5&to=4&dir=tx&peers=3,5&against=OTHER&sweep=NAME&theme=dark

Whoever follows a link may have typed it: what makes no sense is left out, never an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode

from wgprof.analysis.selection import Selection
from wgprof.analysis.tables import DIRECTIONS
from wgprof.recording.schema import MAX_OBJECTS

_LONGEST = 200
_MOST_PEERS = 512
#: A recording of more than a year is none.
_MOST_S = 4e7


@dataclass(frozen=True)
class State:
    """One view of one recording; empty and None mean the default."""

    file: str = ""
    page: str = ""
    start_s: float | None = None
    end_s: float | None = None
    direction: str | None = None
    peers: tuple[int, ...] = ()
    against: str = ""
    theme: str = ""
    sweep: str = ""

    @property
    def selection(self) -> Selection:
        """The part of the recording that is asked for."""
        return Selection(self.start_s, self.end_s, self.direction, frozenset(self.peers) if self.peers else None)

    def query(self) -> str:
        """The query of the address, with its question mark; empty for the default."""
        parts: dict[str, str] = {}
        for key, value in (("file", self.file), ("page", self.page)):
            parts |= {key: value} if value else {}
        parts |= {"from": f"{self.start_s:g}"} if self.start_s is not None else {}
        parts |= {"to": f"{self.end_s:g}"} if self.end_s is not None else {}
        parts |= {"dir": self.direction} if self.direction else {}
        parts |= {"peers": ",".join(map(str, self.peers))} if self.peers else {}
        for key, value in (("against", self.against), ("sweep", self.sweep), ("theme", self.theme)):
            parts |= {key: value} if value else {}
        return f"?{urlencode(parts, safe=',')}" if parts else ""

    def at(self, page: str) -> str:
        """The query of another page with the same selection."""
        return replace(self, page=page).query()


def parse(query: str) -> State:
    """The state a query says; of what is said twice the last."""
    found = {key: values[-1][:_LONGEST] for key, values in parse_qs(query.lstrip("?")[:8192]).items()}
    start_s, end_s = _seconds(found.get("from")), _seconds(found.get("to"))
    if start_s is not None and end_s is not None and end_s <= start_s:
        start_s = end_s = None
    direction = found.get("dir")
    return State(
        file=found.get("file", ""),
        page=found.get("page", ""),
        start_s=start_s,
        end_s=end_s,
        direction=direction if direction in DIRECTIONS else None,
        peers=_peers(parse_qs(query.lstrip("?")[:8192]).get("peers", [""])[-1]),
        against=found.get("against", ""),
        theme=found["theme"] if found.get("theme") in ("light", "dark") else "",
        sweep=found.get("sweep", ""),
    )


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= _MOST_S else None


def _peers(text: str) -> tuple[int, ...]:
    numbers = {int(word) for word in text.split(",") if word.isascii() and word.isdecimal() and len(word) < 6}
    return tuple(sorted(n for n in numbers if 0 < n < MAX_OBJECTS)[:_MOST_PEERS])
