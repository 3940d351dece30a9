"""What the measuring itself cost."""

from __future__ import annotations

from dataclasses import dataclass

from wgprof.analysis import units
from wgprof.analysis.checks.check import OK, UNKNOWN, Check
from wgprof.analysis.tables import Tables, ints, total

#: From this share of all busy time on, what was measured is to a good part the measuring.
_MOST_OF_BUSY = 0.25


@dataclass(frozen=True)
class Overhead:
    """What the measuring itself cost; None where the kernel did not measure it."""

    probes_ce: float | None
    probes_ns_per_packet: float | None  # over all stages a packet passes
    agent_ce: float
    agent_rss_bytes: int
    measured_s: float


def overhead_of(recording: Tables, packets_per_s: float) -> Overhead:
    """Run time of the probes while the kernel measured it, and the agent's own CPU time."""
    intervals, probes = recording.table("intervals"), recording.table("probes")
    length_ns = max(int(ints(intervals, "dt_ns").sum()), 1)
    stats_ns = int(recording.manifest.get("probes", {}).get("bpf_stats_ns", 0))
    probes_ce = total(probes, "run_ns") / stats_ns if stats_ns > 0 else None
    per_packet = probes_ce * 1e9 / packets_per_s if probes_ce is not None and packets_per_s > 0 else None
    return Overhead(
        probes_ce,
        per_packet,
        total(intervals, "agent_cpu_ns") / length_ns,
        int(ints(intervals, "agent_rss_bytes").max(initial=0)),
        stats_ns / 1e9,
    )


def overhead_checks(overhead: Overhead, busy_ce: float) -> list[Check]:
    """Overhead is stated; where it is a large share of the machine's `busy_ce`, utilisation is left open."""
    agent = f"{units.cores(overhead.agent_ce)}, {units.size(overhead.agent_rss_bytes)} resident"
    rows = [Check("overhead", "agent", overhead.agent_ce, None, "CE", OK, agent)]
    if overhead.probes_ce is None:
        detail = "the kernel did not measure the probes' run time"
        rows.append(Check("overhead", "probes", None, None, "CE", UNKNOWN, detail))
        return rows
    detail = f"{units.cores(overhead.probes_ce)}"
    if overhead.probes_ns_per_packet is not None:
        detail += f", {units.duration(overhead.probes_ns_per_packet)} a packet"
    detail += f", measured for {overhead.measured_s:.1f} s; less than that in truth, as measuring has its own cost"
    rows.append(Check("overhead", "probes", overhead.probes_ce, None, "CE", OK, detail))
    if busy_ce > 0:
        share = (overhead.probes_ce + overhead.agent_ce) / busy_ce
        verdict = OK if share <= _MOST_OF_BUSY else UNKNOWN
        detail = f"{units.share(share)} of the {units.cores(busy_ce)} that the CPUs were busy"
        taints = ("utilisation", "caps")
        rows.append(Check("overhead", "both", share, _MOST_OF_BUSY, "share", verdict, detail, taints))
    return rows
