"""Journey events: ring buffer bytes to the table `journeys`, without a Python step per event."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wgprof.agent import layout
from wgprof.recording.schema import BY_NAME, MAX_CPUS
from wgprof.recording.sink import Sink
from wgprof.recording.untrusted import Damage

EVENT = np.dtype(
    [
        ("length", "<u4"),  # with the ring buffer's flags, as in include/uapi/linux/bpf.h
        ("page", "<u4"),
        ("end_ns", "<u8"),
        ("nonce", "<u8"),
        ("key_index", "<u4"),
        ("service_ns", "<u4"),
        ("cpu", "<u2"),
        ("slot", "<u2"),
        ("point", "u1"),
        ("flags", "u1"),
        ("extra", "<u2"),
    ]
)
assert EVENT.itemsize == layout.EVENT_STRIDE
assert EVENT.names is not None and EVENT.names[2:] == layout.EVENT_FIELDS
#: BPF_RINGBUF_DISCARD_BIT: the program took the record back.
DISCARDED = 1 << 30


class JourneyTable:
    """Feeds the table `journeys`; `discarded` and `bad` count the records that are not in it."""

    def __init__(self, spill: Path | None) -> None:
        self.sink = Sink(BY_NAME["journeys"], {}, spill)
        self.discarded = 0
        self.bad = 0

    def add(self, payload: bytes) -> None:
        """Add the events of an EVENTS frame.  Raises Damage if the bytes are no ring records."""
        if len(payload) % EVENT.itemsize:
            raise Damage("a frame of events ends inside an event")
        events = np.frombuffer(payload, EVENT)
        if ((events["length"] & ~np.uint32(DISCARDED)) != layout.EVENT.size).any():
            raise Damage("a frame of events has something else in it")
        kept = events["length"] == layout.EVENT.size
        good = (
            kept
            & (events["point"] - np.uint8(1) < len(layout.POINTS))
            & (events["cpu"] < MAX_CPUS)
            & (events["end_ns"] < np.uint64(1 << 63))
        )
        count, good_count = int(np.count_nonzero(kept)), int(np.count_nonzero(good))
        self.discarded += len(events) - count
        self.bad += count - good_count
        if good_count < len(events):
            events = events[good]
        self.sink.add(
            good_count,
            end_ns=events["end_ns"],
            nonce=events["nonce"],
            key_index=events["key_index"],
            service_ns=events["service_ns"],
            cpu=events["cpu"],
            object=events["slot"],
            point=events["point"],
            flags=events["flags"],
            extra=events["extra"],
        )
