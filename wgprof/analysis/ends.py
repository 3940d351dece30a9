"""Both ends of tunnels: from one recording that has them, or from one of each end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wgprof.analysis.delay import Passage, Split, crossings
from wgprof.analysis.journeys import Journeys
from wgprof.analysis.missing import Missing, Seen
from wgprof.analysis.offset import DECIDED, ClockWindow, Offset, SameClock, estimate_offset
from wgprof.analysis.pairing import End, Tunnel, both_ways, find_tunnels, of_tunnels
from wgprof.analysis.tables import Tables


@dataclass(frozen=True)
class Direction:
    """Packets of one direction: of one tunnel, a position in `Ends.tunnels`, or (`tunnel` None) of all."""

    to_second: bool
    tunnel: int | None
    split: Split
    seen: Seen


@dataclass(frozen=True)
class Ends:
    """Packets by what both ends saw of them; `first` and `second` say which ends those are.

    `windows` hold the second clock minus the first; there are none when both ends have the same clock.
    `wall_offset_ns` is what the wall clocks of the two machines say of that offset; None if they do not.
    """

    first: str
    second: str
    same_clock: bool
    windows: list[ClockWindow]
    wall_offset_ns: int | None
    tunnels: list[Tunnel]
    directions: list[Direction]

    @property
    def decided(self) -> bool:
        """Whether the clocks can be compared at any time."""
        return self.same_clock or any(window.state == DECIDED for window in self.windows)

    def of(self, to_second: bool, tunnel: int | None = None) -> Direction | None:
        """One direction, of one tunnel or of all."""
        return next((d for d in self.directions if d.to_second == to_second and d.tunnel == tunnel), None)


def ends_within(recording: Tables, journeys: Journeys) -> Ends | None:
    """The tunnels of which a recording has both ends; None when it has none."""
    end = End(recording, journeys)
    return _ends(end, end, None)


def ends_between(first: Tables, second: Tables, names: tuple[str, str]) -> Ends | None:
    """The tunnels between the machines of two recordings, called by `names`; None when these share no packet."""
    return _ends(End(first), End(second), names)


def _ends(first: End, second: End, names: tuple[str, str] | None) -> Ends | None:
    forth, back = both_ways(first, second)
    tunnels = find_tunnels(first, second, forth, back)
    if not tunnels:
        return None
    (forth, forth_tunnel), (back, back_tunnel) = of_tunnels(forth, tunnels, False), of_tunnels(back, tunnels, True)
    same = first is second
    offset: Offset = SameClock() if same else estimate_offset(crossings(forth, True), crossings(back, False))
    directions = []
    for to_second, halves, tunnel in ((True, forth, forth_tunnel), (False, back, back_tunnel)):
        passage, missing = Passage(halves, offset, to_second), Missing(halves, offset, to_second)
        # With a single tunnel it is all of them.
        for number in (None, *(range(len(tunnels)) if len(tunnels) > 1 else ())):
            mine = np.ones(tunnel.size, dtype=bool) if number is None else tunnel == number
            some = tunnels if number is None else [tunnels[number]]
            peers = [t.first for t in some], [t.second for t in some]
            senders, receivers = peers if to_second else peers[::-1]
            seen = missing.seen(int(np.count_nonzero(mine)), senders, receivers)
            if seen.both or seen.only_sender.missing:
                directions.append(Direction(to_second, number, passage.split(mine[passage.whole_way]), seen))
    wall = None
    if not same and first.boot_unix_ns is not None and second.boot_unix_ns is not None:
        wall = first.boot_unix_ns - second.boot_unix_ns
    if names is None:
        names = _devices(first, [t.first for t in tunnels]), _devices(second, [t.second for t in tunnels])
    return Ends(*names, same, offset.windows, wall, tunnels, directions)


def _devices(end: End, peers: list[int]) -> str:
    """What to call the devices of an end's peers together."""
    labels = list(dict.fromkeys(end.names.label(end.device(peer)) for peer in peers))
    return ", ".join(labels[:3]) + ("…" if len(labels) > 3 else "")
