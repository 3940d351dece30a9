"""Where probes go on the real kernels that were captured, and what happens when something is missing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.captures.facts import INLINE, KERNELS, captured, captured_facts
from wgprof.agent.plan import PlanError, Resolved, load_plan, parse_kallsyms, parse_traceable, resolve, wanted_symbols
from wgprof.resources import resource_dir

PLAN = load_plan((resource_dir("probes") / "plan.json").read_text())
POINTS = {entry["point"] for entry in PLAN["points"] if "only_in" not in entry}
INLINE_POINTS = {entry["point"] for entry in PLAN["points"] if entry.get("only_in") == "inline"}
KPROBES_ALONE: dict[str, Any] = {"module_fentry": False, "kernel_fentry": False}


def kinds(resolved: Resolved) -> dict[str, str]:
    return {a.point: a.kind for a in resolved.attachments}


#: fexit sees a hand-off's arguments when it ends; a kretprobe needs its start as well.
WITH_FENTRY = POINTS - {"hand-off start"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_point_has_a_place_on_every_kernel(kernel: str) -> None:
    resolved = resolve(PLAN, captured_facts(kernel))
    assert not resolved.missing
    assert set(kinds(resolved)) == WITH_FENTRY
    assert len({a.program for a in resolved.attachments}) == len(WITH_FENTRY)


@pytest.mark.parametrize("kernel", INLINE)
def test_the_inline_variants_points_have_a_place_where_it_is_loaded(kernel: str) -> None:
    resolved = resolve(PLAN, captured_facts(kernel))
    assert not resolved.missing
    expected = WITH_FENTRY | INLINE_POINTS
    assert set(kinds(resolved)) == expected
    assert resolved.defines["INLINE_PATH"] == 1 and resolved.defines["ADDR_CELL_POLL"]
    assert len({a.program for a in resolved.attachments}) == len(expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_points_of_another_variant_are_not_missing(kernel: str) -> None:
    resolved = resolve(PLAN, captured_facts(kernel))
    assert not INLINE_POINTS & {m.point for m in resolved.missing}
    assert resolved.defines["INLINE_PATH"] == 0 and resolved.defines["ADDR_CELL_POLL"] == 0


def test_a_point_of_the_loaded_variant_that_cannot_be_traced_is_missing() -> None:
    facts = captured_facts("6.12-inline")
    assert facts.traceable is not None
    rest = frozenset(pair for pair in facts.traceable if pair[0] != "wgprof_cell_poll")
    missing = resolve(PLAN, captured_facts("6.12-inline", traceable=rest)).missing
    assert {m.point for m in missing} == {"cell.poll start", "cell.poll end"}


def test_a_function_of_that_name_elsewhere_is_not_the_variant() -> None:
    places = {
        n: ((a, "othervpn"),) for n, ((a, _), *_rest) in captured_facts("6.12-inline").symbols.items() if "wgprof" in n
    }
    symbols = {**captured_facts("6.12").symbols, **places}
    resolved = resolve(PLAN, captured_facts("6.12", symbols=symbols))
    assert places and not resolved.missing and resolved.defines["INLINE_PATH"] == 0


@pytest.mark.parametrize("kernel", ("6.1", "6.12"))
def test_kernels_without_fentry_get_kprobes(kernel: str) -> None:
    """Which bcc is installed does not matter: fentry programs are loaded without it."""
    with_fentry = resolve(PLAN, captured_facts(kernel))
    assert kinds(with_fentry)["tx.encrypt start"] == "fentry"
    assert kinds(with_fentry)["tx.encrypt end"] == "fexit"
    assert all(a.type_id for a in with_fentry.attachments if a.kind in ("fentry", "fexit"))
    without = kinds(resolve(PLAN, captured_facts(kernel, **KPROBES_ALONE)))
    assert without["tx.encrypt start"] == "kprobe"
    assert without["tx.encrypt end"] == "kretprobe"
    assert "hand-off start" in without


def test_a_preemptible_kernel_gets_kprobes_where_tasks_are_switched() -> None:
    """Seen on 7.2: fentry programs interrupted by another task lost 13 to 32 of 86,127 packets."""
    assert captured("7.2")["preemptible"] and not captured("6.12")["preemptible"]
    chosen = kinds(resolve(PLAN, captured_facts("7.2")))
    assert chosen["tx.encrypt start"] == "kprobe"
    assert chosen["tx.encrypt end"] == "kretprobe"
    assert chosen["rx.receive start"] == "fentry", "softirqs are not preempted"
    without = kinds(resolve(PLAN, captured_facts("7.2", kprobes=False)))
    assert without["tx.encrypt start"] == "fentry", "better than nothing"


def test_fexit_finds_the_return_value_behind_the_arguments() -> None:
    resolved = resolve(PLAN, captured_facts("6.12"))
    sources = {a.point: a.source for a in resolved.attachments}
    assert sources["tx.send end"] == "FEXIT(kretfunc__wireguard__wg_socket_send_skb_to_peer, on_send_done, 3)"
    assert sources["tx.encrypt end"] == "FEXIT_TWO(kretfunc__wireguard__encrypt_packet, on_encrypted, 2)"
    assert sources["tx.work end"] == "FEXIT(kretfunc__wireguard__wg_packet_tx_worker, on_tx_worker_done, 1)"


def test_a_refused_kind_falls_back_to_the_next() -> None:
    facts = captured_facts("6.12")
    resolved = resolve(PLAN, facts, frozenset({("tx.send start", "fentry")}))
    assert kinds(resolved)["tx.send start"] == "kprobe"
    resolved = resolve(PLAN, facts, frozenset({("tx.send start", "fentry"), ("tx.send start", "kprobe")}))
    (missing,) = resolved.missing
    assert missing.point == "tx.send start" and "refused" in missing.error and "tx.send" in missing.affects


def test_an_end_without_fexit_gets_a_start_that_tells_it_everything() -> None:
    refused = frozenset({("tx.encrypt end", "fexit"), ("hand-off end", "fexit")})
    chosen = kinds(resolve(PLAN, captured_facts("6.12"), refused))
    assert (chosen["tx.encrypt start"], chosen["tx.encrypt end"]) == ("kprobe", "kretprobe")
    assert (chosen["hand-off start"], chosen["hand-off end"]) == ("kprobe", "kretprobe")


def test_a_function_that_is_gone_costs_only_what_depends_on_it() -> None:
    values = captured("6.12")
    symbols = {n: tuple((a, m) for a, m in p) for n, p in values["symbols"].items() if n != "encrypt_packet"}

    def arguments(module: str, function: str) -> int | None:
        return None if function == "encrypt_packet" else values["arguments"][module].get(function)

    resolved = resolve(PLAN, captured_facts("6.12", symbols=symbols, arguments=arguments))
    assert {m.point for m in resolved.missing} == {"tx.encrypt start", "tx.encrypt end"}
    assert len(resolved.attachments) == len(POINTS) - 3  # nor the start of a hand-off, as its end is an fexit


def test_an_untraceable_function_is_not_attached() -> None:
    facts = captured_facts("6.12")
    assert facts.traceable is not None
    rest = frozenset(pair for pair in facts.traceable if pair[0] != "wg_xmit")
    resolved = resolve(PLAN, captured_facts("6.12", traceable=rest))
    assert {m.point for m in resolved.missing} == {"tx.stage start", "tx.stage end"}


def test_compiler_made_copies() -> None:
    facts = captured_facts("6.1")
    assert facts.traceable is not None
    copy = "encrypt_packet.isra.0"

    def renamed(*names: str) -> Resolved:
        symbols = {n: p for n, p in facts.symbols.items() if n != "encrypt_packet"}
        symbols.update(dict.fromkeys(names, ((1, "wireguard"),)))
        traceable = facts.traceable | {(name, "wireguard") for name in names}  # type: ignore[operator]
        return resolve(PLAN, captured_facts("6.1", symbols=symbols, traceable=traceable, **KPROBES_ALONE))

    one = {a.point: a.symbol for a in renamed(copy).attachments}
    assert one["tx.encrypt start"] == copy
    assert "tx.encrypt start" not in kinds(renamed(copy, "encrypt_packet.isra.1")), "two copies: which one?"
    assert "tx.encrypt start" not in kinds(renamed("encrypt_packet.cold"))


def test_a_name_of_another_module_is_not_taken() -> None:
    symbols = {**captured_facts("6.1").symbols, "decrypt_packet": ((1, "othervpn"),)}
    resolved = resolve(PLAN, captured_facts("6.1", symbols=symbols, **KPROBES_ALONE))
    assert "rx.decrypt start" in {m.point for m in resolved.missing}


def test_hidden_addresses_cost_the_delays_and_are_said() -> None:
    symbols = {n: tuple((0, m) for _, m in places) for n, places in captured_facts("6.12").symbols.items()}
    missing = resolve(PLAN, captured_facts("6.12", symbols=symbols)).missing
    assert {m.point for m in missing} == {"work queued"}
    assert all("kptr_restrict" in m.error for m in missing)


def test_missing_tracepoints_and_kprobes() -> None:
    resolved = resolve(PLAN, captured_facts("6.12", tracepoints=frozenset()))
    assert {m.point for m in resolved.missing} == {"work queued", "task switch", "softirq start", "softirq end"}
    resolved = resolve(PLAN, captured_facts("6.1", kprobes=False, **KPROBES_ALONE))
    assert set(kinds(resolved).values()) == {"tracepoint", "perf"}


def test_a_missing_offset_is_named() -> None:
    facts = captured_facts("6.12")

    def offset(path: str) -> int:
        from wgprof.agent.btf import BtfError

        if path == "wg_peer.napi":
            raise BtfError("gone")
        return facts.offset(path)

    with pytest.raises(PlanError, match=r"wg_peer\.napi"):
        resolve(PLAN, captured_facts("6.12", offset=offset))


def test_parsers_keep_only_what_is_wanted() -> None:
    wanted = wanted_symbols(PLAN)
    symbols = parse_kallsyms(
        ["ffffffff81000000 T __napi_schedule", "ffffffffc0000010 t wg_xmit\t[wireguard]", "ffff t other", "bad"], wanted
    )
    assert symbols == {"__napi_schedule": ((0xFFFFFFFF81000000, ""),), "wg_xmit": ((0xFFFFFFFFC0000010, "wireguard"),)}
    assert parse_traceable(["wg_xmit [wireguard]", "vfs_read"], wanted) == {("wg_xmit", "wireguard")}
