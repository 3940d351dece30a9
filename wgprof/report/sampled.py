"""What perf sampled, as tables of text."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.sampled import HotStack, Sampled
from wgprof.analysis.summary import Analysis
from wgprof.report.sheets import Sheet

_MOST_STACKS = 12
#: Of a long stack the outermost and the innermost functions are shown.
_OUTER, _INNER = 3, 3


def sampled_sheets(analysis: Analysis) -> list[Sheet]:
    """The hottest stacks, perf's counters and its account of delays; none if perf was not asked to look."""
    sampled = analysis.sampled
    if sampled is None:
        return []
    return [_stacks(sampled), _counters(sampled), _delays(sampled), _wanting(sampled)]


def _stacks(sampled: Sampled) -> Sheet:
    title = (
        f"Hottest stacks: perf, {sampled.window_s:.1f} s after the recording, without probes;"
        f" WireGuard's paths took {units.cores(sampled.wireguard_ce)}"
    )
    sheet = Sheet(title, ("stack, innermost last", "thread", "CPUs", "samples", "CE"), left=3)
    for stack in sampled.stacks[:_MOST_STACKS]:
        cpus = ",".join(map(str, stack.cpus[:8])) + ("…" if len(stack.cpus) > 8 else "")
        sheet.add([_shortened(stack), clean(stack.thread, 32), cpus, units.count(stack.samples), f"{stack.ce:.3f}"])
    return sheet


def _shortened(stack: HotStack) -> str:
    path = stack.path
    if len(path) > _OUTER + _INNER:
        path = (*path[:_OUTER], "…", *path[-_INNER:])
    return clean(" > ".join(path), 300)


def _counters(sampled: Sampled) -> Sheet:
    sheet = Sheet("perf's counters, all CPUs, in the same time", ("counter", "state", "per second"), left=2)
    for counter in sampled.counters:
        per_s = "" if counter.per_s is None else units.digits(counter.per_s)
        if counter.event.endswith("-clock") and counter.per_s is not None:
            per_s = units.cores(counter.per_s / 1e9)
        sheet.add([clean(counter.event, 40), clean(counter.state, 20), per_s])
    if sampled.instructions_per_cycle is not None:
        sheet.add(["instructions per cycle", "", f"{sampled.instructions_per_cycle:.2f}"])
    return sheet


def _delays(sampled: Sampled) -> Sheet:
    title = "Queued until running: perf kwork beside the probes (not at the same time)"
    sheet = Sheet(title, ("work", "n", "perf, mean", "probes, mean"))
    for delay in sampled.delays:
        sheet.add(
            [delay.work, units.count(delay.count), units.duration(delay.perf_ns), units.duration(delay.probes_ns)]
        )
    return sheet


def _wanting(sampled: Sampled) -> Sheet:
    sheet = Sheet("What perf could not do", ("what and why",))
    for line in sampled.wanting:
        sheet.add([clean(line, 400)], "error")
    return sheet
