"""The points of --detail: off the default path, and each on its own when a kernel lacks it."""

from __future__ import annotations

import pytest

from tests.captures.facts import KERNELS, captured, captured_facts
from wgprof.agent.btf import BtfError
from wgprof.agent.plan import describe_detail, load_plan, resolve
from wgprof.recording.schema import BY_NAME
from wgprof.resources import resource_dir

TEXT = (resource_dir("probes") / "plan.json").read_text()
DEFAULT, DETAIL = load_plan(TEXT), load_plan(TEXT, detail=True)
POINTS = {entry["point"] for entry in DETAIL["points"] if entry.get("detail")}
#: Seen on the captured kernels: 6.1 does not tell who sends interrupts to other CPUs.
LACKING = {"6.1": {"ipi sent", "ipis sent"}, "6.12": set(), "7.2": set()}


def test_the_default_path_has_none_of_them() -> None:
    resolved = resolve(DEFAULT, captured_facts("6.12"))
    assert POINTS and not POINTS & {a.point for a in resolved.attachments}
    assert resolved.defines["DETAIL"] == 0
    assert not resolved.missing, "what was not asked for is not missing"


@pytest.mark.parametrize("kernel", KERNELS)
def test_with_detail_every_kernel_has_all_it_can_have(kernel: str) -> None:
    resolved = resolve(DETAIL, captured_facts(kernel))
    assert {m.point for m in resolved.missing} == LACKING[kernel]
    assert {a.point for a in resolved.attachments} & POINTS == POINTS - LACKING[kernel]
    assert resolved.defines["DETAIL"] == 1
    assert len({a.program for a in resolved.attachments}) == len(resolved.attachments)
    assert (resolved.defines["OFF_NAPI_LIST_OWNER"] > 0) == (kernel != "6.1"), "8c48eea3adf3"


def test_locks_are_watched_where_they_spin_else_by_the_tracepoints() -> None:
    kinds = {a.point: (a.kind, a.symbol) for a in resolve(DETAIL, captured_facts("6.12")).attachments}
    assert kinds["lock wait start"] == ("fentry", "native_queued_spin_lock_slowpath")
    assert kinds["paravirtual lock wait end"] == ("fexit", "__pv_queued_spin_lock_slowpath")
    facts = captured_facts("6.12")
    symbols = {name: places for name, places in facts.symbols.items() if "spin_lock" not in name}
    resolved = resolve(DETAIL, captured_facts("6.12", symbols=symbols, arguments=lambda module, function: None))
    by_point = {a.point: a for a in resolved.attachments}
    assert by_point["lock wait start"].source.endswith("on_contention, 0)")
    assert by_point["lock wait end"].symbol == "contention_end"
    assert not {m.point for m in resolved.missing} & POINTS, "no kernel needs the paravirtual twin"


def test_a_member_that_is_gone_costs_what_needs_it() -> None:
    offsets = captured("6.12")["offsets"]

    def offset(path: str) -> int:
        if path == "task_struct.flags":
            raise BtfError(path)
        return int(offsets[path])

    resolved = resolve(DETAIL, captured_facts("6.12", offset=offset))
    assert {m.point for m in resolved.missing} == {"thread woken"}
    assert all("lacks task_struct.flags" in m.error for m in resolved.missing)
    said = describe_detail(DETAIL, resolved.missing)
    assert "wakeups" not in said["on"] and "task_struct.flags" in said["off"]["wakeups"]


def test_the_manifest_says_which_tables_were_measured_and_why_not() -> None:
    said = describe_detail(DETAIL, resolve(DETAIL, captured_facts("6.1")).missing)
    assert said["on"] == ["polls", "heads", "moves", "preemptions", "wakeups", "contention"]
    assert said["off"] == {"ipis": "ipi sent: no tracepoint ipi_send_cpu; ipis sent: no tracepoint ipi_send_cpumask"}
    said = describe_detail(DEFAULT, [])
    assert said["on"] == ["polls", "heads", "moves", "preemptions"]
    assert said["off"] == dict.fromkeys(("wakeups", "contention", "ipis"), "not asked for (--detail)")
    assert set(DETAIL["tables"]) <= set(BY_NAME)
    known = {entry["point"] for entry in DETAIL["points"]}
    assert all(known.issuperset(points) for points in DETAIL["tables"].values())
