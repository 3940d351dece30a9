"""Sampled stacks in folded form, one a line with its count: what flame graph tools read."""

from __future__ import annotations

from collections.abc import Iterator

from wgprof.analysis.names import clean
from wgprof.analysis.sampled import ELSEWHERE
from wgprof.analysis.tables import Tables, total
from wgprof.errors import RecordingError


def folded_lines(recording: Tables) -> Iterator[str]:
    """`THREAD;FUNCTION;.. SAMPLES` of all CPUs together, the most frequent first; only WireGuard's.

    Raises RecordingError if there are none.
    """
    stacks = recording.table("stacks")
    ours = stacks[stacks["stack"] != ELSEWHERE]
    if ours.empty:
        raise RecordingError(
            "the recording has no stacks of WireGuard's", "Record with --stacks 5; `wgprof show` says what perf lacked."
        )
    counts = [
        (-total(rows, "samples"), ";".join(part for part in (str(thread).replace(";", ":"), str(stack)) if part))
        for (thread, stack), rows in ours.groupby(["thread", "stack"], observed=True, sort=False)
    ]
    for samples, stack in sorted(counts):
        yield f"{clean(stack, len(stack))} {-samples}"
