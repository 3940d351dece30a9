"""Whose a row is, as labels that mean the same in every recording: interface, network namespace, peer's key."""

from __future__ import annotations

from wgprof.analysis.names import clean
from wgprof.analysis.tables import Tables

_KEY_LENGTH = 64


class Places:
    """Look-ups of a recording's objects and network namespaces."""

    def __init__(self, recording: Tables) -> None:
        rows = recording.table("objects").to_dict("records")
        self._rows = {int(row["object"]): row for row in rows}
        known = [*recording.manifest["interfaces"], *recording.manifest["outer"], *rows]
        self._netns = {int(row["netns"]): str(row["netns_name"]) for row in known}

    def of(self, number: object) -> tuple[str, str, str]:
        """Interface, network namespace and public key of an object; the key is empty for a device, all for work of
        no known peer or of several."""
        row = self._rows.get(int(str(number))) if number is not None else None
        if row is None:
            return "", "", ""
        device = self._rows.get(int(row["device"]), row)
        return clean(device["name"]), self.netns(device["netns"]), clean(row["public_key"], _KEY_LENGTH)

    def netns(self, inode: object) -> str:
        """A namespace's name, or its inode number where it has none."""
        number = int(str(inode))
        return clean(self._netns.get(number, "")) or str(number)
