"""The agent's work: attach, then an interval at a time send what the probes counted, then detach."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import threading
import time
from typing import Any, Dict, List, Optional

from wgprof.agent import kernel, maps, netns
from wgprof.agent.accounts import Accounts
from wgprof.agent.drain import Drain
from wgprof.agent.frames import PROTOCOL_VERSION, Kind
from wgprof.agent.layout import BUCKETS, CELL_KINDS, COUNTERS, EVENT_STRIDE
from wgprof.agent.loader import RING_BYTES, Probes
from wgprof.agent.outer import Outer
from wgprof.agent.perf import Control, PerfWindow
from wgprof.agent.runtime import Meter
from wgprof.agent.sampling import RULE, Sampler
from wgprof.agent.stream import Stream

AGENT_VERSION = "0.1.0"
#: Run time of the probes is measured for an interval this often: the kernel patches its code for it.
METER_NS = 5_000_000_000
#: The agent's own memory is looked at this often.
MEMORY_NS = 500_000_000
#: Of a probe: how many runs the kernel left out is not known.
UNKNOWN_MISSES = -1
#: A sign of life at least so often.
PATIENT_S = 5.0

#: The JSON of a TICK.  Ten times a second, for a whole recording: so it is put together, not encoded.
_HEAD = (
    b'{"t_ns":%d,"late_ns":%d,"sample_every":%d,"agent":{"cpu_ns":%d,"rss_bytes":%d},"cpu":%b,"softirqs":%b,'
    b'"interfaces":[%b],"objects":%b,"losses":%b,"event_bytes":%d,%b}'
)


class Recorder:
    """One recording on this machine."""

    def __init__(self, request: Dict[str, Any], stream: Stream, probes: Probes, control_fd: int) -> None:
        self._request = request
        self._stream = stream
        self._probes = probes
        self._control_fd = control_fd
        self._cpus = kernel.possible_cpus()
        self._slots = probes.slots
        self._is_detailed = bool(request.get("detail"))
        self._check_layout()
        self._control = probes.control
        self._objects = maps.Objects(probes.map_fd("objects"), self._slots)
        self._blocks = maps.Blocks(probes.map_fd("blocks"), self._slots, self._cpus, kernel.online_cpus())
        self._detail: Optional[maps.DetailBlocks] = None
        if self._is_detailed:
            fd = probes.map_fd("detail_blocks")
            self._detail = maps.DetailBlocks(fd, self._slots, self._cpus, kernel.online_cpus())
        self._states = maps.States(probes.map_fd("states"), probes.value_size("states"), self._cpus)
        self._drain = Drain(maps.Ring(probes.map_fd("events"), RING_BYTES), stream)
        self._sampler = Sampler(int(request.get("sample", 0)))
        self._meter = Meter([item.fd for item in probes.attached])
        self._memory_due_ns = self._meter_due_ns = 0
        self._stop: Optional[str] = None
        self._interfaces: List[netns.Interface] = []
        self._watched = 0  # how many interfaces have counters
        self._counters = netns.Counters([])
        self._accounts = Accounts()
        self._resident_bytes = self._accounts.resident_bytes()
        self._gone: set[str] = set()
        self._input = b""
        self._go = False

    def _check_layout(self) -> None:
        sizes = {"blocks": maps.BLOCK_BYTES, "objects": maps.OBJECT.size * self._slots, "control": maps.CONTROL.size}
        if self._is_detailed:
            sizes["detail_blocks"] = maps.DETAIL_BLOCK_BYTES
        for name, expected in sizes.items():
            found = self._probes.value_size(name)
            if found != expected:
                raise AssertionError(f"map {name} has values of {found} bytes, the agent expects {expected}")

    def run(self, interfaces: List[netns.Interface], hello: Dict[str, Any], outer: Outer) -> None:
        """Records until the time is up, stdin closes, or a signal asks to stop."""
        self._interfaces = interfaces
        # A tunnel in a tunnel has an outer interface that is one of ours.
        own = {(interface.namespace, interface.name) for interface in interfaces}
        others = [outside for outside in outer.interfaces if (outside.namespace, outside.name) not in own]
        self._counters = netns.Counters([*interfaces, *others])
        self._watched = len(interfaces) + len(others)
        for stopper in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(stopper, self._on_signal)
        interval_ns = int(self._request.get("interval_ms", 100)) * 1_000_000
        online = kernel.online_cpus()
        try:
            self._probes.start_clock(int(self._request.get("depth_hz", 397)), online[0])
        except Exception as error:
            self._stream.log("warning", "probe", f"queue depths cannot be sampled on a clock: {error}")
        self._control.sample_every(self._sampler.every)
        # What is there now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        start = time.monotonic_ns()
        hello.update(start_ns=start, start_unix_ns=time.time_ns(), sample_every=self._sampler.every, sampling_rule=RULE)
        self._stream.json(Kind.HELLO, hello)
        self._tick(0, outer.read(start, last=True))
        end = start + int(float(self._request["duration_s"]) * 1e9)
        number = 1
        while self._stop is None:
            due = min(start + number * interval_ns, end)
            self._wait(due)
            late = max(0, time.monotonic_ns() - due)
            self._tick(late, outer.read(time.monotonic_ns(), last=due == end or self._stop is not None))
            if time.monotonic_ns() >= end and self._stop is None:
                self._stop = "duration"
            number = max(number + 1, (time.monotonic_ns() - start) // interval_ns + 1)
        self._finish()

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop = "stopped"

    def _wait(self, due: int) -> None:
        """Until `due`, draining events and listening for the order to stop."""
        while self._stop is None:
            left = (due - time.monotonic_ns()) / 1e9
            if left <= 0:
                return
            nap = self._drain.nap_s(self._sampler.every)
            ready, _, _ = select.select([self._control_fd], [], [], min(left, nap))
            if ready:
                self._read_control()
            if nap < left:  # else the tick that is due looks anyway
                self._drain.look()

    def _read_control(self) -> None:
        data = os.read(self._control_fd, 4096)
        if not data:
            self._stop = "disconnected"
            return
        self._input += data
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                order = json.loads(line)
                self._go = self._go or bool(order.get("go"))
                if order.get("stop"):
                    self._stop = "stopped"

    def _tick(self, late_ns: int, outer: bytes) -> None:
        """`outer`: see Outer.read."""
        # Before anything is read: cells and counters are to be of the same moment, and writing may take a while.
        self._drain.empty()
        now = time.monotonic_ns()
        news = [self._named(item) for item in self._objects.news()]
        for item in news:
            if item["gone"]:
                where = _label(str(item["name"]), str(item["netns_name"]))
                self._stream.log("warning", "peer", f"a peer of {where} was removed")
        cells = self._blocks.changed(self._objects.slots)
        if self._detail is not None:
            cells += self._detail.changed(self._objects.slots)
        interfaces = self._counters.read()
        self._note_vanished(interfaces)
        head = _HEAD % (
            now,
            late_ns,
            self._sampler.every,
            time.process_time_ns(),
            self._resident_bytes,
            self._accounts.cpu_times(),
            self._accounts.softirqs(),
            b",".join(interfaces.values()),
            json.dumps(news).encode() if news else b"[]",
            self._states.as_json(),
            self._stream.event_bytes,
            outer,
        )
        self._stream.tick(head, cells)
        every = self._sampler.next(self._blocks.packets(), now)
        if every:
            self._control.sample_every(every)
        if now >= self._memory_due_ns:
            self._memory_due_ns = now + MEMORY_NS
            self._resident_bytes = self._accounts.resident_bytes()
        meter_is_due = now >= self._meter_due_ns
        self._meter.turn(on=meter_is_due)
        if meter_is_due:
            self._meter_due_ns = now + METER_NS

    def _named(self, item: Dict[str, object]) -> Dict[str, object]:
        names = {i.namespace.inode: i.namespace.name for i in self._interfaces}
        return {**item, "netns_name": names.get(int(str(item["netns"])), "")}

    def _note_vanished(self, rows: Dict[int, bytes]) -> None:
        if len(rows) == self._watched:
            return
        vanished = [interface for number, interface in enumerate(self._interfaces) if number not in rows]
        if not vanished:  # others have
            return
        for interface in vanished:
            label = _label(interface.name, interface.namespace.name)
            if label not in self._gone:
                self._gone.add(label)
                self._stream.log("warning", "interface", f"interface {label} went away")
        # Interfaces go before their module does.
        if not os.path.isdir("/sys/module/wireguard") and "module" not in self._gone:
            self._gone.add("module")
            self._stream.log("warning", "module", "the wireguard module was unloaded")

    def _finish(self) -> None:
        statistics = self._meter.finish()
        self._control.sample_every(0)
        self._drain.empty()
        rows, missed = [], self._probes.missed()
        for attached in self._probes.attached:
            measured, a = statistics[attached.fd], attached.attachment
            rows.append(
                {
                    "point": a.point,
                    "symbol": a.symbol,
                    "kind": a.kind,
                    "runs": measured.runs,
                    "run_ns": measured.run_ns,
                    "misses": all_misses(a.kind, measured.recursion_misses, missed.get(a.program)),
                    "error": self._probes.refusals.get(a.point, ""),
                    "affects": a.affects,
                }
            )
        unknown = sum(row["misses"] == UNKNOWN_MISSES for row in rows)
        if unknown:
            message = f"it is not known whether the kernel skipped runs of {unknown} kprobes"
            self._stream.log("warning", "probe", message)
        losses = [
            {"cause": key.split(" ")[0], "where": key.split(" ")[1], "count": count}
            for key, count in self._states.losses().items()
        ]
        self._look_with_perf()
        self._stream.json(
            Kind.END,
            {
                "reason": self._stop,
                "t_ns": time.monotonic_ns(),
                "message": "",
                "losses": losses,
                "probes": rows + describe_missing(self._probes),
                "bpf_stats_ns": self._meter.measured_ns,
                "events": self._stream.event_bytes // EVENT_STRIDE,
            },
        )

    def _look_with_perf(self) -> None:
        """perf's own window, if one was asked for and nobody wants an end: without probes, which it would sample."""
        seconds = float(self._request.get("stacks_s", 0))
        if seconds <= 0 or self._stop != "duration":
            return
        self._detach()
        ended, self._stop = self._stop, None
        window = PerfWindow(self._stream, Control(self._control_fd, self._read_control,
                                                  lambda: self._stop is not None, lambda: self._go))  # fmt: skip
        window.run(seconds)
        self._stop = self._stop or ended

    def _detach(self) -> None:
        """Takes the probes off; the kernel waits for all tasks with each, which takes a busy machine its time."""
        closing = threading.Thread(target=self._probes.close, daemon=True)
        closing.start()
        while closing.is_alive():
            closing.join(PATIENT_S)
            if closing.is_alive():
                self._stream.log("info", "probe", "the probes are still being taken off")


