"""From frames to tables.

The stream is untrusted.  A frame that breaks the protocol raises `Damage` and changes nothing: the
caller stops there and keeps what came before it.  What is odd but harmless (a counter that went
backwards, an event of an unknown point) costs only itself and is counted in the table `losses`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from wgprof.agent import layout
from wgprof.agent.frames import Frame, Kind
from wgprof.recording.counted import CountedTables
from wgprof.recording.events import JourneyTable
from wgprof.recording.sampled import SampledTables
from wgprof.recording.schema import BY_NAME, MAGIC, SCHEMA_VERSION, TABLES
from wgprof.recording.sink import Sink
from wgprof.recording.ticks import Object, Tick, TickTables, parse_tick
from wgprof.recording.untrusted import Damage, integer, items, mapping, parse_object, text

#: What one recording may hold of things that are listed one by one.
_MAX_LOG = 100_000
_MAX_LOSSES = 10_000
_MAX_PROBES = 10_000
_HELLO_TO_MANIFEST = (
    "machine",
    "wireguard",
    "interfaces",
    "outer",
    "outer_notes",
    "sysctls",
    "workqueues",
    "startup",
    "detail",
)


@dataclass(frozen=True)
class Decoded:
    """The tables, each in memory or in a Parquet file if it was large, and what the frames give of the manifest."""

    tables: dict[str, pa.Table | Path]
    manifest: dict[str, Any]


class Decoder:
    """Takes frames with `feed`, gives the tables with `finish`.

    With `spill`, an existing folder, large tables are written there row group by row group, and memory
    stays flat; without it everything is kept.
    """

    def __init__(self, spill: Path | None = None) -> None:
        self._spill = spill
        self._request: dict[str, Any] = {}
        self._hello: dict[str, Any] | None = None
        self._end: dict[str, Any] | None = None
        self._counted = CountedTables(spill)
        self._journeys = JourneyTable(spill)
        self._tick_tables = TickTables(spill, user_hz=100)
        self._sampled = SampledTables()
        self._objects: dict[int, Object] = {}
        self._probes: list[dict[str, Any]] = []
        self._log: list[dict[str, Any]] = []
        self._losses: dict[tuple[str, str], int] = {}
        self._sequence = -1
        self._first_ns = 0
        self._last_ns = 0
        self._samples: tuple[int, int] | None = None

    @property
    def started(self) -> bool:
        """Whether the agent's HELLO has come: without it there is no recording."""
        return self._hello is not None

    def feed(self, frame: Frame) -> None:
        """Take in a frame.  Raises Damage; whoever catches it may go on to `finish`."""
        if frame.kind in (Kind.TICK, Kind.EVENTS, Kind.PERF, Kind.END) and self._hello is None:
            raise Damage(f"a frame of kind {frame.kind.name} before the agent's HELLO")
        if self._end is not None and frame.kind is not Kind.LOG:
            raise Damage(f"a frame of kind {frame.kind.name} after the END")
        self._TAKE[frame.kind](self, frame)
        if frame.kind is not Kind.REQUEST:
            self._count_frame(frame.sequence)

    def _count_frame(self, sequence: int) -> None:
        """A gap in the agent's count is lost frames.  What the recorder itself puts in between has the number 0."""
        if sequence > self._sequence + 1:
            self._lose("lost-frame", "stream", sequence - self._sequence - 1)
        self._sequence = max(self._sequence, sequence)

    def _take_request(self, frame: Frame) -> None:
        if self._request or self._hello is not None:
            raise Damage("a second REQUEST")
        self._request = parse_object(frame.payload, "the REQUEST")

    def _take_hello(self, frame: Frame) -> None:
        if self._hello is not None:
            raise Damage("a second HELLO")
        hello = parse_object(frame.payload, "the HELLO")
        _check_layout(mapping(hello.get("layout", {}), "the HELLO's layout"))
        machine = mapping(hello.get("machine", {}), "the HELLO's machine")
        user_hz = integer(machine.get("user_hz") or 100, "user_hz", 1, 10_000)
        self._probes = _probes(hello.get("probes", []))
        self._tick_tables = TickTables(self._spill, user_hz)
        self._sampled = SampledTables(_interface_names(hello.get("interfaces", [])))
        self._hello = hello

    def _take_tick(self, frame: Frame) -> None:
        tick = parse_tick(frame.payload)
        if tick.t_ns <= self._last_ns:
            raise Damage("a tick that is not later than the one before it")
        if len({*self._losses, *map(_split_loss, tick.losses)}) > _MAX_LOSSES:
            raise Damage(f"more than {_MAX_LOSSES} kinds of losses")
        if self._first_ns == 0:
            self._counted.baseline(tick.cells)
            self._tick_tables.baseline(tick)
            self._first_ns = tick.t_ns
        else:
            dt_ns = tick.t_ns - self._last_ns
            probed = self._counted.interval(tick.cells, self._last_ns, dt_ns)
            self._tick_tables.interval(tick, self._last_ns, dt_ns, probed)
            low, high = self._samples or (tick.sample_every, tick.sample_every)
            self._samples = min(low, tick.sample_every), max(high, tick.sample_every)
        self._last_ns = tick.t_ns
        for new in tick.objects:
            self._take_object(new, tick)
        for name, count in tick.losses.items():
            self._losses[_split_loss(name)] = count

    def _take_object(self, new: Object, tick: Tick) -> None:
        old = self._objects.get(new.object)
        self._objects[new.object] = new
        if old is None:
            return
        if (old.kind, old.device) != (new.kind, new.device) or (old.public_key not in ("", new.public_key)):
            self._note(tick.t_ns, "warning", "peer", f"object {new.object} changed its identity; its counts mix both")
        if old.first_seen_ns:
            self._objects[new.object] = replace(new, first_seen_ns=old.first_seen_ns)

    def _take_events(self, frame: Frame) -> None:
        self._journeys.add(frame.payload)

    def _take_log(self, frame: Frame) -> None:
        value = parse_object(frame.payload, "a LOG")
        self._note(
            integer(value.get("t_ns", 0), "a LOG's t_ns"),
            text(value.get("level", "info"), "a LOG's level", 40),
            text(value.get("topic", "agent"), "a LOG's topic", 40),
            text(value.get("message", ""), "a LOG's message"),
        )

    def _take_perf(self, frame: Frame) -> None:
        self._sampled.add(frame.payload)

    def _note(self, t_ns: int, level: str, topic: str, message: str) -> None:
        if len(self._log) >= _MAX_LOG:
            self._lose("table-full", "log", 1)
            return
        self._log.append({"t_ns": t_ns, "level": level, "topic": topic, "message": message})

    def _lose(self, cause: str, where: str, count: int) -> None:
        self._losses[cause, where] = self._losses.get((cause, where), 0) + count

    def _take_end(self, frame: Frame) -> None:
        end = parse_object(frame.payload, "the END")
        probes = _probes(end.get("probes", []))
        losses = [_loss(mapping(loss, "a loss")) for loss in items(end.get("losses", []), "the losses", _MAX_LOSSES)]
        integer(end.get("events", 0), "the END's events")
        for cause, where, count in losses:
            self._losses[cause, where] = max(count, self._losses.get((cause, where), 0))
        self._probes = probes or self._probes
        self._end = end

    #: Of the class: bound methods in the object would keep it, and all it decoded, until the next collection.
    _TAKE: ClassVar[Mapping[Kind, Callable[[Decoder, Frame], None]]] = {
        Kind.REQUEST: _take_request,
        Kind.HELLO: _take_hello,
        Kind.TICK: _take_tick,
        Kind.EVENTS: _take_events,
        Kind.LOG: _take_log,
        Kind.PERF: _take_perf,
        Kind.END: _take_end,
    }

    def finish(self) -> Decoded:
        """The tables of everything that was fed.  Call it once."""
        hello, end = self._hello or {}, self._end
        sinks = [*self._counted.sinks.values(), *self._tick_tables.sinks.values(), self._journeys.sink]
        self._sampled.finish()
        for state in self._sampled.wanting:
            self._note(self._last_ns, "warning", "perf", f"{state.part}: {state.sentence}. {state.remedy}".strip())
        self._count_own_losses(sinks, end)
        self._invent_missing_objects()
        losses = [{"cause": c, "where": w, "count": n} for (c, w), n in sorted(self._losses.items()) if n]
        tables: dict[str, pa.Table | Path] = {sink.table.name: sink.close() for sink in sinks}
        tables |= {name: _table(name, rows) for name, rows in self._sampled.rows().items()}
        tables["objects"] = _table("objects", [asdict(self._objects[slot]) for slot in sorted(self._objects)])
        tables["probes"] = _table("probes", self._probes)
        tables["losses"] = _table("losses", losses)
        tables["log"] = _table("log", sorted(self._log, key=lambda row: int(row["t_ns"])))
        assert set(tables) == {table.name for table in TABLES}
        return Decoded(tables, self._manifest(hello, end, losses))

    def _count_own_losses(self, sinks: list[Sink], end: Mapping[str, Any] | None) -> None:
        for where, count in (self._counted.backwards | self._tick_tables.went_back).items():
            self._lose("counter-backwards", where, count)
        for sink in sinks:
            if sink.dropped:
                self._lose("table-full", sink.table.name, sink.dropped)
        journeys = self._journeys
        if journeys.bad:
            self._lose("bad-event", "journeys", journeys.bad)
        here = journeys.sink.rows + journeys.sink.dropped + journeys.discarded + journeys.bad
        missing = (end.get("events", 0) if end else 0) - here
        if missing > 0:
            self._lose("lost-event", "journeys", missing)

    def _invent_missing_objects(self) -> None:
        """Every object number that other tables use has a row, though the agent never described it."""
        for slot, kind in self._counted.slots.items():
            if slot != layout.SLOT_NONE and slot not in self._objects:
                device = kind.name.startswith(("encrypt", "decrypt"))
                self._objects[slot] = Object(slot, "device" if device else "peer", slot if device else 0)
                self._note(self._last_ns, "warning", "agent", f"object {slot} was counted but never described")

    def _manifest(
        self, hello: Mapping[str, Any], end: Mapping[str, Any] | None, losses: list[dict[str, Any]]
    ) -> dict[str, Any]:
        causes: dict[str, int] = {}
        for loss in losses:
            causes[loss["cause"]] = causes.get(loss["cause"], 0) + loss["count"]
        missing = [probe for probe in self._probes if probe["kind"] == "missing"]
        affects = {name.strip() for probe in missing for name in probe["affects"].split(",") if name.strip()}
        low, high = self._samples or (0, 0)
        return {
            "magic": MAGIC,
            "schema_version": SCHEMA_VERSION,
            "created": _iso(self._request.get("created_unix_ns") or hello.get("start_unix_ns")),
            "asked": self._request.get("request", {}),
            "target": self._request.get("target", {}),
            **{name: hello[name] for name in _HELLO_TO_MANIFEST if name in hello},
            "agent": {"version": hello.get("agent_version"), "python": hello.get("python"), "bcc": hello.get("bcc")},
            "clock": {"start_ns": hello.get("start_ns"), "start_unix_ns": hello.get("start_unix_ns")},
            "probes": {
                "attached": len(self._probes) - len(missing),
                "missing": len(missing),
                "affects": sorted(affects),
                "bpf_stats_ns": (end or {}).get("bpf_stats_ns"),
            },
            "sampling": {
                "rule": text(hello.get("sampling_rule", ""), "the HELLO's sampling_rule"),
                "sample_every_min": low,
                "sample_every_max": high,
                "events": self._journeys.sink.rows,
            },
            "losses": {"total": sum(causes.values()), "causes": causes},
            "perf": self._sampled.manifest(),
            "complete": end is not None,
            "end_reason": (end or {}).get("reason", "recovered"),
            "message": (end or {}).get("message", ""),
            "duration_s": (self._last_ns - self._first_ns) / 1e9,
        }


