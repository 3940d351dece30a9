"""On which CPU the servers that keep a peer's packets in order ran, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from wgprof.analysis.cores import Bins
from wgprof.analysis.order import SERVERS
from wgprof.analysis.tables import ints


@dataclass(frozen=True)
class Residence:
    """One server of one peer, one element each bin; `cpu` is the one it ran on longest, -1 where it did not run."""

    server: str
    object: int
    busy_ns: int
    cpu: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]  # of its time in the bin that was on that CPU


def residence_of(executions: pd.DataFrame, bins: Bins, most: int) -> list[Residence]:
    """The busiest servers, in the order of the path and of their peers."""
    mine = executions[executions["server"].isin(SERVERS) & (executions["object"] != 0)]
    at = bins.find(ints(mine, "t_ns"))
    mine, at = mine[at >= 0], at[at >= 0]
    code, names = pd.factorize(pd.Series(list(zip(mine["server"].astype(str), ints(mine, "object"), strict=True))))
    busy_ns = ints(mine, "busy_ns")
    whole = np.bincount(code, weights=busy_ns, minlength=len(names))
    cpus, cpu_at = np.unique(ints(mine, "cpu"), return_inverse=True)
    found = []
    for number in np.argsort(-whole, kind="stable")[:most]:
        rows = code == number
        spent = np.zeros((bins.start_s.size, cpus.size))
        np.add.at(spent, (at[rows], cpu_at[rows]), np.maximum(busy_ns[rows], 1))
        in_bin, best = spent.sum(axis=1), spent.argmax(axis=1)
        ran = in_bin > 0
        share = np.divide(spent.max(axis=1), in_bin, out=np.zeros(ran.size), where=ran)
        server, peer = names[number]
        found.append(Residence(server, int(peer), int(whole[number]), np.where(ran, cpus[best], -1), share))
    return sorted(found, key=lambda row: (SERVERS.index(row.server), row.object))
