"""Tunnels that are silent for a part of the time."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from tests.lab.constructed.draft import Draft, chosen
from tests.lab.constructed.machines import COUNTED, named
from wgprof.analysis.tables import PEER_QUEUES, RINGS, STAGES, BoolArray, ints, only, total

#: Of a measured machine.
_CPUS, _OBJECTS = 2, 4


def silent(
    draft: Draft, copies: Collection[int], begin: float, end: float, stuck: Mapping[int, int] | None = None
) -> Draft:
    """Nothing is sent in these copies between `begin` and `end`, shares of the recording, of which one is its edge.

    What was under way then is sent to its end, but for so many packets of the peers that are `stuck`.  Call it before
    `in_turns`.  The first copy, whose journeys there are, is never silent.
    """
    cpus, objects = _CPUS, _OBJECTS
    if 0 in copies:
        raise ValueError("the first copy has the journeys")
    tables = {name: draft.table(name) for name in (*COUNTED, "interfaces")}
    for name, frame in tables.items():
        gone = _between(draft, frame, begin, end)
        if name == "interfaces":
            gone &= chosen(frame, name=[named(x, n) for n in copies for x in ("wg0", "veth0")])
            figures = [c for c in frame if c not in ("t_ns", "dt_ns", "netns", "name")]
            frame.loc[gone, figures] = 0
        elif name in ("cpus", "softnet"):
            gone &= (frame["cpu"] // cpus).isin(copies).to_numpy()
            frame.loc[gone, [c for c in frame if c not in ("t_ns", "dt_ns", "cpu")]] = 0
            if name == "cpus":
                frame.loc[gone, "idle_ns"] = frame.loc[gone, "dt_ns"]
        else:
            gone &= ((frame["object"] - 1) // objects).isin(copies).to_numpy()
            tables[name] = frame[~gone]
    return _settled(draft.having(tables), copies, objects, begin if end >= 1 else end, stuck or {})


def _between(draft: Draft, frame: pd.DataFrame, begin: float, end: float) -> BoolArray:
    starts = np.sort(ints(draft.tables["intervals"], "t_ns"))
    low, high = (starts[0] + share * (starts[-1] - starts[0]) for share in (begin, end))
    when = ints(frame, "t_ns")
    return np.asarray((when >= low) & ((when < high) | (end >= 1)))


def _settled(draft: Draft, copies: Collection[int], objects: int, edge: float, stuck: Mapping[int, int]) -> Draft:
    """What was under way where silence begins or ends is added to, or taken off, what passed the stages just there."""
    stages, interfaces = draft.table("stages"), draft.table("interfaces")
    arrivals, things = draft.tables["arrivals"], draft.tables["objects"].set_index("object")
    starts = ints(draft.tables["intervals"], "t_ns")
    edge_ns = starts.min() + edge * (starts.max() - starts.min())
    for peer in (objects * copy + place for copy in copies for place in range(1, objects + 1)):
        if things["kind"][peer] != "peer":
            continue
        for way, (_, crypt, last) in STAGES.items():
            met = only(arrivals, object=peer, queue=PEER_QUEUES[way])
            came = total(met, "packets") - total(met, "refused_packets")
            device = things["device"][peer]
            refused = total(only(arrivals, object=device, queue=RINGS[way]), "refused_packets")
            for stage, wanted in ((crypt, came - refused), (last, came - stuck.get(peer, 0) * (way == "rx"))):
                mine = only(stages, object=peer, stage=stage)
                lacking = wanted - total(mine, "packets") - total(mine, "failed")
                _add(stages, mine, lacking, edge_ns, ("packets", "calls"), "bytes")
                if stage == last:
                    mine = interfaces[chosen(interfaces, netns=int(things["netns"][peer]), name=things["name"][peer])]
                    lacking = total(only(stages, object=peer, stage=stage), "packets") - total(mine, f"{way}_packets")
                    _add(interfaces, mine, lacking, edge_ns, (f"{way}_packets",), f"{way}_bytes")
    return draft.having({"stages": stages, "interfaces": interfaces})


def _add(
    frame: pd.DataFrame, among: pd.DataFrame, lacking: int, edge_ns: float, counts: tuple[str, ...], size: str
) -> None:
    """Add packets, and bytes in proportion, to the row nearest to the edge that has packets enough."""
    packets = counts[0]
    fit = among[ints(among, packets) > abs(lacking)]
    if not lacking or not len(fit):
        return
    at = fit.index[[int(np.argmin(np.abs(ints(fit, "t_ns") - edge_ns)))]]
    each = ints(frame.loc[at], size) // ints(frame.loc[at], packets)
    for column in counts:
        frame.loc[at, column] = ints(frame.loc[at], column) + lacking
    frame.loc[at, size] = ints(frame.loc[at], size) + lacking * each
