"""The outer path's part of a TICK, checked; and the tables made of it: softnet, udp and sockets.

The agent looks at softnet with every tick, at UDP less often: such a row covers the time since the
look before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wgprof.recording.schema import BY_NAME, MAX_CPUS
from wgprof.recording.sink import Sink
from wgprof.recording.untrusted import Damage, integer, integers, items

#: The kernel prints these counters with 32 bits: they wrap.
_WRAP = 1 << 32
_MOST_ROWS = 10_000

Key = tuple[int, ...]
Rows = dict[Key, list[int]]


@dataclass(frozen=True)
class OuterTick:
    """Running totals: CPU -> softnet's and the backlog; namespace -> UDP's; namespace and port -> a socket's.

    None is what the agent did not look at in this tick.
    """

    softnet: Rows | None
    udp: Rows | None
    sockets: Rows | None


def parse_outer(value: Mapping[str, Any]) -> OuterTick:
    """The part of a tick's JSON.  Raises Damage."""
    softnet = _rows(value, "softnet", 1, 6)
    if any(cpu >= MAX_CPUS for (cpu,) in softnet or ()):
        raise Damage("a tick has softnet counts of a CPU that cannot be")
    sockets = _rows(value, "sockets", 2, 2)
    if any(port > 65535 for _, port in sockets or ()):
        raise Damage("a tick has a socket with a port that cannot be")
    return OuterTick(softnet, _rows(value, "udp", 1, 5), sockets)


def _rows(value: Mapping[str, Any], name: str, keys: int, counters: int) -> Rows | None:
    if name not in value:
        return None
    found = {}
    for row in items(value[name], f"a tick's {name}", _MOST_ROWS):
        cells = items(row, f"a row of a tick's {name}", keys + counters)
        if len(cells) != keys + counters:
            raise Damage(f"a row of a tick's {name} has not {keys + counters} values")
        what = f"a tick's {name}"
        # Only softnet's last word, the backlog, may be unknown.
        last = integer(cells[-1], what, low=-1 if name == "softnet" else 0)
        found[tuple(integers(cells[:keys], what))] = [*integers(cells[keys:-1], what), last]
    return found


class OuterTables:
    """Feeds the three tables; counters that fell are counted in `went_back`, by where."""

    def __init__(self, spill: Path | None, went_back: dict[str, int]) -> None:
        self.sinks = {name: Sink(BY_NAME[name], {}, spill) for name in ("softnet", "udp", "sockets")}
        self._went_back = went_back
        self._before: dict[str, Rows] = {}
        self._looked_ns: dict[str, int] = {}

    def baseline(self, tick: OuterTick, t_ns: int) -> None:
        self._remember(tick, t_ns)

    def interval(self, tick: OuterTick, t_ns: int, dt_ns: int) -> None:
        """Add the rows of the interval that `tick` closes."""
        end_ns = t_ns + dt_ns
        for name, rows in _looked_at(tick).items():
            since_ns = self._looked_ns.get(name, t_ns)
            when = {"t_ns": since_ns, "dt_ns": end_ns - since_ns}
            for key, new in rows.items():
                self._row(name, key, new, when)
        self._remember(tick, end_ns)

    def _row(self, name: str, key: Key, new: list[int], when: Mapping[str, int]) -> None:
        old = self._before.get(name, {}).get(key)
        if old is None:  # a CPU, a namespace or a socket that is new: what it counted before is not ours
            return
        # The last value of softnet and of sockets is a level.
        counters = len(new) - (name != "udp")
        grown = [a - b for a, b in zip(new[:counters], old[:counters], strict=True)]
        if name == "softnet":
            grown = [_unwrapped(gain) for gain in grown]
        if min(grown) < 0:
            where = f"{name} {' '.join(map(str, key))}"
            self._went_back[where] = self._went_back.get(where, 0) + 1
            return
        values = grown + new[counters:]
        if name != "softnet" and not any(values):
            return
        columns = [column.name for column in self.sinks[name].table.columns[2:]]
        self.sinks[name].add(1, **when, **dict(zip(columns, [*key, *values], strict=True)))

    def _remember(self, tick: OuterTick, t_ns: int) -> None:
        for name, rows in _looked_at(tick).items():
            self._before[name] = rows
            self._looked_ns[name] = t_ns


def _unwrapped(gain: int) -> int:
    """The gain of a 32 bit counter that may have wrapped once; negative if it fell instead."""
    gain %= _WRAP
    return gain if gain < _WRAP // 2 else gain - _WRAP


def _looked_at(tick: OuterTick) -> dict[str, Rows]:
    parts = {"softnet": tick.softnet, "udp": tick.udp, "sockets": tick.sockets}
    return {name: rows for name, rows in parts.items() if rows is not None}
