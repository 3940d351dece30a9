"""Queue depths over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wgprof.analysis.cores import Bins
from wgprof.analysis.tables import LIMITS, FloatArray, IntArray, ints, only, total


@dataclass(frozen=True)
class DepthSeries:
    """One queue over time, one element each bin."""

    queue: str
    object: int
    start_s: FloatArray
    mean: FloatArray  # of the clock's samples; nan where there was none
    refused: IntArray  # packets refused in the bin


def depth_series(
    depths: pd.DataFrame,
    arrivals: pd.DataFrame,
    intervals: pd.DataFrame,
    most_bins: int,
    began_ns: int | None = None,
) -> list[DepthSeries]:
    """Every queue that ever held or refused anything, in the order of the path; the whole recording.

    `began_ns`: as `Bins.of`.
    """
    bins = Bins.of(intervals, most_bins, began_ns)
    count = bins.start_s.size

    def summed(frame: pd.DataFrame, column: str) -> IntArray:
        at = bins.find(ints(frame, "t_ns"))
        out = np.zeros(count, dtype=np.int64)
        np.add.at(out, at[at >= 0], ints(frame, column)[at >= 0])
        return out

    rows = []
    for queue in LIMITS:
        seen, met = only(depths, queue=queue), only(arrivals, queue=queue)
        for number in sorted({int(o) for frame in (seen, met) for o in frame["object"].unique()}):
            seen_here, met_here = only(seen, object=number), only(met, object=number)
            if not total(seen_here, "depth_sum") and not total(met_here, "refused_packets"):
                continue
            samples = summed(seen_here, "samples")
            mean = np.full(count, np.nan)
            np.divide(summed(seen_here, "depth_sum"), samples, out=mean, where=samples > 0)
            rows.append(DepthSeries(queue, number, bins.start_s, mean, summed(met_here, "refused_packets")))
    return rows
