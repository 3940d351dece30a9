"""perf stat's output, as real runs of three versions printed it and as hypothesis damages it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.captures.facts import KERNELS, captured_perf
from wgprof.agent.perf import COUNTERS
from wgprof.perf.stat import COUNTED, NOT_COUNTED, NOT_SUPPORTED, Counter, parse_stat


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("form", ("json", "csv"))
def test_a_real_run_has_every_counter_of_every_cpu(kernel: str, form: str) -> None:
    run = captured_perf(kernel)[form]
    assert run["exit_code"] == 0
    found = parse_stat(run["stdout"])
    assert found.skipped == 0
    assert {(c.cpu, c.event) for c in found.counters} == {(cpu, event) for cpu in (0, 1) for event in COUNTERS}
    states = {c.event: c.state for c in found.counters}
    assert states["cycles"] == states["cache-misses"] == NOT_SUPPORTED, "the emulator has no such counters"
    assert states["context-switches"] == states["task-clock"] == COUNTED
    for counter in found.counters:
        if counter.event == "task-clock":
            assert 1.5e9 < counter.value < 10e9, "of a CPU it is the time perf looked, in nanoseconds"
            assert counter.running == 1.0 and abs(counter.runtime_ns - counter.value) < 0.2e9
    assert all(c.value > 0 for c in found.counters if c.event == "context-switches")


@pytest.mark.parametrize("kernel", KERNELS)
def test_both_forms_say_the_same_of_what_cannot_be_counted(kernel: str) -> None:
    of_form = [parse_stat(captured_perf(kernel)[form]["stdout"]).counters for form in ("json", "csv")]
    states = [{(c.cpu, c.event): c.state for c in counters} for counters in of_form]
    assert states[0] == states[1]


COUNTERS_OF_A_MACHINE = st.lists(
    st.builds(
        Counter,
        cpu=st.integers(0, 99_999),
        event=st.sampled_from(COUNTERS[:-1]),
        state=st.just(COUNTED),
        value=st.integers(0, 1 << 50),
        runtime_ns=st.integers(0, 1 << 50),
        running=st.integers(0, 100).map(lambda percent: percent / 100),
    )
    | st.builds(
        Counter,
        cpu=st.integers(0, 99_999),
        event=st.sampled_from(COUNTERS),
        state=st.sampled_from([NOT_COUNTED, NOT_SUPPORTED]),
    ),
    unique_by=lambda counter: (counter.cpu, counter.event),
)
PMUS = st.sampled_from(["{}", "cpu_core/{}/", "cpu/{}/k", "{}:k", "{} [software]"])


@given(COUNTERS_OF_A_MACHINE, PMUS)
def test_what_was_printed_is_read_back(counters: list[Counter], pmu: str) -> None:
    lines = {"json": [], "csv": []}  # type: dict[str, list[str]]
    for c in counters:
        value = str(c.value) if c.state == COUNTED else f"<{c.state}>"
        event, percent = pmu.format(c.event), f"{c.running * 100:.2f}"
        lines["csv"].append(f"CPU{c.cpu},{value},,{event},{c.runtime_ns},{percent},,")
        row = {"cpu": str(c.cpu), "counter-value": value, "unit": "", "event": event,
               "event-runtime": c.runtime_ns, "pcnt-running": float(percent)}  # fmt: skip
        lines["json"].append(json.dumps(row))
    for form in lines.values():
        found = parse_stat("# started on\n\n" + "\n".join(form))
        assert found.skipped == 0
        assert list(found.counters) == counters


def test_a_cpu_of_a_hybrid_machine_counts_in_one_of_its_kinds() -> None:
    text = "CPU3,<not counted>,,cpu_atom/cycles/,0,0.00,,\nCPU3,77,,cpu_core/cycles/,9,50.00,,\n"
    for order in (text.splitlines(), text.splitlines()[::-1]):
        found = parse_stat("\n".join(order))
        (counter,) = found.counters
        assert found.length_ns == 18, "it had half of the turns"
        assert (counter.event, counter.state, counter.value, counter.running) == ("cycles", COUNTED, 77, 0.5)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_read_or_skipped(text: str) -> None:
    found = parse_stat(text)
    assert len(found.counters) + found.skipped <= len(text.splitlines())


NONSENSE = (
    '{"cpu": []}',
    "[1]",
    "{",
    "1,2,3",
    "CPU0,nan,,cycles,1,1,,",
    "CPU0,1e400,,cycles,1,1,,",
    "CPU0,9e30,,cycles,1,1",
    "CPU0,-3,,cycles,1,1,,",
    "CPU0,1,,,1,1,,",
    "CPU999999,1,,cycles,1,1,,",
)


@pytest.mark.parametrize("line", NONSENSE)
def test_nonsense_is_skipped(line: str) -> None:
    found = parse_stat(line)
    assert (found.counters, found.skipped) == ((), 1)
