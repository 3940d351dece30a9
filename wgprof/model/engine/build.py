"""A simulation's memory before its first event."""

from __future__ import annotations

import numpy as np

from wgprof.model.costs import DISTRIBUTED, MEANINGS, Costs
from wgprof.model.engine.clock import NEVER, set_times
from wgprof.model.engine.layout import (
    BUCKETS,
    BUSY_KINDS,
    COUNTER_KINDS,
    CPU,
    FIFO,
    NAPI,
    NODE,
    PACKET,
    PARAMS,
    PEER,
    RING,
    ROUND_ROBIN,
    RX,
    SERVED,
    SOURCE,
    STEP,
    TABLE_SIZE,
    TRACE,
    TX,
    UNBOUND,
    Floats,
    Records,
    Sim,
)
from wgprof.model.limits import GSO_MAX_BYTES, SOFTIRQ_LIMIT_NS, WIRE_BYTES, slice_ns
from wgprof.model.placement import gap_ns, place
from wgprof.model.scenario import Scenario

#: Deliveries whose acknowledgements are on the way, a tunnel.
_ACKS = 4096
_SHAPES = {"constant": 0, "exponential": 1, "table": 2}


def build(scenario: Scenario, costs: Costs, seed: int, length_s: float, warmup_s: float, traced: int = 0) -> Sim:
    """Memory for a simulation of `warmup_s` + `length_s` seconds; `traced` finished steps are noted."""
    c, t = scenario.cores, scenario.tunnels
    rings = 2 if scenario.shared_device else 2 * t
    leaves = 1 << max((c + t - 1).bit_length(), 1)
    # Every packet is in a NIC's or a peer's queue, or being handled.
    sockets = [scenario.nic_limit if scenario.sender_thread else 1] * t
    pool = sum(sockets) + c * scenario.nic_limit + 2 * t * scenario.queue_limit + (64 + scenario.gso) * (c + 1)
    sizes = [
        *[t + c] * c,  # poll lists
        *[2 * rings + 5 * t + 4] * c,  # run queues of work items
        *[t + 1] * c,  # of threads
        *[scenario.nic_limit] * c,
        *[scenario.queue_limit] * (2 * t + rings),
        *[_ACKS] * t,
        *sockets,
    ]
    queued = sum(sizes)
    sim = Sim(
        p=_records(1, PARAMS),
        cpus=_records(c, CPU),
        steps=_records(3 * c, STEP),
        napis=_records(t + c, NAPI),
        peers=_records(2 * t, PEER),
        rings=_records(rings, RING),
        sources=_records(t, SOURCE),
        packets=_records(pool, PACKET),
        fifos=_records(len(sizes), FIFO),
        slots=np.zeros(queued + 2 * c * rings + 2 * c + pool, dtype=np.int64),
        times=np.zeros(t * _ACKS),
        tree=_records(2 * leaves, NODE),
        stages=np.concatenate([_stage(costs, name, scenario.packet_bytes) for name in DISTRIBUTED]),
        busy=np.zeros(c * BUSY_KINDS),
        served=np.zeros(len(SERVED)),
        counts=np.zeros(COUNTER_KINDS + BUCKETS, dtype=np.int64),
        trace=_records(traced, TRACE),
    )
    p = sim.p[0]
    p.works, p.threads, p.nics, p.peer_queues, p.ring_queues = c, 2 * c, 3 * c, 4 * c, 4 * c + 2 * t
    p.acks, p.rings = 4 * c + 2 * t + rings, rings
    p.napi_threads, p.readers, p.items = rings + 2 * t, rings + 3 * t, rings + 4 * t
    p.sockets = p.acks + t
    p.pending, p.executing, p.crypt_on = queued, queued + c * rings, queued + 2 * c * rings
    p.free_list = p.crypt_on + 2 * c
    p.seed, p.leaves, p.free = seed, leaves, pool
    sim.slots[p.free_list :] = np.arange(pool)[::-1]
    sim.fifos["size"] = sizes
    sim.fifos["base"] = np.cumsum([0, *sizes[:-1]])
    sim.tree["time"] = NEVER
    sim.tree["leaf"][leaves:] = np.arange(leaves)
    p.warmup, p.end = warmup_s * 1e9, (warmup_s + length_s) * 1e9
    _parameters(sim, scenario, costs)
    _machine(sim, scenario, seed)
    return sim


