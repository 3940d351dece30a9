"""A recording as a trace for ui.perfetto.dev and chrome://tracing.

Both read Chrome's JSON trace events; Perfetto's own protobuf needs a library, and only one of the two reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wgprof.analysis.cores import Bins
from wgprof.analysis.journeys import Journeys, join_journeys
from wgprof.analysis.names import Names, names_of
from wgprof.analysis.selection import Part, Selection
from wgprof.analysis.tables import IntArray, Tables, ints
from wgprof.errors import RecordingError, UsageError
from wgprof.export.counters import bins_of, counter_events
from wgprof.export.events import Tracks
from wgprof.export.slices import cpu_events, first_seen_ns, peer_events

#: A packet takes about a kilobyte of trace, a counter's value a tenth of one.
MOST_PACKETS = 20_000
MOST_VALUES = 100_000


@dataclass(frozen=True)
class Trace:
    """What is drawn: the counters of `part`, in `bins`, and of the sampled packets those at `rows`."""

    part: Part
    bins: Bins
    names: Names
    journeys: Journeys
    rows: IntArray
    notes: tuple[str, ...]  # what was left out

    def lines(self) -> Iterator[str]:
        """The JSON text, an event a line."""
        tracks = Tracks()
        manifest = self.part.manifest
        about = {
            "recorded with": f"wgprof {manifest['writer_version']}",
            "began": manifest["clock"]["start_unix_ns"],
            "sampled": _sampled(self.part),
            "left out": " ".join(self.notes),
        }
        yield f'{{"displayTimeUnit":"ns","otherData":{json.dumps(about)},"traceEvents":[\n'
        shown = self.journeys, self.rows, self.part.began_ns, self.names, tracks
        for event in cpu_events(*shown):
            yield f"{event.line},\n"
        for event in counter_events(self.part, self.bins, self.names, tracks):
            yield f"{event.line},\n"
        for event in peer_events(*shown):
            yield f"{event.line},\n"
        yield ",\n".join(event.line for event in tracks.events())
        yield "\n]}\n"


def trace_of(
    recording: Tables, from_s: float | None = None, to_s: float | None = None, most_packets: int = MOST_PACKETS
) -> Trace:
    """The trace of a recording, or of a part in seconds since it began; packets that began there are drawn whole.

    Raises UsageError if there is no such part, RecordingError if nothing was recorded.
    """
    intervals = recording.table("intervals")
    if not len(intervals):
        raise RecordingError("the recording has no intervals, so there is nothing to draw", "Record again, for longer.")
    starts_ns, lengths_ns = ints(intervals, "t_ns"), ints(intervals, "dt_ns")
    length_s = (int((starts_ns + lengths_ns).max()) - int(starts_ns.min())) / 1e9
    start_s, end_s = from_s or 0.0, length_s if to_s is None else to_s
    if not 0 <= start_s < min(end_s, length_s):
        raise UsageError(
            f"there is nothing from {start_s:g} s to {end_s:g} s", f"The recording is of 0 to {length_s:.1f} s."
        )
    # The interval that is running at the start belongs to it; less than a microsecond before it nothing begins.
    running_ns = starts_ns[starts_ns - starts_ns.min() <= start_s * 1e9].max() - starts_ns.min()
    part = Part(recording, Selection(start_s=running_ns / 1e9 - 1e-6, end_s=to_s))
    journeys = join_journeys(recording.table("journeys"))
    began_ns = first_seen_ns(journeys) - part.began_ns
    inside = np.flatnonzero((began_ns >= start_s * 1e9) & (began_ns < end_s * 1e9))
    rows = inside[np.argsort(began_ns[inside], kind="stable")]
    bins = bins_of(part, MOST_VALUES)
    notes = list(_notes(part, bins, journeys, began_ns[rows], most_packets))
    return Trace(part, bins, names_of(recording.table("objects")), journeys, rows[:most_packets], tuple(notes))


def _notes(part: Part, bins: Bins, journeys: Journeys, began_ns: IntArray, most: int) -> Iterator[str]:
    """What the trace has not, a sentence each."""
    if not len(journeys):
        yield "The recording has no sampled packets: there are counters alone."
    elif not began_ns.size:
        yield "No sampled packet began in this time: there are counters alone."
    elif began_ns.size > most:
        yield (
            f"Only the first {most:,} of {began_ns.size:,} sampled packets are drawn, those that began before "
            f"{began_ns[most] / 1e9:.3f} s; --from and --to choose others."
        )
    intervals = len(part.table("intervals"))
    if bins.start_s.size < intervals:
        together = -(-intervals // bins.start_s.size)
        yield f"Counters are means over {together} intervals each; --from and --to of less time show every one."


def _sampled(part: Part) -> str:
    every = ints(part.table("intervals"), "sample_every")
    low, high = int(every.min(initial=1)), int(every.max(initial=1))
    return f"one packet in {low}" if low >= high else f"one packet in {low} to {high}"
