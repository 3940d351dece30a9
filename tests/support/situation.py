"""Constructed recordings for rules: what each CPU, peer and queue did is stated, and repeated in every interval.

A `Situation` holds rates and shares; `recording()` writes the tables that say just that, over so many seconds.  All
recordings made here are constructed: they test what a rule makes of figures, not whether a machine has such figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support.simulated import InMemory, rows
from wgprof.recording.schema import BY_NAME

INTERVAL_NS = 500_000_000
START_NS = 5_000_000_000_000
NETNS = 4026531840
WG0: dict[str, Any] = {"netns": NETNS, "name": "wg0"}
DEVICE = 1
FIRST_PEER = 2

Row = dict[str, Any]


@dataclass
class Situation:
    """Figures are per second, or shares of the time; `only` limits a row to some seconds (begin, end)."""

    cpus: int = 4
    seconds: float = 10.0
    peers: int = 1
    threaded: int = 0
    mtu: int = 1420
    nodes: int = 1
    manifest: Row = field(default_factory=dict)
    _rows: dict[str, list[tuple[Row, tuple[float, float] | None]]] = field(default_factory=dict)
    _fixed: dict[str, list[Row]] = field(default_factory=dict)
    _ids: dict[int, int] = field(default_factory=dict)
    _pause: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for cpu in range(self.cpus):
            self.cpu(cpu)
        self._add("interfaces", {**WG0, "rx_bytes": 10_000, "tx_bytes": 10_000})

    def stage(self, stage: str, pps: float, us: float, *, cpu: int = 0, peer: int = FIRST_PEER,
              size: int = 1420, nested_us: float = 0.0,
              only: tuple[float, float] | None = None) -> Situation:  # fmt: skip
        """`pps` packets of a peer pass a stage on a CPU and take `us` each, and what runs on top of it `nested_us`."""
        row = {"stage": stage, "cpu": cpu, "object": peer, "packets": pps, "calls": pps, "bytes": pps * size,
               "service_ns": pps * us * 1000, "nested_ns": pps * nested_us * 1000}  # fmt: skip
        counter = {"tx.send": "tx_packets", "rx.deliver": "rx_packets"}.get(stage)
        if counter:
            self._add("interfaces", {**WG0, counter: pps}, only)
        return self._add("stages", row, only)

    def runs(self, server: str, runs: float, packets: float, us: float, *, cpu: int = 0, owner: int = FIRST_PEER,
             empty: float = 0, empty_us: float = 1.0, delay_us: float = 10.0,
             only: tuple[float, float] | None = None) -> Situation:  # fmt: skip
        """A worker or NAPI runs; `us` is its own time a run, `empty` of the runs move nothing."""
        busy_ns = (runs - empty) * us * 1000 + empty * empty_us * 1000
        row = {"server": server, "cpu": cpu, "object": owner, "executions": runs, "packets": packets,
               "busy_ns": busy_ns, "empty": empty, "empty_ns": empty * empty_us * 1000, "wakeups": runs,
               "delay_ns": runs * delay_us * 1000, "delayed": runs}  # fmt: skip
        return self._add("executions", row, only)

    def queue(self, queue: str, depth: float, *, owner: int = FIRST_PEER, handoffs: float = 1000, refused: float = 0,
              segments: int = 1, occupied: float | None = None,
              only: tuple[float, float] | None = None) -> Situation:  # fmt: skip
        """A queue is `depth` deep whenever the clock looks, 100 times a second."""
        share = (1.0 if depth > 0 else 0.0) if occupied is None else occupied
        seen = {"queue": queue, "object": owner, "samples": 100, "depth_sum": 100 * depth, "depth_max": 0,
                "occupied": 100 * share}  # fmt: skip
        met = {"queue": queue, "object": owner, "handoffs": handoffs, "packets": handoffs * segments,
               "refused": refused, "refused_packets": refused * segments, "depth_sum": handoffs * depth}  # fmt: skip
        self._add("depths", {**seen, "depth_max_": depth}, only)
        return self._add("arrivals", met, only) if queue != "tx.staged" else self

    def cpu(self, cpu: int, *, softirq: float = 0.0, system: float = 0.0, user: float = 0.0,
            net_rx: float = 0.0) -> Situation:  # fmt: skip
        """Shares of a CPU's time by the kernel's account; `net_rx` is softirq outside WireGuard's stages.  Replaces
        what was said of it before."""
        kept = [r for r in self._rows.get("cpus", []) if r[0]["cpu"] != cpu]
        spent = {"softirq_ns": softirq, "system_ns": system, "user_ns": user, "idle_ns": 1 - softirq - system - user}
        row = {"cpu": cpu, **{key: share * 1e9 for key, share in spent.items()}, "probe_net_rx_ns": net_rx * 1e9}
        self._rows["cpus"] = [*kept, (row, None)]
        return self

    def dropped(self, tx: float = 0, rx: float = 0) -> Situation:
        """Drops in the interface's own counters."""
        return self._add("interfaces", {**WG0, "tx_dropped": tx, "rx_dropped": rx})

    def overflowed(self, rate: float) -> Situation:
        """Datagrams that found the buffer of a UDP socket full."""
        return self._add("udp", {"netns": NETNS, "in_errors": rate, "rcvbuf_errors": rate})

    def nic(self, **described: Any) -> Situation:
        """The interface that carries wg0, described in the manifest as by the agent."""
        told = {"netns": NETNS, "name": "eth0", "carries": ["wg0"], "rx_queues": 8, **described}
        self._add("interfaces", {"netns": NETNS, "name": told["name"], "rx_packets": 1_000})
        return self.says(outer=[told])

    def journeys(self, count: int, *, peer: int = FIRST_PEER, decrypt_us: float = 10.0, every: int = 0,
                 stalled_us: float = 0.0, stall_cpu: int = 0, cpu: int = 1, gap_us: float = 20.0,
                 deliver_wait_us: float = 0.0) -> Situation:  # fmt: skip
        """Receive journeys `gap_us` apart.  Each `every`th waits `stalled_us` to be decrypted, on `stall_cpu`, and
        holds those behind it, which are decrypted at once on `cpu`."""
        events = self._fixed.setdefault("journeys", [])
        at, free = START_NS + 1_000_000, 0
        for nonce in range(count):
            stalled = every > 0 and nonce % every == 0
            queued = at + int(nonce * gap_us * 1000)
            begun = queued + int(stalled_us * 1000 if stalled else 1000)
            ready = begun + int(decrypt_us * 1000)
            free = max(free, ready + int(deliver_wait_us * 1000)) + 1000
            where = stall_cpu if stalled else cpu
            common = {"nonce": nonce, "key_index": 7, "object": peer}
            events += [
                {**common, "point": 4, "end_ns": queued, "service_ns": 500, "cpu": 0},
                {**common, "point": 5, "end_ns": ready, "service_ns": ready - begun, "cpu": where},
                {**common, "point": 6, "end_ns": free, "service_ns": 900, "cpu": where},
            ]
        return self

    def events(self, rows: list[Row]) -> Situation:
        """Journey events, as they are."""
        self._fixed["journeys"] = rows
        return self

    def between(self, table: str, **row: Any) -> Situation:
        """A row of a table of what goes on between the stages, which is measured then; without one it is empty."""
        measured = self.manifest.setdefault("detail", {"on": [], "off": {}})["on"]
        if table not in measured:
            measured.append(table)
        return self._add(table, {"cpu": 0, **row}) if row else self

    def table(self, name: str, records: list[Row]) -> Situation:
        """Rows that are not repeated."""
        self._fixed.setdefault(name, []).extend(records)
        return self

    def says(self, **manifest: Any) -> Situation:
        """Keys of the manifest."""
        self.manifest.update(manifest)
        return self

    def internal_id(self, peer: int, number: int) -> Situation:
        """The kernel's own number of a peer."""
        self._ids[peer] = number
        return self

    def pause(self, begin: float, end: float) -> Situation:
        """Nothing is written for these seconds but intervals and idle CPUs."""
        self._pause = (begin, end)
        return self

    def forget(self, table: str) -> Situation:
        """A recording without this table."""
        self._rows.pop(table, None)
        self._fixed.pop(table, None)
        return self

    def _add(self, table: str, row: Row, only: tuple[float, float] | None = None) -> Situation:
        self._rows.setdefault(table, []).append((row, only))
        return self

    def recording(self) -> InMemory:
        """The tables."""
        tables: dict[str, list[Row]] = {name: list(self._fixed.get(name, [])) for name in BY_NAME}
        part = INTERVAL_NS / 1e9
        for number in range(round(self.seconds / part)):
            when = {"t_ns": START_NS + number * INTERVAL_NS, "dt_ns": INTERVAL_NS}
            tables["intervals"].append({**when, "sample_every": 1, "agent_cpu_ns": 1_000_000})
            if self._pause[0] <= number * part < self._pause[1]:
                continue
            for name, stated in self._rows.items():
                for row, only in stated:
                    if only is None or only[0] <= number * part < only[1]:
                        tables[name].append({**when, **_scaled(row, part)})
        tables["objects"] += self._objects()
        tables["probes"].append({"point": "tx.encrypt start", "symbol": "encrypt_packet", "kind": "fentry"})
        each = self.cpus // self.nodes
        numa = {str(node): list(range(node * each, (node + 1) * each)) for node in range(self.nodes)}
        manifest = {
            "complete": True,
            "target": {"kind": "local"},
            "machine": {"user_hz": 100, "numa_nodes": numa},
            "interfaces": [{"netns": NETNS, "name": "wg0", "mtu": self.mtu}],
            **self.manifest,
        }
        return InMemory({name: rows(name, records) for name, records in tables.items()}, manifest)

    def _objects(self) -> list[Row]:
        common = {"device": DEVICE, "name": "wg0", "netns": NETNS, "threaded": -1}
        found: list[Row] = [{**common, "object": DEVICE, "kind": "device"}]
        for peer in range(self.peers):
            mine = {"object": FIRST_PEER + peer, "kind": "peer", "public_key": f"{'abcdefghijkl'[peer]}{peer}Key=",
                    "internal_id": self._ids.get(FIRST_PEER + peer, 1 + peer), "threaded": self.threaded}  # fmt: skip
            found.append({**common, **mine})
        return found


