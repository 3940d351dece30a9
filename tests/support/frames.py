"""Frames as an agent would send them, from simulated packets, the same for the same arguments.

    synthetic_frames(seed=1, seconds=2.0, peers=2, cpus=2, ...) -> bytes      what a .part file holds
    synthetic_recording(same arguments) -> Recording                          the same, decoded

The numbers agree with each other as those of a good recording do: what enters a stage leaves it or
is queued, depths follow from the same times as waits (so Little's law holds but for the sampling
of the clock), every sampled packet finishes its journey, the interface's counters are those of the
stages, and no CPU is busier than the kernel says.  Before the first tick some packets flow too, so
that the baseline is not zero.

Object 1 is the device wg0; peers are 2, 3, ..
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support import documents
from tests.support.documents import DEVICE, FIRST_PEER, NETNS, START_NS
from tests.support.traffic import WAKE_NS, Ints, Traffic, traffic
from wgprof.agent import layout
from wgprof.agent.frames import Kind, encode, encode_json, read_frames
from wgprof.recording.cells import CELL
from wgprof.recording.decode import Decoder
from wgprof.recording.events import DISCARDED, EVENT
from wgprof.recording.reader import Recording

PACKET_BYTES = 1420
JIFFY_NS = 10_000_000
#: CPU time of an execution besides the stages in it; part of WAKE_NS.
OWN_NS = 1_000
_EDGE_NS = 20_000_000
_DRAIN_NS = 60_000_000
_KIND = {(kind.group, kind.name): kind for kind in layout.CELL_KINDS}
_STEPS = {"tx": ("tx.stage", "tx.encrypt", "tx.send"), "rx": ("rx.receive", "rx.decrypt", "rx.deliver")}
_QUEUES = {"tx": ("encrypt-ring", "tx-queue"), "rx": ("decrypt-ring", "rx-queue")}
_SERVERS = {"tx": ("encrypt.work", "tx.work"), "rx": ("decrypt.work", "rx.napi")}


def synthetic_frames(
    seed: int = 1,
    seconds: float = 2.0,
    peers: int = 2,
    cpus: int = 2,
    *,
    rate: float = 300.0,
    segments: int = 3,
    sample_every: int = 4,
    interval_ms: int = 100,
    depth_hz: int = 997,
    compress: bool = False,
    end: bool = True,
) -> bytes:
    """The frames of a recording: `rate` hand-offs a second, peer and direction, on transmit of 1 to `segments` packets.

    With `end=False` the END is missing, as after a kill.
    """
    rng = np.random.default_rng(seed)
    ticks = START_NS + np.arange(round(seconds * 1000 / interval_ms) + 1) * interval_ms * 1_000_000
    windows = [(START_NS - 2 * _DRAIN_NS, START_NS - _DRAIN_NS), (START_NS + _EDGE_NS, int(ticks[-1]) - _DRAIN_NS)]
    flows = [
        traffic(
            rng, direction, windows, peers=peers, cpus=cpus, rate=rate, segments=segments if direction == "tx" else 1
        )
        for direction in ("tx", "rx")
    ]
    counted = _Counted(ticks)
    for flow in flows:
        _count(counted, flow, cpus)
        _count_depths(counted, flow, peers, depth_hz)
    _count_softirqs(counted, cpus)
    events = _events(flows, cpus, sample_every)
    frames = [
        encode_json(Kind.REQUEST, 0, documents.request(seconds, interval_ms, sample_every, depth_hz)),
        encode_json(Kind.HELLO, 0, documents.hello(cpus, peers, sample_every)),
    ]
    bodies = _bodies(counted, flows, events, cpus=cpus, peers=peers, sample_every=sample_every)
    for sequence, (kind, payload) in enumerate(bodies, start=1):
        frames.append(encode(kind, sequence, payload, compress))
    if end:
        frames.append(encode_json(Kind.END, len(frames) - 1, documents.end(int(ticks[-1]), len(events))))
    return b"".join(frames)


def synthetic_recording(*args: Any, **kwargs: Any) -> Recording:
    """What `synthetic_frames` of the same arguments decodes to."""
    decoder = Decoder()
    for frame in read_frames(BytesIO(synthetic_frames(*args, **kwargs))):
        decoder.feed(frame)
    decoded = decoder.finish()
    return Recording.from_tables(decoded.manifest, decoded.tables)


class _Counted:
    """Cells by tick: what was counted between the tick before and this one."""

    def __init__(self, ticks: Ints) -> None:
        self.ticks = ticks
        self.counters: dict[tuple[int, int, int], Ints] = {}
        self.histograms: dict[tuple[int, int, int], Ints] = {}

    def tick_of(self, t_ns: Ints) -> Ints:
        return np.asarray(np.searchsorted(self.ticks, t_ns), np.int64)

    def add(
        self,
        kind: layout.CellKind,
        slot: Ints | int,
        cpu: Ints | int,
        t_ns: Ints,
        values: Ints | None = None,
        **counters: Ints | int,
    ) -> None:
        """Count events at `t_ns`; arrays have one value an event, numbers are for all; `values` go to the histogram."""
        slots, cpus = np.broadcast_to(slot, t_ns.shape), np.broadcast_to(cpu, t_ns.shape)
        ticks = self.tick_of(t_ns)
        for key in sorted({(int(s), int(c)) for s, c in zip(slots, cpus, strict=True)}):
            mine = (slots == key[0]) & (cpus == key[1])
            place = (*key, kind.number)
            cell = self.counters.setdefault(place, np.zeros((len(self.ticks), layout.COUNTERS), np.int64))
            for name, value in counters.items():
                column = cell[:, kind.counters.index(name)]
                step = np.maximum if name in layout.MAXIMA else np.add
                step.at(column, ticks[mine], np.broadcast_to(value, t_ns.shape)[mine])
            if values is not None:
                shift = layout.DURATION_SHIFT if kind.histogram.endswith("_ns") else 0
                buckets = [layout.bucket_of(int(v) >> shift) for v in values[mine]]
                histogram = self.histograms.setdefault(place, np.zeros((len(self.ticks), layout.BUCKETS), np.int64))
                np.add.at(histogram, (ticks[mine], buckets), 1)

    def cells(self) -> list[npt.NDArray[Any]]:
        """For each tick, the cells that changed, cumulative."""
        out: list[list[Any]] = [[] for _ in self.ticks]
        for (slot, cpu, kind), steps in sorted(self.counters.items()):
            maxima = [name in layout.MAXIMA for name in layout.CELL_KINDS[kind].counters]
            total = np.cumsum(steps, axis=0)
            for column, is_maximum in enumerate(maxima):
                if is_maximum:
                    total[:, column] = np.maximum.accumulate(steps[:, column])
            histogram = self.histograms.get((slot, cpu, kind))
            grown = np.zeros((len(total), layout.BUCKETS)) if histogram is None else np.cumsum(histogram, axis=0)
            for tick in np.flatnonzero(steps.any(axis=1)):
                out[tick].append((slot, cpu, kind, 0, total[tick], grown[tick]))
        return [np.array(rows, CELL) for rows in out]

    def busy_ns(self, cpu: int, softirq: bool) -> Ints:
        """Cumulative time of stages and executions on a CPU, those in softirq or the others."""
        busy = np.zeros(len(self.ticks), np.int64)
        for (_, on, number), steps in self.counters.items():
            kind = layout.CELL_KINDS[number]
            column = {"stage": "service_ns", "execution": "busy_ns"}.get(kind.group)
            if on == cpu and column and softirq == (kind.name in ("rx.receive", "rx.deliver", "rx.napi")):
                busy += steps[:, kind.counters.index(column)]
        return np.cumsum(busy)


def _count(counted: _Counted, flow: Traffic, cpus: int) -> None:
    """Stages, executions and arrivals of a direction."""
    peer, cpu, owner = flow.peer + FIRST_PEER, flow.peer % cpus, flow.owner
    first, crypt, last = (_KIND["stage", name] for name in _STEPS[flow.direction])
    size = flow.segments * PACKET_BYTES
    counted.add(first, peer, cpu, flow.put, flow.first_ns, packets=flow.segments, bytes=size,
                service_ns=flow.first_ns, calls=1)  # fmt: skip
    one = {"packets": 1, "bytes": PACKET_BYTES, "calls": 1}
    counted.add(crypt, peer[owner], flow.crypt_cpu[owner], flow.crypted, flow.crypt_ns, service_ns=flow.crypt_ns, **one)
    counted.add(last, peer[owner], cpu[owner], flow.served, flow.serve_ns, service_ns=flow.serve_ns, **one)
    worker, server = (_KIND["execution", name] for name in _SERVERS[flow.direction])
    for number in range(cpus):
        mine = flow.crypt_cpu == number
        times = flow.crypt_start[mine], flow.crypt_end[mine]
        _executions(counted, worker, times, flow.segments[mine], slot=DEVICE, cpu=number)
    for number in np.unique(flow.peer).tolist():
        mine = flow.peer == number
        times = flow.serve_start[mine], flow.serve_end[mine]
        _executions(counted, server, times, flow.segments[mine], slot=FIRST_PEER + number, cpu=number % cpus)
    ring, queue = _QUEUES[flow.direction]
    for name, by, taken in ((ring, None, flow.crypt_start), (queue, flow.peer, flow.serve_start)):
        met = _met(flow.put, taken, by)
        counted.add(_KIND["arrival", name], DEVICE if by is None else peer, cpu, flow.put, met,
                    handoffs=1, packets=flow.segments, depth_sum=met, depth_max=met)  # fmt: skip


def _executions(
    counted: _Counted, kind: layout.CellKind, times: tuple[Ints, Ints], packets: Ints, *, slot: int, cpu: int
) -> None:
    """The hand-offs one server took, from `times`[0] to [1]: those without a pause in between are one execution.

    The stages' time is not part of its own.
    """
    begin, finish = times
    if not len(begin):
        return
    groups = np.flatnonzero(np.concatenate([[True], begin[1:] > finish[:-1]]))
    last = finish[np.concatenate([groups[1:] - 1, [len(begin) - 1]])]
    delay = np.full(len(groups), WAKE_NS, np.int64)
    counted.add(
        kind,
        slot,
        cpu,
        last,
        delay,
        executions=1,
        packets=np.add.reduceat(packets, groups),
        busy_ns=OWN_NS,
        wakeups=1,
        delay_ns=delay,
        delayed=1,
    )


def _met(put: Ints, taken: Ints, by: Ints | None) -> Ints:
    """How many each hand-off found in the queue (of its peer)."""
    met = np.zeros_like(put)
    for number in np.unique(by).tolist() if by is not None else [0]:
        mine = by == number if by is not None else np.ones(len(put), bool)
        met[mine] = np.arange(np.count_nonzero(mine)) - np.searchsorted(np.sort(taken[mine]), put[mine], "right")
    return met


def _count_depths(counted: _Counted, flow: Traffic, peers: int, depth_hz: int) -> None:
    """Look at every queue `depth_hz` times a second, from CPU 0."""
    clock = np.arange(counted.ticks[0] + 1, counted.ticks[-1], 1_000_000_000 // depth_hz)
    ring, queue = _QUEUES[flow.direction]
    looks = [(ring, DEVICE, np.ones(len(flow.put), bool), flow.crypt_start)]
    looks += [(queue, FIRST_PEER + p, flow.peer == p, flow.serve_start) for p in range(peers)]
    for name, slot, mine, taken in looks:
        depth = np.searchsorted(flow.put[mine], clock, "right") - np.searchsorted(np.sort(taken[mine]), clock, "right")
        counted.add(_KIND["depth", name], slot, 0, clock, depth, samples=1, depth_sum=depth, depth_max=depth,
                    occupied=(depth > 0).astype(np.int64))  # fmt: skip
    if flow.direction == "tx":
        for peer in range(peers):
            counted.add(_KIND["depth", "tx.staged"], FIRST_PEER + peer, 0, clock, np.zeros_like(clock), samples=1)


def _count_softirqs(counted: _Counted, cpus: int) -> None:
    when = counted.ticks[1:] - 1
    for cpu in range(cpus):
        counted.add(_KIND["softirq", "softirq"], layout.SLOT_NONE, cpu, when, net_rx_runs=10, net_rx_ns=50_000,
                    net_tx_runs=2, net_tx_ns=5_000, other_runs=3, other_ns=9_000)  # fmt: skip


def _events(flows: list[Traffic], cpus: int, sample_every: int) -> npt.NDArray[Any]:
    """All events in the order of time; the first is one the program took back."""
    parts = [np.array([(layout.EVENT.size | DISCARDED, 0, START_NS, *[0] * 8)], EVENT)]
    for flow in flows:
        sampled = flow.nonce % sample_every == 0
        owner = flow.owner[sampled]
        cpu, crypt_cpu = flow.peer[owner] % cpus, flow.crypt_cpu[owner]
        steps = (
            (flow.put[owner], flow.first_ns[owner], cpu),
            (flow.crypted[sampled], flow.crypt_ns[sampled], crypt_cpu),
            (flow.served[sampled], flow.serve_ns[sampled], cpu),
        )
        for step, (end_ns, service_ns, on) in enumerate(steps):
            part = np.zeros(len(owner), EVENT)
            part["length"] = layout.EVENT.size
            part["end_ns"], part["service_ns"], part["cpu"] = end_ns, service_ns, on
            part["nonce"], part["slot"] = flow.nonce[sampled], flow.peer[owner] + FIRST_PEER
            part["key_index"] = flow.peer[owner] + (1000 if flow.direction == "tx" else 2000)
            part["point"] = 1 + step + (3 if flow.direction == "rx" else 0)
            part["flags"] = np.where(flow.head[sampled], layout.FLAG_HEAD, 0)
            part["extra"] = flow.segments[owner] if part["point"][:1] == 1 else 0
            parts.append(part)
    events = np.concatenate(parts)
    events = events[events["end_ns"] >= START_NS]
    return events[np.argsort(events["end_ns"], kind="stable")]


def _bodies(
    counted: _Counted, flows: list[Traffic], events: npt.NDArray[Any], *, cpus: int, peers: int, sample_every: int
) -> Iterator[tuple[Kind, bytes]]:
    """The frames between HELLO and END."""
    log = {"t_ns": START_NS, "level": "info", "topic": "agent", "message": "everything is attached"}
    yield Kind.LOG, json.dumps(log).encode()
    edges = np.searchsorted(events["end_ns"], counted.ticks, "right")
    for tick, cells in enumerate(counted.cells()):
        chunk = events[edges[tick - 1] : edges[tick]] if tick else events[: edges[0]]
        if len(chunk):
            yield Kind.EVENTS, chunk.tobytes()
        value = _tick(counted, flows, tick, cpus, sample_every) | {"event_bytes": int(edges[tick]) * EVENT.itemsize}
        if tick == 0:
            value["objects"] = documents.objects(peers)
        text = json.dumps(value).encode()
        yield Kind.TICK, len(text).to_bytes(4, "little") + text + cells.tobytes()


def _tick(counted: _Counted, flows: list[Traffic], tick: int, cpus: int, sample: int) -> dict[str, Any]:
    t_ns = int(counted.ticks[tick])
    elapsed = (t_ns - START_NS) // JIFFY_NS
    cpu = {}
    for number in range(cpus):
        softirq = -(-int(counted.busy_ns(number, softirq=True)[tick]) // JIFFY_NS)
        system = -(-int(counted.busy_ns(number, softirq=False)[tick]) // JIFFY_NS)
        cpu[str(number)] = [50, 0, 100 + system, 10_000 + elapsed - system - softirq, 3, 0, 70 + softirq, 0]
    tx, rx = (int(np.count_nonzero(flow.served <= t_ns)) for flow in flows)
    runs = int(np.count_nonzero(flows[1].put <= t_ns))
    return {
        "t_ns": t_ns,
        "late_ns": 20_000 + tick,
        "sample_every": sample,
        "agent": {"cpu_ns": 900_000_000 + 1_500_000 * tick, "rss_bytes": 90_000_000},
        "cpu": cpu,
        "softirqs": {"NET_RX": [7000 + runs] * cpus, "NET_TX": [40 + tick] * cpus},
        "interfaces": [[NETNS, "wg0", rx, rx * PACKET_BYTES, 0, 0, tx, tx * PACKET_BYTES, 0, 0]],
        "objects": [],
        "losses": {},
    }
