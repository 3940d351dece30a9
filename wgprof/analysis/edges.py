"""What is known of the two edges of a recording: what may have been on its way there, or slipped between two looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wgprof.analysis.histogram import counts_of, largest
from wgprof.analysis.tables import Tables, Totals, by_object, only

_LEAST_READING_NS = 1_000_000
#: A GSO skb is at most 64 kB, its segments seldom under 1 kB.
MOST_SEGMENTS = 64


class Edge:
    """One edge of the recording: what is known of the interval beside it."""

    def __init__(self, recording: Tables, t_ns: int, dt_ns: int, agent_cpu_ns: int) -> None:
        #: Share of the interval that reading the counters may have taken.
        self._reading_share = min(1.0, max(_LEAST_READING_NS, agent_cpu_ns) / max(dt_ns, 1))
        depths = only(recording.table("depths"), t_ns=t_ns)
        bins = only(recording.table("histograms"), t_ns=t_ns)
        self._arrivals = Totals(only(recording.table("arrivals"), t_ns=t_ns), "queue", ("handoffs", "packets"))
        self._depths = Totals(depths, "queue", ("occupied", "depth_max"))
        stages = only(recording.table("stages"), t_ns=t_ns)
        self._stages = Totals(stages, "stage", ("packets",))
        self._cpus = int(stages["cpu"].nunique())
        self._bins = {
            (str(metric), number): largest(counts_of(rows))
            for metric, of_metric in bins.groupby("metric", observed=True)
            if str(metric).endswith(".depth")
            for number, rows in by_object(of_metric).items()
        }

    def in_flight(self, queue: str, peers: Sequence[int], each: int) -> int:
        """The most packets that can have been on the peers' queues; a hand-off holds at most `each`."""
        most = 0
        for peer in peers:
            seen = self._depths.of(queue, [peer])
            if seen["occupied"]:
                most += (self._bins.get((f"{queue}.depth", peer), seen["depth_max"]) + 1) * each
            elif self._arrivals.of(queue, [peer])["handoffs"]:
                # Never seen occupied; yet one hand-off may just have been on its way.
                most += each
        return most

    def skew(self, queue: str, peers: Sequence[int]) -> int:
        """The most packets that can have passed while the counters were being read."""
        return math.ceil(self._arrivals.of(queue, peers)["packets"] * self._reading_share)

    def inline_skew(self, stage: str, peers: Sequence[int]) -> int:
        """Likewise without a queue, and what each CPU may have had between two of its stages."""
        packets = self._stages.of(stage, peers)["packets"]
        return math.ceil(packets * self._reading_share) + self._cpus * MOST_SEGMENTS if packets else 0
