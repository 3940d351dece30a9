"""What the probes count and how it lies in memory; the Python twin of `probes/wgprof.h`.

Everything that is counted lives in *cells*: eight 64 bit counters and a histogram, one cell for
each (object, CPU, kind).  Counters only ever grow, so a reader may look at any time and take
differences.  `tests/unit/test_layout.py` compares this file with the C header.
"""

from __future__ import annotations

import struct
from typing import Dict, NamedTuple, Tuple

#: Sub-buckets in a power of two.  Eight keep the error of a bucket's middle under 6 %.
SUB_BUCKET_BITS = 3
SUB_BUCKETS = 1 << SUB_BUCKET_BITS
BUCKETS = 192
#: Durations are counted in units of 1 << DURATION_SHIFT nanoseconds, so that the buckets reach
#: 268 ms and times from 32 ns keep the 6 %.  Depths are counted as they are.
DURATION_SHIFT = 2
COUNTERS = 8
CELL = struct.Struct("<%dQ%dI" % (COUNTERS, BUCKETS))
#: In a TICK payload each cell is preceded by: object slot, cpu, kind, zero.
CELL_PREFIX = struct.Struct("<HHHH")

#: Work that belongs to no known peer or device is counted here.
SLOT_NONE = 0

#: struct journey_event, and the ring buffer's own header of 8 bytes in front of it.
EVENT = struct.Struct("<QQIIHHBBH")
RING_HEADER = 8
EVENT_STRIDE = RING_HEADER + EVENT.size
EVENT_FIELDS = ("end_ns", "nonce", "key_index", "service_ns", "cpu", "slot", "point", "flags", "extra")


class CellKind(NamedTuple):
    number: int
    name: str
    group: str  # "stage", "execution", "arrival", "depth", "softirq"; below, "poll" to "ipi"
    counters: Tuple[str, ...]  # names of the first counters; the rest are unused
    histogram: str  # what the histogram holds: "service_ns", "delay_ns", "depth" ..; "": nothing


_STAGE = ("packets", "bytes", "service_ns", "nested_ns", "failed", "calls")
_EXECUTION = ("executions", "packets", "busy_ns", "empty", "empty_ns", "wakeups", "delay_ns", "delayed")
_ARRIVAL = ("handoffs", "packets", "refused", "refused_packets", "depth_sum", "depth_max", "outside")
_DEPTH = ("samples", "depth_sum", "depth_max", "occupied")
_SOFTIRQ = ("net_rx_runs", "net_rx_ns", "net_tx_runs", "net_tx_ns", "other_runs", "other_ns")
_POLL = (
    "productive",
    "missed",
    "missed_wasted",
    "nested",
    "empty_queue",
    "head_not_ready",
    "nested_wasted",
    "nested_wasted_ns",
)
_ORDER = ("episodes", "blocked_ns", "timed", "timed_ns", "moves", "ready_ns", "stay_ns")
_PREEMPTION = ("calls", "softirq_ns", "net_rx", "net_rx_ns", "softirqs", "switches", "switched_ns")
_WAKE = ("woken", "runqueue_ns")
_LOCK = ("waits", "wait_ns")
_IPI = ("reschedules", "calls", "sent_stage", "sent_receive", "sent_work", "sent_poll", "sent_elsewhere")

