"""Names of devices and peers for people; strings of a recording are cleaned here, once."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import pandas as pd

NO_OBJECT = 0
_LONGEST = 48


def clean(text: object, longest: int = _LONGEST) -> str:
    """`text` on one line, without control, bidirectional and unassigned characters, cut to `longest`.

    A recording is untrusted input.  This makes its strings harmless on a terminal and keeps them from tearing a
    layout; escaping for HTML or markup is the business of whoever draws them.
    """
    flat = "".join(
        character if unicodedata.category(character)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)[: longest * 4]
    )
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


@dataclass(frozen=True)
class Thing:
    """A device or a peer."""

    number: int
    kind: str
    device: int
    name: str
    label: str
    netns: int
    internal_id: int
    threaded: int


@dataclass(frozen=True)
class Names:
    """The objects of a recording by number."""

    things: Mapping[int, Thing] = field(default_factory=dict)

    def label(self, number: int) -> str:
        """What to call an object on a screen."""
        if number in self.things:
            return self.things[number].label
        return "unknown peer" if number == NO_OBJECT else f"object {number}"

    def peers_of(self, device: int) -> list[int]:
        """The peers of a device."""
        return [t.number for t in self.things.values() if t.kind == "peer" and t.device == device]

    def devices(self) -> list[Thing]:
        """All devices."""
        return [t for t in self.things.values() if t.kind == "device"]


def names_of(objects: pd.DataFrame) -> Names:
    """Read the `objects` table.  A peer is called DEVICE@NETNS › KEY, shortened until it is still unique."""
    rows = objects.to_dict("records")
    places = {int(row["object"]): _place(row) for row in rows if row["kind"] == "device"}
    peers_at: dict[int, int] = {}
    for row in rows:
        if row["kind"] != "device":
            peers_at[int(row["device"])] = peers_at.get(int(row["device"]), 0) + 1
    things: dict[int, Thing] = {}
    for row in rows:
        number, device, kind = int(row["object"]), int(row["device"]), str(row["kind"])
        label = places.get(number) if kind == "device" else None
        if label is None:
            place = places.get(device) or _place(row)
            who = clean(row["public_key"], 9) or clean(row["endpoint"], 24) or f"#{number}"
            label = f"{place} › {who}"
        things[number] = Thing(
            number,
            "device" if kind == "device" else "peer",
            device,
            str(row["name"]),
            label,
            int(row["netns"]),
            int(row["internal_id"]),
            int(row["threaded"]),
        )
    return Names(_unique(things))


def _place(row: Mapping[Hashable, object]) -> str:
    name = clean(row["name"], 16) or "?"
    netns = clean(row["netns_name"], 20)
    return f"{name}@{netns}" if netns else name


def _unique(things: dict[int, Thing]) -> dict[int, Thing]:
    """Add the number to labels that more than one object would have."""
    seen: dict[str, int] = {}
    for thing in things.values():
        seen[thing.label] = seen.get(thing.label, 0) + 1
    return {
        number: thing if seen[thing.label] == 1 else Thing(**{**thing.__dict__, "label": f"{thing.label} #{number}"})
        for number, thing in things.items()
    }