_NAMES = frozenset({"cpu", "object", "netns"})


def _scaled(row: Row, part: float) -> Row:
    """A row of a second as one of an interval; maxima and names stay."""
    scaled = {k: v if isinstance(v, str) or k in _NAMES else round(v * part) for k, v in row.items()}
    if "depth_max_" in row:
        scaled["depth_max"] = round(row["depth_max_"])
        del scaled["depth_max_"]
    return scaled


def receiver(cpus: int = 4, peers: int = 1, pps: float = 20_000, **more: Any) -> Situation:
    """A healthy machine that receives: light work, spread over its CPUs, nothing waits."""
    situation = Situation(cpus=cpus, peers=peers, **more)
    each = pps / peers / cpus
    for peer in range(FIRST_PEER, FIRST_PEER + peers):
        situation.stage("rx.receive", pps / peers, 2.0, cpu=0, peer=peer)
        for cpu in range(cpus):
            situation.stage("rx.decrypt", each, 5.0, cpu=cpu, peer=peer)
            situation.stage("rx.deliver", each, 1.5, cpu=cpu, peer=peer)
            situation.runs("rx.napi", each / 8, each, 3.0, cpu=cpu, owner=peer)
        situation.queue("rx-queue", 2, owner=peer, handoffs=pps / peers, occupied=0.3)
    for cpu in range(cpus):
        situation.runs("decrypt.work", pps / cpus / 16, pps / cpus, 2.0, cpu=cpu, owner=DEVICE)
        situation.cpu(cpu, softirq=0.12, system=0.08)
    situation.queue("decrypt-ring", 1, owner=DEVICE, handoffs=pps, occupied=0.3)
    return situation.journeys(400)


