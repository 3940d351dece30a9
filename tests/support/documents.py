"""The JSON of synthetic frames: what the agent says of itself, the machine and the objects."""

from __future__ import annotations

from typing import Any

from wgprof.agent import layout

START_NS = 5_000_000_000_000
START_UNIX_NS = 1_700_000_000_000_000_000
NETNS = 4_026_531_840
DEVICE = 1
FIRST_PEER = 2


def objects(peers: int) -> list[dict[str, Any]]:
    common = {"ifindex": 7, "netns": NETNS, "netns_name": "left", "threaded": 0, "first_seen_ns": START_NS}
    device = {"slot": DEVICE, "kind": "device", "device_slot": DEVICE, "name": "wg0", "public_key": "", "endpoint": ""}
    rows: list[dict[str, Any]] = [{**device, **common, "internal_id": None}]
    for peer in range(peers):
        mine = {
            "slot": FIRST_PEER + peer,
            "kind": "peer",
            "public_key": f"{'ABCDEFGHIJKLMNOP'[peer % 16]}{peer:041d}A=",
            "endpoint": f"192.0.2.{peer + 1}:51820",
            "internal_id": 11 + peer,
        }
        rows.append({**device, **common, **mine})
    return rows


def request(seconds: float, interval_ms: int, sample_every: int, depth_hz: int) -> dict[str, Any]:
    asked = {"duration_s": seconds, "interfaces": [], "interval_ms": interval_ms, "sample": sample_every,
             "depth_hz": depth_hz, "compress": False}  # fmt: skip
    return {
        "writer_version": "0.1.0",
        "created_unix_ns": START_UNIX_NS,
        "request": asked,
        "target": {"kind": "lab", "accel": "tcg"},
    }


def hello(cpus: int, peers: int, sample_every: int) -> dict[str, Any]:
    return {
        "protocol": 1, "agent_version": "0.1.0", "python": "3.13.5", "bcc": "0.31.0",
        "start_ns": START_NS, "start_unix_ns": START_UNIX_NS, "sample_every": sample_every,
        "machine": {
            "kernel": "6.12.0-synthetic", "arch": "x86_64", "cpus_online": list(range(cpus)),
            "numa_nodes": {"0": list(range(cpus))}, "clock": "CLOCK_MONOTONIC", "clocksource": "tsc", "user_hz": 100,
            "memory_bytes": 2 << 30, "virtualisation": "qemu", "distribution": "Debian GNU/Linux 13 (trixie)",
        },
        "wireguard": {"version": "1.0.0", "srcversion": "ABC123", "variant": "vanilla", "has_btf": True},
        "sysctls": {"net.core.netdev_budget": "300"}, "workqueues": {"wg-crypt-wg0": {"cpumask": "3"}},
        "layout": {
            "counters": layout.COUNTERS, "buckets": layout.BUCKETS, "event_stride": layout.EVENT_STRIDE,
            "cell_kinds": [kind.name for kind in layout.CELL_KINDS],
        },
        "probes": [{"point": name, "symbol": "wg_xmit", "kind": "fentry", "error": "", "affects": []} for name in
                   layout.POINTS.values()],
        "interfaces": [{"netns": NETNS, "netns_name": "left", "name": "wg0", "ifindex": 7, "mtu": 1420,
                        "threaded": False, "peers": peers}],
    }  # fmt: skip


def end(t_ns: int, events: int) -> dict[str, Any]:
    probe = {"symbol": "wg_xmit", "kind": "fentry", "runs": 1000, "run_ns": 400_000, "misses": 0, "error": ""}
    return {
        "reason": "duration", "t_ns": t_ns, "message": "", "losses": [], "bpf_stats_ns": 500_000_000, "events": events,
        "probes": [{**probe, "point": name, "affects": ""} for name in layout.POINTS.values()],
    }  # fmt: skip
