"""The keys of `manifest.json`: what they hold, and what they are when nobody knew.

Every manifest that is written or opened goes through `completed`, so that whoever reads one may
count on every key below being there, with a value of its kind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wgprof.recording.untrusted import Damage, plain

#: A manifest longer than this is damage.
MAX_MANIFEST = 16 << 20


def _list_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_KINDS: dict[str, tuple[Callable[[object], bool], Any]] = {
    "text": (_is_text, ""),
    "count": (_is_count, 0),
    "number": (lambda value: type(value) in (int, float), 0.0),
    "yes/no": (lambda value: isinstance(value, bool), False),
    "object": (_is_object, {}),
    "counts": (_list_of(_is_count), []),
    "texts": (_list_of(_is_text), []),
    "objects": (_list_of(_is_object), []),
}


@dataclass(frozen=True)
class Key:
    """A key of the manifest; dots descend into objects, `[]` into each object of a list."""

    name: str
    kind: str
    meaning: str


KEYS: tuple[Key, ...] = (
    Key("magic", "text", "`wgprof recording`"),
    Key("schema_version", "count", "version of this format"),
    Key("writer_version", "text", "version of the wgprof that wrote the file"),
    Key("created", "text", "when the recording was asked for: ISO 8601, UTC"),
    Key("asked.duration_s", "number", "seconds asked for"),
    Key("asked.interfaces", "texts", "interfaces asked for; none: all"),
    Key("asked.interval_ms", "count", "length of an interval"),
    Key("asked.sample", "count", "journeys asked for: one packet in N; 0: chosen by event budget"),
    Key("asked.depth_hz", "count", "how often queue depths were to be looked at"),
    Key("asked.stacks_s", "number", "seconds that perf was to sample stacks after the recording; 0: not at all"),
    Key("asked.detail", "yes/no", "whether the points off the default path were asked for"),
    Key("asked.anonymize", "yes/no", "whether labels were asked for in the place of keys and addresses"),
    Key("target.kind", "text", "lab, local or ssh; more keys by kind"),
    Key("machine.kernel", "text", "release of the kernel"),
    Key("machine.arch", "text", "processor architecture"),
    Key("machine.cpus_online", "counts", "numbers of the CPUs online at the start"),
    Key("machine.numa_nodes", "object", "node number -> its CPUs"),
    Key("machine.clock", "text", "clock of all times"),
    Key("machine.clocksource", "text", "what the kernel's clock counts"),
    Key("machine.user_hz", "count", "unit of the kernel's CPU accounting"),
    Key("machine.memory_bytes", "count", "memory"),
    Key("machine.virtualisation", "text", "kvm, qemu, .. or none"),
    Key("machine.distribution", "text", "name and version"),
    Key("wireguard.version", "text", "of the module"),
    Key("wireguard.srcversion", "text", "of the module"),
    Key(
        "wireguard.variant",
        "text",
        "distribution, vanilla, steered or inline; NAME-lab-crypto: not encrypted",
    ),
    Key(
        "wireguard.patch_hash",
        "text",
        "hash of the rules and files that made the variant; empty: the distribution's",
    ),
    Key("wireguard.source_version", "text", "version of the source package the variant was made from"),
    Key("wireguard.crypto_permille", "count", "lab only: the share of a packet's cost that crypto was set to; 0: real"),
    Key("wireguard.crypto_ns", "count", "lab only: what the work in the cipher's place was set to cost"),
    Key("wireguard.crypto_steps", "count", "lab only: how many steps that work has"),
    Key("wireguard.has_btf", "yes/no", "whether the module carries type information"),
    Key("interfaces[].netns", "count", "inode number of the network namespace"),
    Key("interfaces[].netns_name", "text", "its name under /run/netns"),
    Key("interfaces[].name", "text", "interface"),
    Key("interfaces[].ifindex", "count", "its index"),
    Key("interfaces[].mtu", "count", "its MTU"),
    Key("interfaces[].mode", "text", "of the inline variant: inline or queued, at the start"),
    Key("interfaces[].peers", "count", "how many peers it had at the start"),
    Key("outer[].netns", "count", "of an interface that carries tunnels: inode number of its network namespace"),
    Key("outer[].netns_name", "text", "its name under /run/netns"),
    Key("outer[].name", "text", "interface"),
    Key("outer[].ifindex", "count", "its index"),
    Key("outer[].mtu", "count", "its MTU"),
    Key("outer[].via", "text", "the interface above it that has the route; empty: it has it itself"),
    Key("outer[].carries", "texts", "WireGuard interfaces whose peers the route leads to"),
    Key("outer[].driver", "text", "its driver"),
    Key("outer[].rx_queues", "count", "receive queues"),
    Key("outer[].tx_queues", "count", "transmit queues"),
    Key("outer[].rps_cpus", "texts", "RPS: mask of CPUs for each receive queue; 0: none"),
    Key("outer[].rps_flow_cnt", "counts", "RFS: flows for each receive queue; 0: off"),
    Key("outer[].xps_cpus", "texts", "XPS: mask of CPUs for each transmit queue; empty: none"),
    Key("outer[].rss_hash", "object", "udp4 and udp6 -> fields RSS chooses the queue by; no key: not told"),
    Key("outer[].rss_table", "object", "RSS's table: its entries, and queue -> how many lead there; empty: not told"),
    Key("outer[].channels", "object", "queues in use by kind, as the driver tells"),
    Key("outer[].rings", "object", "descriptors of a receive and of a transmit queue"),
    Key("outer[].offloads", "object", "offload -> on or off"),
    Key("outer[].irqs", "objects", "interrupts: irq, name, affinity, effective (CPUs), counts (CPU -> since boot)"),
    Key("outer_notes", "texts", "what of the outer path could not be found out"),
    Key("sysctls", "object", "settings of the kernel that matter to packets"),
    Key("workqueues", "object", "CPU masks and settings of WireGuard's workqueues"),
    Key("startup", "object", "seconds: compile_s and attach_s of the probes, start_s until the agent's first data"),
    Key("agent.version", "text", "version of the agent"),
    Key("agent.python", "text", "the Python it ran on"),
    Key("agent.bcc", "text", "the bcc it used"),
    Key("clock.start_ns", "count", "monotonic time of the start"),
    Key("clock.start_unix_ns", "count", "wall-clock time of the same moment"),
    Key("probes.attached", "count", "probes attached"),
    Key("probes.missing", "count", "points at which none could be attached"),
    Key("probes.affects", "texts", "tables or columns that are incomplete for it"),
    Key("probes.bpf_stats_ns", "count", "time during which the kernel measured the probes' own run time"),
    Key("detail.on", "texts", "tables from `polls` to `ipis` that were measured"),
    Key("detail.off", "object", "table of those that was not, or not in full -> why"),
    Key(
        "sampling.rule",
        "text",
        "which nonces are sampled. golden: nonce * 2654435769 modulo 2^32 is below 2^32 / N; none: N divides the nonce",
    ),
    Key("sampling.sample_every_min", "count", "smallest N of the journey sampling"),
    Key("sampling.sample_every_max", "count", "largest N"),
    Key("sampling.events", "count", "journey events in the file"),
    Key("losses.total", "count", "sum of the table `losses`"),
    Key("losses.causes", "object", "cause -> count"),
    Key("perf.version", "text", "of the perf tool; empty without --stacks, or if it is not installed"),
    Key("perf.sample_event", "text", "what stacks were sampled by: cycles, or cpu-clock where there are no counters"),
    Key("perf.sample_hz", "count", "samples a second of CPU time"),
    Key("perf.samples", "count", "samples of all CPUs"),
    Key("perf.parts[].part", "text", "stat, stacks or kwork"),
    Key("perf.parts[].state", "text", "ok, not installed, refused, unsupported, no symbols, stopped or failed"),
    Key("perf.parts[].sentence", "text", "what is wrong"),
    Key("perf.parts[].remedy", "text", "what to do about it"),
    Key("complete", "yes/no", "whether the agent ended the recording itself; if not, its end was cut off"),
    Key("end_reason", "text", "duration, stopped, disconnected, error, agent died, or recovered"),
    Key("interrupted", "yes/no", "whether the user stopped it before its time"),
    Key("message", "text", "more about the end: the agent's last words, the damage found"),
    Key("duration_s", "number", "seconds between the first and the last tick"),
    Key("part.frames", "count", "frames the file was made of"),
    Key("part.bytes", "count", "their size"),
    Key("part.dropped_bytes", "count", "what was cut off or damaged after them"),
    Key(
        "constructed",
        "text",
        "of a recording that was constructed: what was measured, and what of it was changed; else empty",
    ),
    Key("anonymized", "yes/no", "whether keys, addresses and host names were replaced by labels"),
    Key("results", "object", "what the target measured itself: in the lab, goodput at the receiver"),
    Key("tables", "object", "table -> {rows, bytes}, as written"),
)
_TOP = frozenset(key.name.partition(".")[0].partition("[")[0] for key in KEYS)


def completed(manifest: Mapping[str, Any], lenient: bool = False) -> dict[str, Any]:
    """A copy of a manifest with every key of KEYS; unknown keys below the top are kept.

    A value of the wrong kind raises Damage, or, if `lenient`, gives way to the key's default: an odd
    agent must not cost the user a recording.
    """
    whole = {name: plain(value, f"manifest key {name!r}") for name, value in manifest.items() if name in _TOP}
    for key in KEYS:
        outer, each, inner = key.name.partition("[].")
        path = outer.split(".")
        if not each:
            _fill(whole, path, key, lenient)
            continue
        for item in _fill(whole, path, Key(outer, "objects", ""), lenient):
            _fill(item, [inner], key, lenient)
    return whole


def _fill(place: dict[str, Any], path: list[str], key: Key, lenient: bool) -> Any:
    """Make sure that the key is there; returns its value."""
    for name in path[:-1]:
        _set(place, name, "object", key.name, lenient)
        place = place[name]
    _set(place, path[-1], key.kind, key.name, lenient)
    return place[path[-1]]


def _set(place: dict[str, Any], name: str, kind: str, what: str, lenient: bool) -> None:
    """Make sure that `place[name]` is of a kind."""
    fits, default = _KINDS[kind]
    value = place.get(name)
    if value is not None and fits(value):
        return
    if value is not None and not lenient:
        raise Damage(f"manifest key {what!r} is not of the kind {kind!r}")
    place[name] = copy.copy(default)
