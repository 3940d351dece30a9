"""The outer path on the screen: rates of the window, masks and CPUs as the manifest has them, nothing invented."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.simulated import INTERVAL_NS, InMemory, Load, gateway
from wgprof.analysis.outer import OuterPath
from wgprof.analysis.summary import analyse
from wgprof.report.outer import outer_sheets

NETNS = 4026531840
NIC: dict[str, Any] = {
    "netns": NETNS, "netns_name": "", "name": "eth0", "carries": ["wg0"], "driver": "ice", "rx_queues": 2,
    "tx_queues": 2, "rps_cpus": ["00", "00"], "rss_hash": {"udp4": "src-ip dst-ip", "udp6": "src-ip dst-ip"},
    "irqs": [{"irq": 7, "affinity": [0, 1], "effective": [1]}, {"irq": 8, "affinity": [3], "effective": []}],
}  # fmt: skip


@pytest.fixture(scope="module")
def recording() -> InMemory:
    """A second of traffic between idle edges; each interval has 10 packets in and 20 out, and two CPUs poll."""
    made = gateway(seconds=1, idle_s=0.5, tx=Load(rate=500), seed=2)
    intervals = made.table("intervals")["t_ns"].tolist()
    counters = [{"t_ns": t, "dt_ns": INTERVAL_NS, "netns": NETNS, "name": "eth0", "rx_packets": 10, "tx_packets": 20}
                for t in intervals]  # fmt: skip
    softnet = [
        {"t_ns": t, "dt_ns": INTERVAL_NS, "cpu": cpu, "processed": processed, "time_squeeze": cpu, "received_rps": 2}
        for t in intervals
        for cpu, processed in ((0, 30), (1, 10))
    ]
    own = [{str(k): v for k, v in row.items()} for row in made.table("interfaces").to_dict("records")]
    made = made.with_table("interfaces", [*own, *counters]).with_table("softnet", softnet)
    made.manifest = {**made.manifest, "outer": [NIC]}
    return made


def test_rates_are_of_the_window(recording: InMemory) -> None:
    path = analyse(recording).outer
    (nic,) = path.interfaces
    assert [nic.rx_pps, nic.tx_pps] == pytest.approx([100, 200])
    assert [s.cpu for s in path.softnet] == [0, 1]
    assert [s.processed_pps for s in path.softnet] == pytest.approx([300, 100])
    assert [s.share for s in path.softnet] == pytest.approx([0.75, 0.25])
    assert path.softnet[1].rps_per_s == pytest.approx(20)
    assert (path.softnet[0].squeezed, path.softnet[1].squeezed) == (0, 10)


def test_an_interrupt_runs_where_it_does_or_else_where_it_may(recording: InMemory) -> None:
    (nic,) = analyse(recording).outer.interfaces
    assert nic.irq_cpus == (1, 3)
    assert (nic.rps, nic.label, nic.carries) == (False, "eth0", ("wg0",))
    sheet, _ = outer_sheets(analyse(recording))
    assert sheet.rows == [["eth0", "wg0", "ice", "src-ip dst-ip", "1,3", "off", "2/2", "100.0", "200.0"]]


@pytest.mark.parametrize(
    ("masks", "on"), [(["00000000,00000000"], False), (["0", "4"], True), ([""], False), ([], False)]
)
def test_rps_is_on_where_a_mask_has_a_cpu(recording: InMemory, masks: list[str], on: bool) -> None:
    with_masks = InMemory(recording.tables, {**recording.manifest, "outer": [{**NIC, "rps_cpus": masks}]})
    (nic,) = analyse(with_masks).outer.interfaces
    assert nic.rps is on


def test_what_was_not_told_is_said_to_be_and_odd_values_do_no_harm(recording: InMemory) -> None:
    odd = {"netns": NETNS, "name": "\x1b[31meth0", "carries": "wg0", "irqs": [7, {"effective": "all"}], "rss_hash": []}
    sheet, _ = outer_sheets(analyse(InMemory(recording.tables, {**recording.manifest, "outer": [odd, 7]})))
    (row,) = sheet.rows
    assert "\x1b" not in row[0]
    assert (row[3], row[4]) == ("not told", "none of its own")


def test_a_recording_without_it_has_no_tables_of_it() -> None:
    analysis = analyse(gateway(seconds=0.5, tx=Load(rate=500), seed=2))
    assert analysis.outer == OuterPath()
    assert [sheet.rows for sheet in outer_sheets(analysis)] == [[], []]