def _stage(costs: Costs, name: str, packet_bytes: int) -> Floats:
    """A row of `stages`."""
    table = np.ones(TABLE_SIZE)
    known = costs.costs[name].table if name in costs.costs else ()
    if known:
        middle = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE
        table = np.interp(middle, (np.arange(len(known)) + 0.5) / len(known), known)
        table /= table.mean()
    return np.concatenate([[costs.ns(name, packet_bytes), _SHAPES[costs.shape(name)]], table])


def _records(shape: int | tuple[int, ...], kind: np.dtype[np.void]) -> Records:
    return np.zeros(shape, dtype=kind).view(np.recarray)


def _parameters(sim: Sim, scenario: Scenario, costs: Costs) -> None:
    p = sim.p[0]
    for name in set(MEANINGS) - set(DISTRIBUTED):
        p[name] = costs.ns(name, scenario.packet_bytes)
    p.numa, p.rtt = costs.numa.value, scenario.rtt_us * 1e3
    p.slice, p.softirq_limit = slice_ns(scenario.cores), SOFTIRQ_LIMIT_NS
    p.window, p.packet_bits = scenario.window, (scenario.packet_bytes + WIRE_BYTES) * 8
    p.closed = scenario.rate_pps is None
    p.gap = gap_ns(scenario)
    p.link_ns_bit = 1.0 / scenario.link_gbit_s if scenario.link_gbit_s else 0.0
    p.sender, p.fair, p.parity = scenario.sender_ns, scenario.fair_softirqs, scenario.run_to_parity
    p.sender_thread = scenario.sender_thread
    p.cpus, p.nodes, p.tunnels = scenario.cores, scenario.nodes, scenario.tunnels
    p.inline, p.threaded = scenario.module == "inline", scenario.threaded
    p.dispatch = UNBOUND if scenario.unbound else ROUND_ROBIN
    p.budget, p.queue_limit, p.nic_limit = scenario.budget, scenario.queue_limit, scenario.nic_limit
    p.gso, p.flows, p.loop = scenario.gso, scenario.flows, scenario.direction == "loop"
    p.direction = RX if scenario.direction == "rx" else TX
    p.super = max(GSO_MAX_BYTES // scenario.packet_bytes, 1)


def _machine(sim: Sim, scenario: Scenario, seed: int) -> None:
    """CPUs, where each tunnel's flow and work go, and when the sources begin."""
    c, t = scenario.cores, scenario.tunnels
    p, where = sim.p[0], place(scenario, seed)
    sim.cpus["node"] = np.arange(c) * scenario.nodes // c
    for name in ("level", "work", "held", "thread", "napi"):
        sim.cpus[name] = -1
    sim.cpus["slept"] = 1
    for direction, listed in enumerate(where.crypt):
        first = p.crypt_on + direction * c
        sim.slots[first : first + len(listed)] = listed
    p.decrypt_cpus, p.encrypt_cpus = len(where.crypt[0]), len(where.crypt[1])
    sim.peers["device"] = where.device * 2
    sim.peers["nic"][:t] = where.nic
    sim.peers["cpu"] = where.deliver + where.transmit
    sim.napis["cpu"][:t] = np.arange(t) % c
    sim.rings["next_cpu"] = where.first_turn
    sim.rings["produced_on"] = sim.rings["consumed_on"] = -1
    sim.sources["cpu"] = sim.sources["reader_cpu"] = where.sender
    sim.sources["window"] = scenario.first_window
    set_times(sim, c, np.array(where.start_ns))
