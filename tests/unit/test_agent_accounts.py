"""The kernel's accounts as the agent passes them on: JSON that says what /proc says, on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wgprof.agent import files, netns
from wgprof.agent.accounts import Accounts


def test_cpu_times_are_those_of_proc_stat() -> None:
    before = Path("/proc/stat").read_text()
    times = json.loads(Accounts().cpu_times())
    rows = {line.split()[0][3:]: line.split()[1:9] for line in before.splitlines() if line.startswith("cpu")}
    del rows[""]  # the sum
    assert times.keys() == rows.keys()
    for cpu, values in times.items():
        assert len(values) == 8
        assert sum(values) >= sum(int(value) for value in rows[cpu]) - 2, "idle may step back a little"


def test_softirqs_have_a_count_for_each_cpu() -> None:
    counts = json.loads(Accounts().softirqs())
    cpus = len(Path("/proc/softirqs").read_text().splitlines()[0].split())
    assert set(counts) == {"NET_RX", "NET_TX"}
    assert all(len(row) == cpus for row in counts.values())


def test_interface_counters_are_those_of_proc_net_dev() -> None:
    own = netns.namespaces()[0]
    loopback = netns.Interface(own, "lo", 1, 65536, 0)
    gone = netns.Interface(own, "wg-not-there", 99, 1420, 0)
    rows = netns.Counters([loopback, gone]).read()
    assert set(rows) == {0}, "an interface that is gone has no row"
    inode, name, *values = json.loads(rows[0])
    line = next(text for text in Path("/proc/net/dev").read_text().splitlines() if text.strip().startswith("lo:"))
    fields = [int(field) for field in line.partition(":")[2].split()]
    now = [fields[column] for column in (1, 0, 2, 3, 9, 8, 10, 11)]
    assert (inode, name) == (own.inode, "lo")
    assert all(0 <= new - old < 1 << 30 for new, old in zip(now, values, strict=True))


@pytest.mark.parametrize("name", ("wg0", "wg-ten", "wg-office-south"))
def test_a_name_of_any_length_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel pads short names, and writes long ones from the line's beginning."""
    other = f"{name}x"[:15] if len(name) < 15 else "x"
    numbers = " ".join(str(number) for number in range(16))
    text = "Inter-|\n face |\n" + "".join(f"{each:>6}: {numbers}\n" for each in (other, name))
    (tmp_path / "dev").write_text(text)
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: opened(tmp_path / Path(path).name, flags))
    counters = netns.Counters([netns.Interface(netns.namespaces()[0], name, 5, 1420, 1)])
    row = json.loads(counters.read()[0])
    assert row[1:] == [name, 1, 0, 2, 3, 9, 8, 10, 11]


def test_an_interface_is_found_when_its_line_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others come and go above it; a longer name that ends in its own is another."""
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: opened(tmp_path / Path(path).name, flags))

    def write(*names: str) -> None:
        text = "".join(
            f"{name:>6}: {' '.join(str(100 * at + n) for n in range(16))}\n" for at, name in enumerate(names)
        )
        (tmp_path / "dev").write_text("Inter-|\n face |\n" + text)

    write("lo", "wg0")
    counters = netns.Counters([netns.Interface(netns.namespaces()[0], "wg0", 5, 1420, 1)])
    for names in (("lo", "wg0"), ("lo", "eth0", "xwg0", "wg0"), ("wg0", "lo"), ("lo", "wg0")):
        write(*names)
        assert json.loads(counters.read()[0])[2] == 100 * names.index("wg0") + 1
    write("lo", "xwg0")
    assert counters.read() == {}


def test_more_interfaces_than_a_page_holds_are_read(tmp_path: Path) -> None:
    (tmp_path / "dev").write_text("".join(f"wg{number}: {'1 ' * 16}\n" for number in range(400)))
    with (tmp_path / "dev").open() as file:
        assert files.read_whole(file.fileno()).decode() == (tmp_path / "dev").read_text()
