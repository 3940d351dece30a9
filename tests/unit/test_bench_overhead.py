"""The arithmetic of the overhead benchmark: what was added, by whom, and beside the cheapest peer."""

from __future__ import annotations

import pytest

from bench.overhead import Cost, Probe, report
from bench.tools import FUNCTIONS, bpftrace_script
from bench.transfer import cpu_ns, idle_ns, processes


def costs(us: float, tool_us: float = 0.0, spread: float = 1.0) -> list[Cost]:
    return [Cost(us - spread, tool_us, 1000), Cost(us, tool_us, 1000), Cost(us + spread, tool_us, 1000)]


PROBES = [
    Probe("tx.send end", "fexit", 1.0, 4.0),
    Probe("tx.send start", "fentry", 1.0, 2.0),
    Probe("never ran", "fexit", 0.0, 0.0),
]


def line(lines: list[str], start: str) -> list[str]:
    return next(each for each in lines if each.startswith(start)).split()


def test_what_is_added_is_the_median_over_that_without_probes() -> None:
    lines = report({"none": costs(100), "wgprof": costs(110, 2)}, PROBES)
    assert line(lines, "wgprof ")[1:] == ["110.0", "10.0%", "+9.0%..", "+11.0%", "2.0%", "8.0%"]
    assert "wgprof adds 10.0% to a packet (aim: at most 6%)" in lines
    assert not any("cheapest peer" in each for each in lines), "none was asked"


def test_each_probe_has_its_share_and_the_rest_is_the_calling() -> None:
    lines = report({"none": costs(100), "wgprof": costs(110, 2)}, PROBES)
    assert line(lines, "tx.send end")[2:] == ["fexit", "1.000", "4000", "4.00", "4.00%"]
    assert line(lines, "all probes")[2:] == ["2.000", "3000", "6.00", "6.00%"]
    assert line(lines, "calling them")[2:] == ["1000", "2.00", "2.00%"]
    assert line(lines, "the agent")[2:] == ["2.00", "2.00%"]
    assert not any("never ran" in each for each in lines)


def test_the_cheapest_peer_is_the_one_compared_with() -> None:
    lines = report({"none": costs(100), "wgprof": costs(110), "dear": costs(140), "cheap": costs(120)}, PROBES)
    assert lines[-1] == "that is 0.50 of what cheap adds, the cheapest peer (aim: at most 0.33)"


def test_the_peer_times_the_start_and_the_return_of_every_function() -> None:
    script = bpftrace_script()
    for name in FUNCTIONS:
        assert f"kprobe:{name} {{" in script and f"kretprobe:{name} /" in script


def test_a_process_is_found_by_a_word_of_its_command_line() -> None:
    found = processes("pytest")
    assert found and cpu_ns(found) > 0
    assert processes("a word that no command has") == []


def test_idle_time_is_read_from_the_kernels_own_list() -> None:
    try:
        assert idle_ns() >= 0
    except OSError:
        pytest.skip("/proc/timer_list is for root alone; run as root")
