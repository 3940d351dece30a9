"""The tables of a recording that calibration reads, within its window, of data and of acknowledgements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.tables import STAGES, Tables, direction_of, ints, only, total, within
from wgprof.analysis.window import Window

#: Peers whose packets in a direction are smaller than this share of the largest peer's only acknowledge in it.
_SMALL = 0.25
#: Likewise of that peer's other direction, where one goes in lists of so many segments (GSO) and the other does not.
_SMALLER, _LIST = 0.8, 4


@dataclass(frozen=True)
class Sums:
    """Tables of a recording: of all packets, or of some peers' alone."""

    stages: pd.DataFrame
    executions: pd.DataFrame
    cpus: pd.DataFrame
    histograms: pd.DataFrame
    objects: pd.DataFrame

    def packets(self, stage: str) -> int:
        """Packets that passed a stage."""
        return total(only(self.stages, stage=stage), "packets")

    def service_ns(self, stage: str) -> int:
        """CPU time in a stage."""
        return total(only(self.stages, stage=stage), "service_ns")

    def size(self, stage: str) -> float:
        """Mean packet at a stage, bytes."""
        return total(only(self.stages, stage=stage), "bytes") / max(self.packets(stage), 1)

    def server(self, name: str, column: str) -> int:
        """A column's sum over a server's executions."""
        return total(only(self.executions, server=name), column)

    @property
    def productive(self) -> int:
        """Polls that delivered something."""
        return self.server("rx.napi", "executions") - self.server("rx.napi", "empty")

    @property
    def softirq_polls(self) -> pd.DataFrame:
        """Executions of the NAPIs that are polled in softirqs, not in threads."""
        threaded = ints(only(self.objects, threaded=1), "object")
        napi = only(self.executions, server="rx.napi")
        return napi[~np.isin(ints(napi, "object"), threaded)]

    @property
    def busy_ns(self) -> int:
        """CPU time, by the kernel's account."""
        return sum(total(self.cpus, column) for column in ("user_ns", "system_ns", "softirq_ns", "irq_ns"))

    @property
    def outside_ns(self) -> int:
        """CPU time outside of WireGuard's stages and servers, and of the softirqs they run in."""
        path = (
            total(self.stages, "service_ns") + total(self.executions, "busy_ns") + total(self.cpus, "probe_net_rx_ns")
        )
        return max(self.busy_ns - path, 0)


def sums_of(recording: Tables, window: Window) -> Sums:
    """All of a recording's, within a window."""

    def table(name: str) -> pd.DataFrame:
        return within(recording.table(name), window)

    return Sums(table("stages"), table("executions"), table("cpus"), table("histograms"), recording.table("objects"))


def data_and_acknowledgements(sums: Sums) -> tuple[Sums, Sums]:
    """TCP's data, and its acknowledgements: a direction in which a peer's packets are far smaller than others'.

    With a small MTU data is as small; it is then known by its lists of segments, and that it is larger all the same.
    """
    sizes = _sizes(sums, STAGES["rx"][1])
    device = dict(zip(ints(sums.objects, "object").tolist(), ints(sums.objects, "device").tolist(), strict=True))
    small = {key for key, size in sizes.items() if size < _SMALL * max(sizes.values())}
    small |= _beside_lists(sums) & sizes.keys()
    large = set(sizes) - small
    # A device's workers are of the kind that its peers are; of data, if they are of both.
    of_large = {(direction, device.get(peer, 0)) for direction, peer in large}
    of_small = {(direction, device.get(peer, 0)) for direction, peer in small} - of_large
    return _without(sums, small | of_small), _without(sums, large | of_large)


def _sizes(sums: Sums, receive: str) -> dict[tuple[str, int], float]:
    """Mean packet of each direction and peer, bytes; of what is received, at the stage `receive`."""
    found = {}
    for direction, stage in (("tx", STAGES["tx"][1]), ("rx", receive)):
        by_peer = only(sums.stages, stage=stage).groupby("object", observed=True)[["packets", "bytes"]].sum()
        by_peer = by_peer[by_peer["packets"] > 0]
        for peer, size in (by_peer["bytes"] / by_peer["packets"]).items():
            found[direction, int(str(peer))] = float(size)
    return found


def _beside_lists(sums: Sums) -> set[tuple[str, int]]:
    """The directions of peers with smaller packets than their other one, if that goes in lists."""
    by_peer = only(sums.stages, stage=STAGES["tx"][0]).groupby("object", observed=True)[["packets", "calls"]].sum()
    by_peer = by_peer[(by_peer["calls"] > 0) & (by_peer["packets"] >= _LIST * by_peer["calls"])]
    lists = {int(str(peer)) for peer in by_peer.index}
    sizes = _sizes(sums, STAGES["rx"][2])  # without WireGuard's header, as what is sent
    found = set()
    for (direction, peer), size in sizes.items() if lists else ():
        other = sizes.get(("tx" if direction == "rx" else "rx", peer), 0.0)
        # Either this peer sends the lists, and receives what acknowledges them, or the other way round.
        if size < _SMALLER * other and (peer in lists) == (direction == "rx"):
            found.add((direction, peer))
    return found


def _without(sums: Sums, unwanted: set[tuple[str, int]]) -> Sums:
    def kept(frame: pd.DataFrame, column: str) -> pd.DataFrame:
        names = frame[column].astype("category").cat
        directions = [direction_of(str(name)) for name in names.categories]
        keep = np.ones(len(frame), dtype=bool)
        objects = ints(frame, "object")
        for direction, number in unwanted:
            of = [at for at, name in enumerate(directions) if name == direction]
            keep &= ~(np.isin(names.codes.to_numpy(), of) & (objects == number))
        return frame[keep]

    return Sums(
        kept(sums.stages, "stage"),
        kept(sums.executions, "server"),
        sums.cpus,
        kept(sums.histograms, "metric"),
        sums.objects,
    )
