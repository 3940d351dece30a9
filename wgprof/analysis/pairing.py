"""Which peer of one end is which of the other, and which journeys are two halves of one.

A data packet carries its receiver's session index and its nonce in clear, so both ends see the same
(key index, nonce).  Names say nothing: every machine calls its interface wg0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from wgprof.analysis.journeys import Journeys, Sampling, join_journeys
from wgprof.analysis.names import NO_OBJECT, Names, names_of
from wgprof.analysis.tables import BoolArray, IntArray, Tables, ints, total

_SENT, _RECEIVED = 2, 0  # rows of Journeys: tx.send, rx.receive


class End:
    """A recording as one end of tunnels."""

    def __init__(self, recording: Tables, journeys: Journeys | None = None) -> None:
        objects, intervals = recording.table("objects"), recording.table("intervals")
        self.journeys = join_journeys(recording.table("journeys")) if journeys is None else journeys
        self.sampling = Sampling.of(recording)
        self.names: Names = names_of(objects)
        self.public_keys: Mapping[int, str] = dict(
            zip(ints(objects, "object").tolist(), map(str, objects["public_key"]), strict=True)
        )
        t_ns = ints(intervals, "t_ns")
        self.start_ns = int(t_ns.min(initial=np.iinfo(np.int64).max))
        self.end_ns = int((t_ns + ints(intervals, "dt_ns")).max(initial=0))
        missed = ints(recording.table("probes"), "misses")
        #: Whether journey events may be missing; so they may where misses are not known (-1).
        self.lossy = total(recording.table("losses"), "count") > 0 or bool((missed != 0).any())
        #: When its clock was zero, by its wall clock; None if it does not say.
        self.boot_unix_ns = _boot_unix_ns(recording.manifest.get("clock"))

    @cached_property
    def sent(self) -> IntArray:
        """Journeys that left for the network."""
        journeys = self.journeys
        return np.flatnonzero(
            journeys.of("tx") & journeys.seen[_SENT] & ~journeys.failed & (journeys.object != NO_OBJECT)
        )

    @cached_property
    def received(self) -> IntArray:
        """Journeys that came from the network."""
        journeys = self.journeys
        return np.flatnonzero(journeys.of("rx") & journeys.seen[_RECEIVED] & (journeys.object != NO_OBJECT))

    def device(self, number: int) -> int:
        """The device of a peer."""
        thing = self.names.things.get(number)
        return thing.device if thing is not None else NO_OBJECT

    def ranks(self, objects: IntArray) -> IntArray:
        """The place of each peer in the order of network namespaces and, in one, of numbers."""
        things = self.names.things
        order = sorted(things, key=lambda number: (things[number].netns, number))
        rank = {number: place for place, number in enumerate(order)}
        found, at = np.unique(objects, return_inverse=True)
        places = [rank.get(number, len(rank) + number) for number in found.tolist()]
        return np.array(places, dtype=np.int64)[at]


def _boot_unix_ns(clock: object) -> int | None:
    start_ns, unix_ns = (clock.get(key) if isinstance(clock, dict) else None for key in ("start_ns", "start_unix_ns"))
    return unix_ns - start_ns if isinstance(start_ns, int) and isinstance(unix_ns, int) and unix_ns > 0 else None


@dataclass(frozen=True)
class Tunnel:
    """Two peers that are each other's other end; `sessions` are the key indices both saw, of both directions."""

    first: int
    second: int
    first_label: str
    second_label: str
    sessions: int
    packets: int


@dataclass(frozen=True)
class Halves:
    """Packets of one direction by their journeys at both ends: positions in the ends' `Journeys`."""

    sender: End
    receiver: End
    sent: IntArray
    received: IntArray

    def where(self, keep: BoolArray) -> Halves:
        """Only some of the packets."""
        return Halves(self.sender, self.receiver, self.sent[keep], self.received[keep])

    def objects(self) -> tuple[IntArray, IntArray]:
        """The sending and the receiving peer of each packet."""
        return self.sender.journeys.object[self.sent], self.receiver.journeys.object[self.received]

    def __len__(self) -> int:
        return int(self.sent.size)


def seen_by_both(sender: End, receiver: End) -> Halves:
    """Every pair of a sent and a received journey with the same key index and nonce."""
    frames = [
        pd.DataFrame({"key": end.journeys.key_index[at], "nonce": end.journeys.nonce[at], where: at})
        for end, at, where in ((sender, sender.sent, "sent"), (receiver, receiver.received, "received"))
    ]
    both = frames[0].merge(frames[1], on=["key", "nonce"])
    return Halves(sender, receiver, ints(both, "sent"), ints(both, "received"))


def both_ways(first: End, second: End) -> tuple[Halves, Halves]:
    """The packets from the first end to the second, and those the other way.

    Both may be the same recording; then the first end of a tunnel is the one in the lower network namespace.
    """
    if first is not second:
        return seen_by_both(first, second), seen_by_both(second, first)
    halves = seen_by_both(first, first)
    sender, receiver = (first.ranks(objects) for objects in halves.objects())
    return halves.where(sender < receiver), halves.where(sender > receiver)


def find_tunnels(first: End, second: End, to_second: Halves, to_first: Halves) -> list[Tunnel]:
    """Peers that share packets, the most first; each peer has one other end.

    A session index is a random number of 32 bits, so two sessions that have nothing to do with each other may once
    in a long while have the same; the pair with fewer packets then loses.  It also loses when it contradicts the
    public keys: the peers of one end that lead to one device of the other must all have that device's key.
    """
    if not len(to_second) and not len(to_first):
        return []
    shared = pd.concat([_shared(to_second, swap=False), _shared(to_first, swap=True)])
    pairs = shared.groupby(["first", "second"]).agg(packets=("packets", "sum"), sessions=("key", "size"))
    pairs = pairs.reset_index().sort_values("packets", ascending=False, kind="stable")
    other = 0 if first is second else 1
    taken: set[tuple[int, int]] = set()
    keys: dict[tuple[int, int], str] = {}
    tunnels = []
    for p, q, packets, sessions in pairs.to_numpy(dtype=np.int64).tolist():
        says = {
            (0, second.device(q)): first.public_keys.get(p, ""),
            (other, first.device(p)): second.public_keys.get(q, ""),
        }
        contradicted = any(keys.get(device, key) != key for device, key in says.items())
        if contradicted or (0, p) in taken or (other, q) in taken:
            continue
        taken |= {(0, p), (other, q)}
        keys |= says
        tunnels.append(Tunnel(p, q, first.names.label(p), second.names.label(q), sessions, packets))
    return tunnels


def of_tunnels(halves: Halves, tunnels: list[Tunnel], swap: bool) -> tuple[Halves, IntArray]:
    """Without pairs that are no tunnel, and the position in `tunnels` of each packet; `swap`: from second to first."""
    places = {((t.second, t.first) if swap else (t.first, t.second)): at for at, t in enumerate(tunnels)}
    sender, receiver = halves.objects()
    code, codes = pd.factorize((sender << 32) | receiver)
    place = np.array([places.get((int(c) >> 32, int(c) & 0xFFFFFFFF), -1) for c in codes], dtype=np.int64)[code]
    return halves.where(place >= 0), place[place >= 0]


def _shared(halves: Halves, swap: bool) -> pd.DataFrame:
    p, q = reversed(halves.objects()) if swap else halves.objects()
    frame = pd.DataFrame({"first": p, "second": q, "key": halves.sender.journeys.key_index[halves.sent]})
    return frame.groupby(["first", "second", "key"]).size().rename("packets").reset_index()
