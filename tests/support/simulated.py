"""A simulated gateway: all tables of a recording from queues whose behaviour is known.

One device with some peers.  Hand-offs arrive at random, any of `workers` CPUs encrypts or decrypts
them first come first served, and each peer's serial server sends or delivers them in order.  What
the tables must show (conservation, waits, depths, utilisation) follows from the same times, but
each table is filled on its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from wgprof.agent.layout import bucket_of
from wgprof.recording.schema import BY_NAME

INTERVAL_NS = 100_000_000
START_NS = 5_000_000_000_000
DEVICE = 1
FIRST_PEER = 2
_ENTERED_NS = 2_000  # in the first stage


@dataclass
class InMemory:
    """A recording that was never a file."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=lambda: {"complete": True, "target": {"kind": "local"}})

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name] if name in self.tables else rows(name, [])

    def with_table(self, name: str, records: Sequence[Mapping[str, object]]) -> InMemory:
        """The same recording with one table replaced."""
        return replace(self, tables={**self.tables, name: rows(name, records)})


def rows(name: str, records: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """A table with the columns and types of the schema; columns not given are 0 or empty."""
    empty = {column.name: 0 if pa.types.is_integer(column.type) else "" for column in BY_NAME[name].columns}
    given = empty.keys() & set[str]().union(*records)
    return columns(name, {one: [r.get(one, empty[one]) for r in records] for one in given}, len(records))


def columns(name: str, given: Mapping[str, Any], count: int) -> pd.DataFrame:
    """The same of whole columns of `count` values."""
    schema = BY_NAME[name].arrow
    made = {}
    for column in schema:
        empty: object = 0 if pa.types.is_integer(column.type) else ""
        made[column.name] = pa.array(given.get(column.name, [empty] * count), column.type)
    return pa.table(made, schema=schema).to_pandas()


@dataclass(frozen=True)
class Load:
    """One direction's traffic and costs."""

    rate: float = 2000.0  # hand-offs/s and peer
    segments: int = 1  # in a hand-off
    crypt_ns: int = 300_000  # per packet
    serial_ns: int = 200_000  # per packet
    octets: int = 1400


@dataclass
class _Handoffs:
    """The times of one direction's hand-offs, all peers, by arrival."""

    peer: np.ndarray
    arrive: np.ndarray
    crypt: np.ndarray
    crypted: np.ndarray
    serve: np.ndarray
    served: np.ndarray
    worker: np.ndarray


def gateway(
    *,
    seconds: float = 10.0,
    idle_s: float = 0.5,
    peers: int = 1,
    workers: int = 2,
    tx: Load | None = None,
    rx: Load | None = None,
    sample_every: int = 4,
    seed: int = 1,
) -> InMemory:
    """A recording of `seconds` of traffic between two idle edges."""
    rng = np.random.default_rng(seed)
    begin = START_NS + int(idle_s * 1e9)
    tables: dict[str, list[dict[str, object]]] = {name: [] for name in BY_NAME}
    journeys = pd.DataFrame()
    ends = [begin + int(seconds * 1e9)]
    for direction, load in (("tx", tx), ("rx", rx)):
        if load is not None:
            handoffs = _simulate(rng, load, begin, seconds=seconds, peers=peers, workers=workers)
            _fill(tables, direction, load, handoffs)
            journeys = pd.concat([journeys, _journeys(direction, load, handoffs, sample_every)], ignore_index=True)
            journeys = journeys.iloc[rng.permutation(len(journeys))]
            ends.append(int(handoffs.served.max(initial=0)))
    count = -(-(max(ends) + int(idle_s * 1e9) - START_NS) // INTERVAL_NS)
    for number in range(count):
        when = {"t_ns": START_NS + number * INTERVAL_NS, "dt_ns": INTERVAL_NS}
        tables["intervals"].append(
            {**when, "sample_every": sample_every, "agent_cpu_ns": 1_000_000, "agent_rss_bytes": 10**8}
        )
    _account(tables, workers, count)
    _identify(tables, peers)
    manifest = {"complete": True, "target": {"kind": "local"}, "machine": {"user_hz": 100}}
    found = {name: rows(name, records) for name, records in tables.items()}
    if len(journeys):
        found["journeys"] = columns(
            "journeys", {str(name): journeys[name].to_numpy() for name in journeys}, len(journeys)
        )
    return InMemory(found, manifest)


def _simulate(
    rng: np.random.Generator, load: Load, begin: int, *, seconds: float, peers: int, workers: int
) -> _Handoffs:
    number = rng.poisson(load.rate * peers * seconds)
    arrive = np.sort(rng.integers(begin, begin + int(seconds * 1e9), number))
    peer = rng.integers(0, peers, number)
    crypt, crypted, serve, served = (np.zeros(number, dtype=np.int64) for _ in range(4))
    worker = np.zeros(number, dtype=np.int64)
    free = [(begin, w) for w in range(workers)]
    serial_free = [begin] * peers
    for i in range(number):
        at, w = heapq.heappop(free)
        crypt[i] = max(at, arrive[i])
        crypted[i] = crypt[i] + int(rng.exponential(load.crypt_ns)) * load.segments + load.segments
        heapq.heappush(free, (int(crypted[i]), w))
        worker[i] = w
        serve[i] = max(crypted[i], serial_free[peer[i]])
        served[i] = serve[i] + load.serial_ns * load.segments
        serial_free[peer[i]] = int(served[i])
    return _Handoffs(peer, arrive, crypt, crypted, serve, served, worker)


def _fill(tables: dict[str, list[dict[str, object]]], direction: str, load: Load, h: _Handoffs) -> None:
    first, crypt, last = {
        "tx": ("tx.stage", "tx.encrypt", "tx.send"),
        "rx": ("rx.receive", "rx.decrypt", "rx.deliver"),
    }[direction]
    n = load.segments
    zero = np.zeros_like(h.worker)
    _stage(tables, first, load, h.peer, ends=h.arrive, service=np.full_like(h.arrive, _ENTERED_NS), cpu=zero)
    _stage(tables, crypt, load, h.peer, ends=h.crypted, service=h.crypted - h.crypt, cpu=h.worker)
    _stage(tables, last, load, h.peer, ends=h.served, service=h.served - h.serve, cpu=zero)
    ring, queue = {"tx": ("encrypt-ring", "tx-queue"), "rx": ("decrypt-ring", "rx-queue")}[direction]
    worker, serial = {"tx": ("encrypt.work", "tx.work"), "rx": ("decrypt.work", "rx.napi")}[direction]
    _queue(tables, ring, np.full_like(h.peer, DEVICE), h.arrive, h.crypt, segments=n)
    _queue(tables, queue, h.peer + FIRST_PEER, h.arrive, h.serve, segments=n)
    _work(tables, worker, np.full_like(h.peer, DEVICE), h.crypted, h.worker, segments=n)
    _work(tables, serial, h.peer + FIRST_PEER, h.served, zero, segments=n)


def _journeys(direction: str, load: Load, h: _Handoffs, sample_every: int) -> pd.DataFrame:
    """Three rows for each sampled packet; a peer's packets are numbered in the order of its hand-offs."""
    n = load.segments
    handoff, segment = np.repeat(np.arange(h.peer.size), n), np.tile(np.arange(n), h.peer.size)
    order = pd.Series(h.peer).groupby(h.peer).cumcount().to_numpy()
    nonce = order[handoff] * n + segment
    taken = nonce % sample_every == 0
    i, segment, nonce = handoff[taken], segment[taken], nonce[taken]
    per_crypt = ((h.crypted - h.crypt) // n)[i]
    zero = np.zeros_like(i)
    common = {"nonce": nonce, "key_index": 77 + h.peer[i], "object": h.peer[i] + FIRST_PEER, "flags": segment == 0}
    times = (
        (h.arrive[i], zero + _ENTERED_NS, zero),
        (h.crypt[i] + per_crypt * (segment + 1), per_crypt, h.worker[i]),
        (h.serve[i] + load.serial_ns * (segment + 1), zero + load.serial_ns, zero),
    )
    points = {"tx": (1, 2, 3), "rx": (4, 5, 6)}[direction]
    return pd.concat(
        pd.DataFrame({**common, "point": point, "end_ns": end, "service_ns": service, "cpu": cpu}).astype(np.int64)
        for point, (end, service, cpu) in zip(points, times, strict=True)
    )


def _interval(times: np.ndarray) -> np.ndarray:
    return START_NS + (times - START_NS) // INTERVAL_NS * INTERVAL_NS


def _stage(
    tables: dict[str, list[dict[str, object]]],
    stage: str,
    load: Load,
    peer: np.ndarray,
    *,
    ends: np.ndarray,
    service: np.ndarray,
    cpu: np.ndarray,
) -> None:
    frame = pd.DataFrame({"t_ns": _interval(ends), "cpu": cpu, "object": peer + FIRST_PEER, "service_ns": service})
    frame["bucket"] = [bucket_of(int(ns // load.segments) >> 2) for ns in service]
    keys = ["t_ns", "cpu", "object"]
    for (t, c, o), calls, service_ns in frame.groupby(keys)["service_ns"].agg(["size", "sum"]).itertuples():
        packets = calls * load.segments
        who = {"t_ns": t, "dt_ns": INTERVAL_NS, "cpu": c, "object": o}
        tables["stages"].append(
            {
                **who,
                "stage": stage,
                "packets": packets,
                "bytes": packets * load.octets,
                "service_ns": service_ns,
                "calls": packets,
            }
        )
    for t, c, o, bucket, number in frame.groupby([*keys, "bucket"]).size().reset_index().itertuples(index=False):
        who = {"t_ns": t, "dt_ns": INTERVAL_NS, "cpu": c, "object": o}
        times = number * load.segments
        tables["histograms"].append({**who, "metric": f"{stage}.service", "bucket": bucket, "count": times})


def _queue(
    tables: dict[str, list[dict[str, object]]],
    queue: str,
    owner: np.ndarray,
    into: np.ndarray,
    out: np.ndarray,
    *,
    segments: int,
) -> None:
    for number in np.unique(owner):
        enter, leave = np.sort(into[owner == number]), np.sort(out[owner == number])

        def depth(at: np.ndarray, enter: np.ndarray = enter, leave: np.ndarray = leave) -> np.ndarray:
            return np.asarray(np.searchsorted(enter, at, side="left") - np.searchsorted(leave, at, side="right"))

        ticks = np.arange(START_NS + 1, leave[-1] + 1_000_000_000, 5_025_126)  # 199 Hz
        seen = pd.DataFrame({"t_ns": _interval(ticks), "depth": depth(ticks)})
        who: dict[str, object] = {"dt_ns": INTERVAL_NS, "object": int(number)}
        seen["occupied"] = (seen["depth"] > 0).astype(np.int64)
        looks = seen.groupby("t_ns").agg({"depth": ["size", "sum", "max"], "occupied": "sum"})
        for t, samples, depth_sum, depth_max, occupied in looks.itertuples():
            sample = {"samples": samples, "depth_sum": depth_sum, "depth_max": depth_max, "occupied": occupied}
            tables["depths"].append({**who, "t_ns": t, "queue": queue, **sample})
        seen["bucket"] = [bucket_of(value) for value in seen["depth"].tolist()]
        for t, bucket, times in seen.groupby(["t_ns", "bucket"]).size().reset_index().itertuples(index=False):
            row = {"t_ns": t, "metric": f"{queue}.depth", "bucket": bucket, "count": times}
            tables["histograms"].append({**who, **row})
        met = pd.DataFrame({"t_ns": _interval(enter), "depth": depth(enter).clip(0)})
        for t, handoffs, depth_sum in met.groupby("t_ns")["depth"].agg(["size", "sum"]).itertuples():
            row = {"t_ns": t, "queue": queue, "handoffs": handoffs, "packets": handoffs * segments}
            tables["arrivals"].append({**who, **row, "depth_sum": depth_sum})


def _work(
    tables: dict[str, list[dict[str, object]]],
    server: str,
    owner: np.ndarray,
    ends: np.ndarray,
    cpu: np.ndarray,
    *,
    segments: int,
) -> None:
    frame = pd.DataFrame({"t_ns": _interval(ends), "cpu": cpu, "object": owner})
    for (t, c, o), group in frame.groupby(["t_ns", "cpu", "object"]):
        tables["executions"].append(
            {
                "t_ns": t,
                "dt_ns": INTERVAL_NS,
                "cpu": c,
                "object": o,
                "server": server,
                "executions": len(group),
                "packets": len(group) * segments,
                "busy_ns": 1_000 * len(group),
            }
        )


def _account(tables: dict[str, list[dict[str, object]]], workers: int, count: int) -> None:
    """The kernel's own view: exactly the measured time is not idle."""
    spent: dict[tuple[int, int], int] = {}
    for row, column in (
        (r, c) for name, c in (("stages", "service_ns"), ("executions", "busy_ns")) for r in tables[name]
    ):
        key = int(row["t_ns"]), int(row["cpu"])  # type: ignore[call-overload]
        spent[key] = spent.get(key, 0) + int(row[column])  # type: ignore[call-overload]
    for number in range(count):
        t = START_NS + number * INTERVAL_NS
        for cpu in range(workers):
            busy = spent.get((t, cpu), 0)
            times = {"system_ns": busy, "idle_ns": max(INTERVAL_NS - busy, 0)}
            tables["cpus"].append({"t_ns": t, "dt_ns": INTERVAL_NS, "cpu": cpu, **times})


_COUNTERS = ("tx_packets", "rx_packets", "tx_bytes", "rx_bytes")


def _identify(tables: dict[str, list[dict[str, object]]], peers: int) -> None:
    common = {"device": DEVICE, "name": "wg0", "netns": 4026531840, "threaded": -1}
    tables["objects"].append({**common, "object": DEVICE, "kind": "device"})
    for peer in range(peers):
        key = f"{'abcdefgh'[peer % 8]}{peer}PublicKey="
        tables["objects"].append(
            {**common, "object": FIRST_PEER + peer, "kind": "peer", "public_key": key, "threaded": 0}
        )
    counted: dict[int, dict[str, int]] = {}
    for row in tables["stages"]:
        column = {"tx.send": "tx_packets", "rx.deliver": "rx_packets"}.get(str(row["stage"]))
        if column:
            at = counted.setdefault(int(row["t_ns"]), dict.fromkeys(_COUNTERS, 0))  # type: ignore[call-overload]
            at[column] += int(row["packets"])  # type: ignore[call-overload]
            at[column.replace("packets", "bytes")] += int(row["bytes"])  # type: ignore[call-overload]
    for t, packets in counted.items():
        tables["interfaces"].append({"t_ns": t, "dt_ns": INTERVAL_NS, "netns": 4026531840, "name": "wg0", **packets})
    probe = {"kind": "fentry", "runs": 1000, "run_ns": 300_000}
    tables["probes"].append({**probe, "point": "tx.encrypt", "symbol": "encrypt_packet", "affects": "stages"})