def all_misses(kind: str, recursion_misses: int, before: Optional[int]) -> int:
    """The runs of a probe that the kernel left out, of those it knows of; UNKNOWN_MISSES.

    `before` it came to the program only a kprobe's are left out; None: that is not known.
    """
    if kind in ("kprobe", "kretprobe") and before is None:
        return recursion_misses or UNKNOWN_MISSES
    return recursion_misses + (before or 0)


def _label(interface: str, namespace: str) -> str:
    """The name of an interface as every view gives it."""
    return f"{interface}@{namespace}" if namespace else interface


def describe_missing(probes: Probes) -> List[Dict[str, Any]]:
    return [
        {
            "point": m.point,
            "symbol": "",
            "kind": "missing",
            "runs": 0,
            "run_ns": 0,
            "misses": 0,
            "error": m.error,
            "affects": m.affects,
        }
        for m in probes.missing
    ]


def describe_layout() -> Dict[str, Any]:
    return {
        "counters": COUNTERS,
        "buckets": BUCKETS,
        "event_stride": EVENT_STRIDE,
        "cell_kinds": [kind.name for kind in CELL_KINDS],
    }


def hello(probes: Probes, bcc: str, interfaces: List[netns.Interface], outer: Outer) -> Dict[str, Any]:
    """The HELLO frame, but for the times."""
    attached = [
        {
            "point": a.point,
            "symbol": a.symbol,
            "kind": a.kind,
            "error": probes.refusals.get(a.point, ""),
            "affects": a.affects,
        }
        for a in (item.attachment for item in probes.attached)
    ]
    wireguard = kernel.describe_wireguard()
    modes: Dict[netns.Namespace, Dict[str, str]] = {}
    if wireguard["variant"] != "distribution":
        modes = {interface.namespace: {} for interface in interfaces}
        modes = {namespace: netns.modes(namespace) for namespace in modes}
    return {
        "protocol": PROTOCOL_VERSION,
        "agent_version": AGENT_VERSION,
        "python": ".".join(str(part) for part in __import__("sys").version_info[:3]),
        "bcc": bcc,
        "machine": kernel.describe_machine(),
        "wireguard": wireguard,
        "sysctls": kernel.describe_sysctls(),
        "workqueues": kernel.describe_workqueues(),
        "layout": describe_layout(),
        "slots": probes.slots,
        "startup": probes.startup,
        "refusals": probes.refusals,
        "probes": attached + describe_missing(probes),
        "interfaces": [
            {**describe_interface(interface), "mode": modes.get(interface.namespace, {}).get(interface.name, "")}
            for interface in interfaces
        ],
        "outer": outer.described,
        "outer_notes": outer.notes,
    }


def describe_interface(interface: netns.Interface) -> Dict[str, Any]:
    threaded = kernel.read_text(f"/sys/class/net/{interface.name}/threaded").strip()
    own = not interface.namespace.name
    return {
        "netns": interface.namespace.inode,
        "netns_name": interface.namespace.name,
        "name": interface.name,
        "ifindex": interface.ifindex,
        "mtu": interface.mtu,
        # sysfs shows the interfaces of the namespace it was mounted in.
        "threaded": int(threaded) if own and threaded.isdigit() else -1,
        "peers": interface.peers,
    }
