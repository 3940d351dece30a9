"""The one definition of a recording's tables: writer, reader, docs and tests all use it.

A recording is a ZIP (stored) of `manifest.json` and one Parquet file a table.  Columns are never
null unless said so.  Times are nanoseconds of the profiled machine's CLOCK_MONOTONIC; durations
are nanoseconds; counts are events in the interval, not running totals.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

MAGIC = "wgprof recording"
SCHEMA_VERSION = 1
#: More rows than this in a table is damage, not data: an hour of a hundred peers stays far below.
MAX_ROWS = 100_000_000
#: No string in a table is longer than this many bytes.
MAX_STRING = 1 << 16
#: Object numbers are the slots of the probes' maps.
MAX_OBJECTS = 1 << 16
#: Linux itself is built for at most 8192 CPUs (CONFIG_NR_CPUS).
MAX_CPUS = 1 << 13


@dataclass(frozen=True)
class Column:
    """A column; `low` and `high` bound its integers, which the reader enforces."""

    name: str
    type: pa.DataType
    meaning: str
    low: int = 0
    high: int | None = None


@dataclass(frozen=True)
class Table:
    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=False) for c in self.columns])


_I64, _I32, _I16, _U8 = pa.int64(), pa.int32(), pa.int16(), pa.uint8()
_U64, _U32 = pa.uint64(), pa.uint32()
_TEXT = pa.dictionary(pa.int32(), pa.string())
_STRING = pa.string()


def _object(meaning: str) -> Column:
    return Column("object", _I32, meaning, high=MAX_OBJECTS - 1)


_WHEN = (
    Column("t_ns", _I64, "start of the interval"),
    Column("dt_ns", _I64, "length of the interval", low=1),
)
_WHO = (
    Column("cpu", _I32, "CPU the work ran on", high=MAX_CPUS - 1),
    _object("the peer or device, a row of `objects`; 0 is work of no known peer"),
)

TABLES: tuple[Table, ...] = (
    Table(
        "intervals",
        "the windows everything that is counted is counted in",
        (
            *_WHEN,
            Column("sample_every", _I32, "N of the journey sampling: one packet in N (manifest key `sampling.rule`)"),
            Column("agent_cpu_ns", _I64, "CPU time the agent itself used"),
            Column("agent_rss_bytes", _I64, "resident memory of the agent at the end of the interval"),
            Column("tick_late_ns", _I64, "how late the agent looked, against its schedule"),
        ),
    ),
    Table(
        "objects",
        "the devices and peers seen, one row each",
        (
            _object("number used by the other tables, from 1"),
            Column("kind", _TEXT, "device or peer"),
            Column("device", _I32, "object number of the peer's device; a device's own number", high=MAX_OBJECTS - 1),
            Column("name", _STRING, "interface name of the device"),
            Column("ifindex", _I32, "interface index in its network namespace"),
            Column("netns", _I64, "inode number of the network namespace"),
            Column("netns_name", _STRING, "its name under /run/netns, empty if it has none"),
            Column("public_key", _STRING, "peer's public key, base64; a label if anonymised; empty for a device"),
            Column("endpoint", _STRING, "address:port the peer was last seen at; a label if anonymised"),
            Column(
                "internal_id",
                _I64,
                "the kernel's own number of the peer, from which serial_work_cpu follows; -1 unknown",
                low=-1,
            ),
            Column(
                "threaded",
                _I32,
                "1 if the peer's NAPI runs in a kernel thread, 0 if in softirq, -1 unknown",
                low=-1,
                high=1,
            ),
            Column("first_seen_ns", _I64, "time the probes first met it"),
        ),
    ),
    Table(
        "stages",
        "every packet, by interval, CPU, peer and stage",
        (
            *_WHEN,
            *_WHO,
            Column("stage", _TEXT, "tx.stage, tx.encrypt, tx.send, rx.receive, rx.decrypt or rx.deliver"),
            Column("packets", _I64, "packets (segments) that passed the stage"),
            Column("bytes", _I64, "their bytes (skb length as the stage saw it)"),
            Column(
                "service_ns", _I64, "CPU time in the stage, without what ran on top of it (softirqs, nested stages)"
            ),
            Column("nested_ns", _I64, "time something else measured ran on top of it"),
            Column("failed", _I64, "packets the stage refused or dropped"),
            Column("calls", _I64, "calls of the function: for tx.stage the skbs before segmentation"),
        ),
    ),
    Table(
        "executions",
        "work items and NAPI polls, by interval, CPU and object",
        (
            *_WHEN,
            *_WHO,
            Column("server", _TEXT, "encrypt.work, decrypt.work (object: device), tx.work, rx.napi (object: peer)"),
            Column("executions", _I64, "times it ran: work executions or polls"),
            Column("packets", _I64, "packets it moved"),
            Column("busy_ns", _I64, "time it ran, without what ran on top of it"),
            Column("empty", _I64, "executions that moved nothing"),
            Column("empty_ns", _I64, "time in those"),
            Column("wakeups", _I64, "times it was queued or scheduled"),
            Column("delay_ns", _I64, "sum over `delayed` of queued-to-running time"),
            Column("delayed", _I64, "executions whose queueing time is known"),
        ),
    ),
    Table(
        "arrivals",
        "hand-offs into queues and what the depth was then",
        (
            *_WHEN,
            *_WHO,
            Column("queue", _TEXT, "encrypt-ring, decrypt-ring (object: device), tx-queue, rx-queue (object: peer)"),
            Column("handoffs", _I64, "attempts to enqueue; on transmit one hand-off is a list of segments"),
            Column("packets", _I64, "packets in them"),
            Column("refused", _I64, "hand-offs refused: -ENOSPC at a peer queue, -EPIPE at a ring"),
            Column("refused_packets", _I64, "packets in those"),
            Column("depth_sum", _I64, "sum over hand-offs of the depth they met"),
            Column("depth_max", _I64, "largest depth met since the recording began"),
            Column("outside", _I64, "packets not from tx.stage or rx.receive: keepalives, what waited for a handshake"),
        ),
    ),
    Table(
        "depths",
        "queue depths sampled on a clock: time averages",
        (
            *_WHEN,
            _object("peer or device"),
            Column("queue", _TEXT, "encrypt-ring, decrypt-ring, tx-queue, rx-queue or tx.staged"),
            Column("samples", _I64, "times the depth was looked at"),
            Column("depth_sum", _I64, "sum of the depths seen, in hand-offs"),
            Column("depth_max", _I64, "largest depth seen by the clock since the recording began"),
            Column("occupied", _I64, "samples that found the queue not empty"),
        ),
    ),
    Table(
        "histograms",
        "log-linear histograms behind the sums of the other tables, sparse",
        (
            *_WHEN,
            *_WHO,
            Column(
                "metric",
                _TEXT,
                "NAME.service, NAME.delay, NAME.arrival_depth, NAME.depth, NAME.packets (of a run), NAME.blocked,"
                " NAME.preemption (all on top of a call), NAME.runqueue or NAME.wait, NAME as in the other tables",
            ),
            Column(
                "bucket",
                _I32,
                "bucket number; bounds in wgprof.agent.layout.bucket_bounds, durations in units of 4 ns",
                high=191,
            ),
            Column("count", _I64, "events in it"),
        ),
    ),
    Table(
        "polls",
        "runs of the two servers of a peer that keep order, by what they found; they add up to those in `executions`",
        (
            *_WHEN,
            *_WHO,
            Column("server", _TEXT, "tx.work or rx.napi"),
            Column("productive", _I64, "runs that took packets off their queue"),
            Column("empty_queue", _I64, "those that found it empty"),
            Column("head_not_ready", _I64, "those that found a head which was not encrypted or decrypted yet"),
            Column(
                "missed",
                _I64,
                "polls for NAPI_STATE_MISSED: somebody had asked for one while it was polled; of NAPI threads, and "
                "where napi_struct has no list_owner, also the few asked for right after",
            ),
            Column("missed_wasted", _I64, "of those, the ones that took nothing"),
            Column("nested", _I64, "polls in a softirq on top of an encrypt or decrypt worker"),
            Column("nested_wasted", _I64, "of those, the ones that took nothing"),
            Column("nested_wasted_ns", _I64, "time in those"),
        ),
    ),
    Table(
        "heads",
        "how long those servers stood before a head that was not ready, counted when that ended",
        (
            *_WHEN,
            *_WHO,
            Column("server", _TEXT, "tx.work or rx.napi"),
            Column("episodes", _I64, "times it stopped at such a head and later took it"),
            Column(
                "blocked_ns",
                _I64,
                "from the end of the execution that stopped there to the beginning of the one that took it",
            ),
            Column("timed", _I64, "with --detail: episodes of which it is known when the head was ready"),
            Column("timed_ns", _I64, "blocked_ns of those"),
            Column("ready_ns", _I64, "part of timed_ns after the head was ready: the server was not running yet"),
        ),
    ),
    Table(
        "moves",
        "how those servers moved between CPUs",
        (
            *_WHEN,
            *_WHO,
            Column("server", _TEXT, "tx.work or rx.napi"),
            Column("moves", _I64, "executions on this CPU that follow one on another"),
            Column("stay_ns", _I64, "how long it had run on those others, between the moves"),
        ),
    ),
    Table(
        "preemptions",
        "what ran on top of the workers that encrypt and decrypt; of a stage, its time is nested_ns of `stages`",
        (
            *_WHEN,
            *_WHO,
            Column(
                "stage",
                _TEXT,
                "tx.encrypt, rx.decrypt: of a worker's packet (object: peer); encrypt.work, decrypt.work: of the worker"
                " between its packets (object: device)",
            ),
            Column("calls", _I64, "packets, or executions, on top of which something ran"),
            Column("softirqs", _I64, "softirq handlers that ran on top"),
            Column("softirq_ns", _I64, "their time"),
            Column("net_rx", _I64, "of those, NET_RX: reception and polls, WireGuard's among them"),
            Column("net_rx_ns", _I64, "their time"),
            Column("switches", _I64, "times the worker was switched out in the middle"),
            Column("switched_ns", _I64, "how long until the worker ran again"),
        ),
    ),
    Table(
        "wakeups",
        "with --detail: threads that had to be woken before they did WireGuard's work",
        (
            *_WHEN,
            *_WHO,
            Column(
                "server",
                _TEXT,
                "encrypt.work, decrypt.work (object: device), tx.work, rx.napi in a thread (object: peer)",
            ),
            Column("woken", _I64, "executions that were a thread's first after it was woken"),
            Column("runqueue_ns", _I64, "time the thread was runnable and did not run, before those"),
        ),
    ),
    Table(
        "contention",
        "with --detail: spinning on the locks of the rings, all but the shortest (locks that were free at once)",
        (
            *_WHEN,
            *_WHO,
            Column(
                "lock",
                _TEXT,
                "encrypt-ring.producer, encrypt-ring.consumer, decrypt-ring.producer or decrypt-ring.consumer;"
                " object: device",
            ),
            Column("waits", _I64, "times a CPU found it taken"),
            Column("wait_ns", _I64, "time spinning"),
        ),
    ),
    Table(
        "ipis",
        "with --detail: interrupts from CPU to CPU, all of the machine's",
        (
            *_WHEN,
            Column("cpu", _I32, "CPU that got or sent them", high=MAX_CPUS - 1),
            Column("reschedules", _I64, "got: run another task"),
            Column("calls", _I64, "got: call a function, by which tasks are woken, too"),
            Column("sent_stage", _I64, "sent in wg_xmit"),
            Column("sent_receive", _I64, "sent in wg_packet_receive"),
            Column("sent_work", _I64, "sent by a worker of WireGuard's"),
            Column("sent_poll", _I64, "sent in a poll of WireGuard's"),
            Column("sent_elsewhere", _I64, "sent by anything else"),
        ),
    ),
    Table(
        "journeys",
        "sampled packets: one row for each step a sampled packet finished",
        (
            Column("end_ns", _I64, "when the step ended"),
            Column("nonce", _U64, "the packet's WireGuard counter"),
            Column("key_index", _U32, "the receiver's session index in the packet's header"),
            Column("service_ns", _I64, "length of the step; it began at end_ns - service_ns"),
            Column("cpu", _I16, "CPU it ended on", high=MAX_CPUS - 1),
            _object("the peer"),
            Column("point", _U8, "step number; names in wgprof.agent.layout.POINTS", low=1, high=6),
            Column("flags", _U8, "1: first segment of a hand-off; 2: the step dropped it"),
            Column("extra", _I32, "tx.stage: segments in the hand-off; others 0"),
        ),
    ),
    Table(
        "cpus",
        "the kernel's own account of each CPU",
        (
            *_WHEN,
            Column("cpu", _I32, "CPU", high=MAX_CPUS - 1),
            Column("user_ns", _I64, "user and nice"),
            Column("system_ns", _I64, "system"),
            Column("softirq_ns", _I64, "softirq"),
            Column("irq_ns", _I64, "hard interrupts"),
            Column("idle_ns", _I64, "idle and iowait"),
            Column("steal_ns", _I64, "steal"),
            Column("net_rx", _I64, "NET_RX softirqs run"),
            Column("net_tx", _I64, "NET_TX softirqs run"),
            Column("probe_net_rx_ns", _I64, "time in NET_RX softirq outside WireGuard's stages, from the probes"),
            Column("probe_net_tx_ns", _I64, "time in NET_TX softirq outside WireGuard's stages, from the probes"),
            Column("probe_other_ns", _I64, "time in other softirqs, from the probes"),
        ),
    ),
    Table(
        "interfaces",
        "the counters of the WireGuard interfaces, and of those that carry their tunnels (manifest key `outer`)",
        (
            *_WHEN,
            Column("netns", _I64, "inode number of the network namespace"),
            Column("name", _TEXT, "interface"),
            Column("rx_packets", _I64, "packets received"),
            Column("rx_bytes", _I64, "their bytes"),
            Column("rx_errors", _I64, "receive errors"),
            Column("rx_dropped", _I64, "dropped"),
            Column("tx_packets", _I64, "packets sent"),
            Column("tx_bytes", _I64, "their bytes"),
            Column("tx_errors", _I64, "transmit errors"),
            Column("tx_dropped", _I64, "dropped"),
        ),
    ),
    Table(
        "softnet",
        "what each CPU's receive softirq took in, of all interfaces (/proc/net/softnet_stat)",
        (
            *_WHEN,
            Column("cpu", _I32, "CPU", high=MAX_CPUS - 1),
            Column("processed", _I64, "packets taken from interfaces and the backlog"),
            Column("dropped", _I64, "packets that found the backlog full"),
            Column("time_squeeze", _I64, "times it stopped with work left: its budget or time was used up"),
            Column("received_rps", _I64, "times another CPU's RPS woke it"),
            Column("flow_limit", _I64, "packets dropped by the flow limit"),
            Column("backlog", _I64, "packets in the backlog at the end of the interval; -1 unknown", low=-1),
        ),
    ),
    Table(
        "udp",
        "UDP's own counters by network namespace, both families, looked at every five seconds; no row if none moved",
        (
            *_WHEN,
            Column("netns", _I64, "inode number of the network namespace"),
            Column("received", _I64, "datagrams that reached a socket, WireGuard's among them"),
            Column("no_ports", _I64, "datagrams to a port nobody listens on"),
            Column("in_errors", _I64, "datagrams dropped for any reason, those of the next two columns among them"),
            Column("rcvbuf_errors", _I64, "datagrams that found a socket's receive buffer full"),
            Column("csum_errors", _I64, "datagrams with a wrong checksum"),
        ),
    ),
    Table(
        "sockets",
        "WireGuard's own UDP sockets, by port, looked at every five seconds; no row if nothing was dropped or waited",
        (
            *_WHEN,
            Column("netns", _I64, "inode number of the socket's network namespace"),
            Column("port", _I32, "UDP port", high=65535),
            Column("drops", _I64, "packets the socket dropped"),
            Column("rx_queue", _I64, "bytes in its receive queue at the end of the interval"),
        ),
    ),
    Table(
        "probes",
        "what was attached where, and what it cost",
        (
            Column("point", _STRING, "logical point of the attach plan"),
            Column("symbol", _STRING, "kernel function or tracepoint; empty if none could be attached"),
            Column("kind", _TEXT, "fentry, fexit, kprobe, kretprobe, tracepoint, perf or missing"),
            Column("runs", _I64, "runs while the kernel measured run time (a part of the recording)"),
            Column("run_ns", _I64, "run time of those"),
            Column("misses", _I64, "runs the kernel skipped: nmissed and recursion_misses; -1 unknown", low=-1),
            Column("error", _STRING, "why it could not be attached, or not in the way that was planned"),
            Column("affects", _STRING, "tables or columns that are incomplete without it, comma separated"),
        ),
    ),
    Table(
        "losses",
        "everything that was lost, by cause",
        (
            Column("cause", _STRING, "ring-full, unmatched-return, slot-overflow, missed-probe .."),
            Column("where", _STRING, "stage, queue or probe"),
            Column("count", _I64, "how many"),
        ),
    ),
    Table(
        "stacks",
        "sampled kernel stacks of WireGuard's paths and workers, by perf in a window of its own (--stacks)",
        (
            *_WHEN,
            Column("cpu", _I32, "CPU", high=MAX_CPUS - 1),
            Column("thread", _TEXT, "name of the thread; kworkers are one; empty for [elsewhere] and [more]"),
            Column(
                "stack",
                _STRING,
                "functions from the outermost to the innermost, separated by `;`; [elsewhere]: all stacks that are"
                " not WireGuard's; [more]: WireGuard's beyond the most that are kept",
            ),
            Column("samples", _I64, "times it was met; manifest key `perf.sample_hz` a second of CPU time"),
        ),
    ),
    Table(
        "perf_stat",
        "perf's counters of each CPU in the same window",
        (
            *_WHEN,
            Column("cpu", _I32, "CPU", high=MAX_CPUS - 1),
            Column("event", _TEXT, "cycles, instructions, cache-misses, context-switches .."),
            Column("state", _TEXT, "counted, not counted or not supported (by this machine)"),
            Column("value", _I64, "events, scaled to the whole window; clocks in nanoseconds; 0 if not counted"),
            Column("runtime_ns", _I64, "how long the counter ran: less than the window if counters took turns"),
        ),
    ),
    Table(
        "kwork",
        "how long work items and softirqs waited for a CPU, by `perf kwork`, right after that window",
        (
            Column("cpu", _I32, "CPU", high=MAX_CPUS - 1),
            Column("kind", _TEXT, "workqueue or softirq"),
            Column("name", _STRING, "function of the work item; softirq as perf names it"),
            Column("count", _I64, "how many ran"),
            Column("delay_mean_ns", _I64, "mean time from queued or raised to running"),
            Column("delay_max_ns", _I64, "longest"),
        ),
    ),
    Table(
        "log",
        "what happened and when: interfaces that went away, probes that failed, the agent's own words",
        (
            Column("t_ns", _I64, "time"),
            Column("level", _TEXT, "info, warning or error"),
            Column("topic", _TEXT, "agent, interface, peer, module, probe, lab, workload"),
            Column("message", _STRING, "one sentence"),
        ),
    ),
)

BY_NAME: dict[str, Table] = {table.name: table for table in TABLES}