_KINDS = (
    ("tx.stage", "stage", _STAGE, "service_ns"),
    ("tx.encrypt", "stage", _STAGE, "service_ns"),
    ("tx.send", "stage", _STAGE, "service_ns"),
    ("rx.receive", "stage", _STAGE, "service_ns"),
    ("rx.decrypt", "stage", _STAGE, "service_ns"),
    ("rx.deliver", "stage", _STAGE, "service_ns"),
    ("encrypt.work", "execution", _EXECUTION, "delay_ns"),
    ("decrypt.work", "execution", _EXECUTION, "delay_ns"),
    ("tx.work", "execution", _EXECUTION, "delay_ns"),
    ("rx.napi", "execution", _EXECUTION, "delay_ns"),
    ("encrypt-ring", "arrival", _ARRIVAL, "depth"),
    ("decrypt-ring", "arrival", _ARRIVAL, "depth"),
    ("tx-queue", "arrival", _ARRIVAL, "depth"),
    ("rx-queue", "arrival", _ARRIVAL, "depth"),
    ("encrypt-ring", "depth", _DEPTH, "depth"),
    ("decrypt-ring", "depth", _DEPTH, "depth"),
    ("tx-queue", "depth", _DEPTH, "depth"),
    ("rx-queue", "depth", _DEPTH, "depth"),
    ("tx.staged", "depth", _DEPTH, "depth"),
    ("softirq", "softirq", _SOFTIRQ, ""),
    ("tx.work", "poll", _POLL, "packets"),
    ("rx.napi", "poll", _POLL, "packets"),
    ("tx.work", "order", _ORDER, "blocked_ns"),
    ("rx.napi", "order", _ORDER, "blocked_ns"),
    ("tx.encrypt", "preemption", _PREEMPTION, "on_top_ns"),
    ("rx.decrypt", "preemption", _PREEMPTION, "on_top_ns"),
    ("encrypt.work", "preemption", _PREEMPTION, "on_top_ns"),
    ("decrypt.work", "preemption", _PREEMPTION, "on_top_ns"),
)
#: Counted with --detail alone, in blocks of their own; the numbers go on.
_DETAIL_KINDS = (
    ("encrypt.work", "wake", _WAKE, "runqueue_ns"),
    ("decrypt.work", "wake", _WAKE, "runqueue_ns"),
    ("tx.work", "wake", _WAKE, "runqueue_ns"),
    ("rx.napi", "wake", _WAKE, "runqueue_ns"),
    ("encrypt-ring.producer", "lock", _LOCK, "wait_ns"),
    ("encrypt-ring.consumer", "lock", _LOCK, "wait_ns"),
    ("decrypt-ring.producer", "lock", _LOCK, "wait_ns"),
    ("decrypt-ring.consumer", "lock", _LOCK, "wait_ns"),
    ("ipis", "ipi", _IPI, ""),
)
CELL_KINDS: Tuple[CellKind, ...] = tuple(CellKind(i, *row) for i, row in enumerate(_KINDS + _DETAIL_KINDS))
#: Those in a block, and in one of --detail.
KINDS = len(_KINDS)
DETAIL_KINDS = len(_DETAIL_KINDS)

#: Counters that hold a maximum since the start, not a sum.  Differences make no sense for them.
MAXIMA = frozenset({"depth_max"})

#: Journey points.  An event carries the end of the step and its service time, so that its start
#: is end_ns - service_ns.
POINTS: Dict[int, str] = {
    1: "tx.stage",  # end: put on the peer's queue; start: wg_xmit entered (0 if staged earlier)
    2: "tx.encrypt",
    3: "tx.send",
    4: "rx.receive",  # end: put on the peer's queue; start: wg_packet_receive entered
    5: "rx.decrypt",
    6: "rx.deliver",  # end: handed to GRO and beyond
}
#: Event flags.
FLAG_HEAD = 1  # first segment of a hand-off: the one to use for waits and Little's law per hand-off
FLAG_FAILED = 2  # the step refused or dropped the packet


def bucket_of(value: int) -> int:
    """Index of the histogram bucket that holds `value`.

    Values below 2 * SUB_BUCKETS have a bucket each; above, a power of two has SUB_BUCKETS.
    """
    if value < SUB_BUCKETS:
        return value
    exponent = value.bit_length() - 1
    bucket = ((exponent - SUB_BUCKET_BITS + 1) << SUB_BUCKET_BITS) + (
        (value >> (exponent - SUB_BUCKET_BITS)) - SUB_BUCKETS
    )
    return min(bucket, BUCKETS - 1)


def bucket_bounds(bucket: int) -> Tuple[int, int]:
    """The smallest value in a bucket and the smallest above it.  The last bucket also takes all larger values."""
    if bucket < SUB_BUCKETS:
        return bucket, bucket + 1
    octave, sub = divmod(bucket, SUB_BUCKETS)
    width = 1 << (octave - 1)
    low = (SUB_BUCKETS + sub) * width
    return low, low + width
