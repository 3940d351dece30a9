"""The simulator's memory: arrays of records, one kind of thing each.

`Sim` is passed to every compiled function.  Numbers of CPUs, tunnels and queues differ between scenarios,
the record types do not, so one compilation serves all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: What numba sees as an array of records, and mypy as anything.
Records = Any
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Levels of a CPU, by priority, and nothing.
IDLE, WORK, THREAD, SOFTIRQ = -1, 0, 1, 2
# Kinds of step.
WORK_BEGIN, CONSUME, CRYPT, SEND, POLL, NIC, INLINE, THREAD_BEGIN, XMIT, READ = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
# Stages with a distribution of service times.
RECEIVE, DECRYPT, DELIVER, ENCRYPT, SENDING = 0, 1, 2, 3, 4
STAGE_KINDS = 5
# What else is drawn.
GAP, FLOW, HASH, START = 16, 17, 18, 19
# Shapes of those.
CONSTANT, EXPONENTIAL, TABLE = 0, 1, 2
TABLE_SIZE = 256
# Directions.
RX, TX = 0, 1
# What CPU time is spent on.
BUSY_RECEIVE, BUSY_DECRYPT, BUSY_DELIVER, BUSY_WASTED, BUSY_HANDOFF, BUSY_WAKE = 0, 1, 2, 3, 4, 5
BUSY_XMIT, BUSY_ENCRYPT, BUSY_SEND, BUSY_SPIN, BUSY_ENDS = 6, 7, 8, 9, 10
BUSY = (
    "receive", "decrypt", "deliver", "wasted polls", "hand-offs", "wake-ups", "xmit", "encrypt", "send", "spinning",
    "the two ends",
)  # fmt: skip
BUSY_KINDS = 11
# Whose execution it was, for what a recording has as a server.
SERVED_TX_WORK, SERVED_ENCRYPT, SERVED_DECRYPT, SERVED_NAPI, SERVED_TX_INLINE, SERVED_RX_INLINE = 0, 1, 2, 3, 4, 5
SERVED = ("tx.work", "encrypt.work", "decrypt.work", "rx.napi", "tx.inline", "rx.inline")
# What is counted.
C_PACKETS, C_POLLS, C_EMPTY, C_MISSED, C_NESTED, C_WORKS, C_EMPTY_WORKS, C_WAKES = 0, 1, 2, 3, 4, 5, 6, 7
C_DROP_NIC, C_DROP_PEER, C_DROP_RING, C_EVENTS, C_SENT, C_OVERFLOW = 8, 9, 10, 11, 12, 13
COUNTER_KINDS = 14
COUNTERS = (
    "packets", "polls", "empty polls", "missed re-polls", "nested polls", "work executions", "empty executions",
    "wake-ups", "dropped at the NIC", "refused by rx-queue or tx-queue", "refused by a ring", "events", "sent",
    "overflow",
)  # fmt: skip
#: Latencies are counted behind the counters, in buckets of 1/16 of an octave, from 1 ns.
OCTAVE, BUCKETS = 16, 16 * 40
# Ways to choose the CPU of a work item.
ROUND_ROBIN, UNBOUND = 0, 1

PARAMS = np.dtype(
    [(n, "f8") for n in (
        "handoff", "consume", "wake", "switch", "work", "hold", "transfer", "cross", "poll_empty", "poll_setup",
        "stack", "softirq", "stage", "segment", "write", "read", "ack_encrypt", "ack_send", "ack_decrypt",
        "ack_deliver", "unlock", "numa", "rtt", "warmup", "end", "slice", "softirq_limit", "window", "gap",
        "packet_bits", "link_ns_bit", "link_free", "sender", "latency_sum", "stall_sum",
    )]
    + [(n, "i8") for n in (
        "cpus", "nodes", "tunnels", "devices", "inline", "threaded", "dispatch", "budget", "queue_limit", "nic_limit",
        "gso", "flows", "loop", "seed", "direction", "closed", "super", "traced", "decrypt_cpus", "encrypt_cpus",
        "leaves", "fair", "parity", "warm", "rings", "stalls", "items", "sender_thread", "napi_threads",
        "readers",
    )]
    # The first of each kind of FIFO; a CPU's poll list has the CPU's number.
    + [(n, "i8") for n in ("works", "threads", "nics", "peer_queues", "ring_queues", "acks", "sockets")]
    # Where in `slots` there is something else: flags of queued and of begun work items, CPUs that decrypt
    # and encrypt, packets that are free, and how many.
    + [(n, "i8") for n in ("pending", "executing", "crypt_on", "free_list", "free")],
    align=True,
)  # fmt: skip
CPU = np.dtype(
    [(n, "f8") for n in ("carry", "softirq_since", "work_since", "turn_ends")]
    + [("delivered", "i8")]
    + [
        (n, "i8")
        for n in (
            "level",
            "node",
            "yielded",
            "raised",
            "again",
            "resched",
            "in_softirq",
            "ksoftirqd",
            "work",
            "slept",
            "moved",
            "held",
            "thread",
            "napi",
        )
    ],
    align=True,
)
STEP = np.dtype([("left", "f8")] + [(n, "i8") for n in ("kind", "object", "n", "packet")], align=True)
NAPI = np.dtype(
    [("busy", "f8"), ("delivered", "i8")]
    + [(n, "i8") for n in ("scheduled", "missed", "cpu", "done", "repoll", "flush")],
    align=True,
)
PEER = np.dtype(
    [("head_since", "f8")] + [(n, "i8") for n in ("device", "nic", "cpu", "pending", "executing")], align=True
)
RING = np.dtype(
    [("produce_free", "f8"), ("consume_free", "f8")] + [(n, "i8") for n in ("produced_on", "consumed_on", "next_cpu")],
    align=True,
)
PACKET = np.dtype(
    [("born", "f8"), ("done_at", "f8"), ("number", "i8")]
    + [(n, "i8") for n in ("tunnel", "direction", "ready", "segments", "cpu")],
    align=True,
)
#: A circular queue: `size` slots from `base` on.
FIFO = np.dtype([(n, "i8") for n in ("head", "len", "base", "size")], align=True)
SOURCE = np.dtype(
    [("window", "f8"), ("recover", "f8"), ("free", "f8"), ("booked", "f8")]
    + [(n, "i8") for n in ("number", "flight", "burst", "awake", "cpu", "unread", "reading", "reader_cpu")],
    align=True,
)
NODE = np.dtype([("time", "f8"), ("leaf", "i8")], align=True)
TRACE = np.dtype([("time", "f8")] + [(n, "i8") for n in ("cpu", "kind", "object", "n")], align=True)
#: A row of `stages`: mean, shape, then the table.
STAGE_ROW = 2 + TABLE_SIZE


class Sim(NamedTuple):
    """All of a simulation's state; every array has one dimension, because a call costs by what it passes."""

    p: Records  # one record: parameters
    cpus: Records
    steps: Records  # three a CPU: the step of each level, suspended if the level is not the CPU's
    napis: Records  # a peer's each, then a NIC queue's each
    peers: Records  # receiving side of each tunnel, then the sending sides
    rings: Records  # decrypt-ring and encrypt-ring of each device
    sources: Records  # one a tunnel
    packets: Records
    fifos: Records  # poll lists, run queues, NIC and peer queues, rings, acknowledgements on the way, sockets
    slots: Ints  # what is in them
    times: Floats  # when acknowledgements arrive, where `slots` has how many
    tree: Records  # see clock.py
    stages: Floats  # STAGE_ROW for each stage
    busy: Floats  # BUSY for each CPU, ns
    served: Floats  # SERVED, of all CPUs and tunnels, ns
    counts: Ints  # COUNTERS, then BUCKETS of latencies
    trace: Records
