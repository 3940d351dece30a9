"""perf kwork's table, and what the ends of perf's runs mean, from real runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.captures.facts import KERNELS, captured_perf
from wgprof.perf.kwork import WORKS, Latency, parse_latency
from wgprof.perf.state import (
    FAILED,
    NO_SYMBOLS,
    NOT_INSTALLED,
    OK,
    REFUSED,
    STOPPED,
    UNSUPPORTED,
    Run,
    classify,
    without_names,
)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_real_run_tells_how_long_wireguards_work_waited(kernel: str) -> None:
    run = captured_perf(kernel)["kwork"]
    assert run["exit_code"] == 0
    rows = [row for row in parse_latency(run["stdout"]) if row.is_wireguards]
    assert {row.name for row in rows} >= set(WORKS[:3])
    assert any(row.name.startswith("NET_RX") for row in rows)
    for row in rows:
        assert 0 <= row.mean_ns <= row.max_ns < 20e9
        assert row.count > 0


TITLES = ("Kwork Name", "Cpu", "Avg delay", "Count", "Max delay", "Max delay start")
LATENCIES = st.builds(
    lambda name, cpu, count, mean, more: Latency("workqueue", name, cpu, count, mean * 1000, (mean + more) * 1000),
    st.sampled_from(WORKS),
    st.integers(0, 9999),
    st.integers(1, 1 << 40),
    st.integers(0, 1 << 30),
    st.integers(0, 1 << 30),
)


@given(st.lists(LATENCIES, max_size=5), st.permutations(range(1, 6)), st.sampled_from(["", "P", "_x"]))
def test_columns_are_found_by_their_titles(rows: list[Latency], order: list[int], garbage: str) -> None:
    places = [0, *order]
    lines = [" | ".join(TITLES[place] for place in places), "-" * 60]
    for row in rows:
        cells = [f"(w){row.name}{garbage}", f"{row.cpu:04d}", f"{row.mean_ns / 1e6:.3f} ms", str(row.count)]
        cells += [f"{row.max_ns / 1e6:.3f} ms", "12.5 s"]
        lines.append(" | ".join(cells[place] for place in places))
    assert list(parse_latency("\n".join(lines))) == rows


@given(st.text(alphabet="KworkNameCpuAvgdelayCountMx |().0123456789ms\n", max_size=400))
def test_any_text_is_read_or_skipped(text: str) -> None:
    assert len(parse_latency(text)) <= text.count("\n") + 1


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_run_without_privileges_is_refused(kernel: str) -> None:
    for part, run in captured_perf(kernel)["refused"].items():
        assert run["exit_code"] != 0
        state = classify(Run(part, run["exit_code"], run["stderr"]))
        assert state.state == REFUSED, run
        assert "CAP_PERFMON" in state.remedy


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_a_perf_lacks_is_no_failure(kernel: str) -> None:
    for name in ("unknown_event", "unknown_command", "unknown_option"):
        run = captured_perf(kernel)[name]
        state = classify(Run("kwork", run["exit_code"], run["stderr"]))
        assert state.state == UNSUPPORTED, (name, run)
        assert state.remedy


def test_the_other_ends_of_a_run() -> None:
    assert classify(Run("stat", 0)).state == OK
    assert classify(Run("stat", 127, "No such file or directory")).state == NOT_INSTALLED
    ubuntu = "WARNING: perf not found for kernel 6.8.0-31\n\n  You may need to install linux-tools-6.8.0-31"
    missing = classify(Run("stacks", 2, ubuntu))
    assert missing.state == NOT_INSTALLED and "apt install" in missing.remedy
    assert classify(Run("stacks", 2, "", stopped=True)).state == STOPPED
    assert classify(Run("stacks", 0, "", truncated=True)).state == FAILED
    odd = classify(Run("stacks", 1, "Error:\nout of luck\nUsage: perf"))
    assert odd.state == FAILED and odd.sentence.endswith("exit code 1: out of luck")
    assert "it said nothing" in classify(Run("stacks", 9)).sentence


def test_samples_without_names_are_a_state() -> None:
    assert without_names(0, 0) is None
    assert without_names(100, 20) is None
    state = without_names(100, 99)
    assert state is not None and state.state == NO_SYMBOLS and "kptr_restrict" in state.remedy