def sender(cpus: int = 4, peers: int = 1, pps: float = 20_000, on: int = 0, **more: Any) -> Situation:
    """A healthy machine that sends, from threads on the CPU `on`."""
    situation = Situation(cpus=cpus, peers=peers, **more)
    each = pps / peers / cpus
    for peer in range(FIRST_PEER, FIRST_PEER + peers):
        situation.stage("tx.stage", pps / peers, 1.0, cpu=on, peer=peer)
        for cpu in range(cpus):
            situation.stage("tx.encrypt", each, 5.0, cpu=cpu, peer=peer)
        situation.stage("tx.send", pps / peers, 2.0, cpu=peer % cpus, peer=peer)
        situation.runs("tx.work", pps / peers / 20, pps / peers, 2.0, cpu=peer % cpus, owner=peer)
        situation.queue("tx-queue", 1, owner=peer, handoffs=pps / peers / 20, segments=20, occupied=0.2)
    for cpu in range(cpus):
        situation.runs("encrypt.work", pps / cpus / 20, pps / cpus, 2.0, cpu=cpu, owner=DEVICE)
        situation.cpu(cpu, system=0.15, softirq=0.02)
    return situation.queue("encrypt-ring", 1, owner=DEVICE, handoffs=pps / 20, segments=20, occupied=0.2)