def _check_layout(value: Mapping[str, Any]) -> None:
    """The agent's cells and events must lie as this wgprof reads them."""
    ours = {
        "counters": layout.COUNTERS,
        "buckets": layout.BUCKETS,
        "event_stride": layout.EVENT_STRIDE,
        "cell_kinds": [kind.name for kind in layout.CELL_KINDS],
    }
    if any(value.get(name) != wanted for name, wanted in ours.items()):
        raise Damage("the agent was of another version of wgprof: its counters lie differently")


def _interface_names(interfaces: object) -> list[str]:
    """Names of the WireGuard interfaces, as their NAPI threads carry them."""
    found = (mapping(item, "an interface").get("name") for item in items(interfaces, "the interfaces"))
    return [name for name in found if isinstance(name, str) and name]


def _loss(value: Mapping[str, Any]) -> tuple[str, str, int]:
    cause, where = text(value.get("cause"), "a loss"), text(value.get("where") or "", "a loss")
    return cause, where, integer(value.get("count"), "a loss")


def _probes(value: object) -> list[dict[str, Any]]:
    """Rows of the table `probes`, from HELLO or END."""
    rows = []
    for probe in (mapping(item, "a probe") for item in items(value, "the probes", _MAX_PROBES)):
        affects = probe.get("affects") or ""
        if isinstance(affects, list):
            affects = ", ".join(text(name, "a probe's affects") for name in affects)
        rows.append(
            {
                "point": text(probe.get("point") or "", "a probe's point"),
                "symbol": text(probe.get("symbol") or "", "a probe's symbol"),
                "kind": text(probe.get("kind") or "missing", "a probe's kind", 40),
                **{name: integer(probe.get(name) or 0, f"a probe's {name}") for name in ("runs", "run_ns")},
                "misses": integer(probe.get("misses") or 0, "a probe's misses", low=-1),
                "error": text(probe.get("error") or "", "a probe's error"),
                "affects": text(affects, "a probe's affects"),
            }
        )
    return rows


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=BY_NAME[name].arrow)


def _split_loss(name: str) -> tuple[str, str]:
    cause, _, where = name.partition(" ")
    return cause, where


def _iso(unix_ns: object) -> str:
    """A wall-clock time in ISO 8601, or nothing if it makes no sense."""
    if type(unix_ns) is not int or not 0 < unix_ns < 1 << 62:
        return ""
    return dt.datetime.fromtimestamp(unix_ns // 1_000_000_000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
