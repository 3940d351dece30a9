"""The Python and the C description of what is counted must be one: the agent reads the kernel's memory with it."""

from __future__ import annotations

import re

from wgprof.agent import layout, loader, maps
from wgprof.resources import resource_dir

HEADER = (resource_dir("probes") / "layout.h").read_text()


def enum(name: str) -> list[str]:
    match = re.search(rf"enum {name} \{{(.*?)\}};", HEADER, re.DOTALL)
    assert match
    body = re.sub(r"/\*.*?\*/", "", match.group(1), flags=re.DOTALL)
    return [word.split("=")[0].strip() for word in body.split(",") if word.strip()]


def counters(prefix: str) -> list[str]:
    """The anonymous enum of counters whose names begin with a prefix."""
    match = re.search(rf"enum \{{ ({prefix}_.*?) \}};", HEADER)
    assert match
    return [word.strip().removeprefix(prefix + "_").lower() for word in match.group(1).split(",")]


def define(name: str) -> str:
    match = re.search(rf"#define {name} (.*)", HEADER)
    assert match
    return match.group(1)


def test_cell_kinds_have_the_order_of_the_header() -> None:
    suffix = {"arrival": "_ARRIVAL", "depth": "_DEPTH", "poll": "_POLLS", "order": "_ORDER"}
    suffix |= {"preemption": "_PREEMPTED", "wake": "_WAKE", "lock": "_LOCK"}
    names = [re.sub(r"[.-]", "_", kind.name).upper() + suffix.get(kind.group, "") for kind in layout.CELL_KINDS]
    assert [*names[: layout.KINDS], "KINDS"] == enum("cell_kind")
    assert [*names[layout.KINDS :], "ALL_KINDS"] == enum("detail_kind")
    assert "ENCRYPT_WORK_WAKE = KINDS" in HEADER, "the numbers go on"


def test_counters_have_the_order_of_the_header() -> None:
    prefixes = {"stage": "S", "execution": "X", "arrival": "A", "depth": "D", "softirq": "I"}
    prefixes |= {"poll": "P", "order": "O", "preemption": "N", "wake": "W", "lock": "L", "ipi": "C"}
    for kind in layout.CELL_KINDS:
        assert list(kind.counters) == counters(prefixes[kind.group]), kind.name


def test_histogram_constants() -> None:
    assert int(define("BUCKETS")) == layout.BUCKETS
    assert int(define("COUNTERS")) == layout.COUNTERS
    assert int(define("SUB_BUCKET_BITS")) == layout.SUB_BUCKET_BITS
    assert int(define("DURATION_SHIFT")) == layout.DURATION_SHIFT


def test_workers_have_places_for_all_slots() -> None:
    """The loader makes the map, and the programs reach into it without asking how large it is."""
    header = (resource_dir("probes") / "state.h").read_text()
    constants = dict(re.findall(r"#define (WORKERS\w*) (.+)", header))
    assert int(constants["WORKERS_OF_SLOT"]) == loader.WORKERS_OF_SLOT
    assert int(constants["WORKERS_OF_NOBODY"]) == loader.WORKERS_OF_NOBODY
    assert constants["WORKERS"] == "(SLOTS * WORKERS_OF_SLOT + WORKERS_OF_NOBODY)"
    assert loader.large_maps(slots=64, cpus=4)["workers"] == (64 * 2 + 16) * 4


def test_event_has_the_fields_of_the_header() -> None:
    match = re.search(r"struct journey_event \{(.*?)\};", HEADER, re.DOTALL)
    assert match
    fields = re.findall(r"(u\d+) (\w+);", match.group(1))
    assert tuple(name for _, name in fields) == layout.EVENT_FIELDS
    codes = {"u64": "Q", "u32": "I", "u16": "H", "u8": "B"}
    assert "<" + "".join(codes[kind] for kind, _ in fields) == layout.EVENT.format


def test_journey_points_have_the_numbers_of_the_header() -> None:
    names = ["stage", "encrypt", "send", "receive", "decrypt", "deliver"]
    assert [name.split(" = ")[0] for name in enum("point")] == [f"POINT_{name.upper()}" for name in names]
    assert [layout.POINTS[i + 1].split(".")[1] for i in range(6)] == names


def test_losses_have_the_order_of_the_header() -> None:
    assert enum("loss") == ["LOSS_RING_FULL", "LOSS_UNMATCHED", "LOSS_CLOBBERED", "LOSS_SLOTS", "LOSSES"]
    assert [cause for cause, _ in maps.LOSSES] == ["ring-full", "unmatched-return", "lost-return", "no-free-slot"]


def test_object_and_control_sizes_follow_the_header() -> None:
    sizes = {"u64": 8, "u32": 4, "u8": 1, "char": 1, "struct sampling": 0}
    constants = {name: int(define(name)) for name in ("NAME_SIZE", "KEY_SIZE", "ENDPOINT_SIZE")}
    expectations = {"sampling": maps.SAMPLING.size, "object": maps.OBJECT.size, "control": maps.CONTROL.size}
    for struct, expected in expectations.items():
        match = re.search(rf"struct {struct} \{{(.*?)\n\}};", HEADER, re.DOTALL)
        assert match
        total = 0
        member = r"^\t(u64|u32|u8|char|struct sampling) (\w+)((?:\[\w+\])*);"
        for kind, _, dimensions in re.findall(member, match.group(1), re.M):
            count = 1
            for dimension in re.findall(r"\[(\w+)\]", dimensions):
                count *= constants.get(dimension) or int(dimension)
            total += sizes[kind] * count
        assert total == expected, struct
        sizes[f"struct {struct}"] = total
