"""What tunnels can be asked to be, and what the guest is then told."""

from __future__ import annotations

from typing import cast

import pytest

from wgprof.errors import UsageError
from wgprof.lab.channel import CommandResult
from wgprof.lab.machine import Machine
from wgprof.lab.tunnel import NO_WORK, SerialWork, check_mtu, put_work, serial_work_of, why_without_effect
from wgprof.lab.workload import set_up_tunnels


class Guest:
    """Remembers what it was told to run."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def run(self, command: str, timeout: float) -> CommandResult:
        self.commands.append(command)
        return CommandResult("", "", 0, 0.5)

    def check(self, command: str, timeout: float) -> str:
        return self.run(command, timeout).stdout


def test_the_guest_gets_the_mtu_and_the_place_of_the_rules() -> None:
    guest = Guest()
    machine = cast(Machine, guest)
    set_up_tunnels(machine, 2, threaded=True)
    set_up_tunnels(machine, 1, threaded=False, mtu=92)
    for text in ("tx.send:3000", "rx.deliver:20"):
        work = serial_work_of(text)
        assert work is not None
        put_work(machine, work)
    assert guest.commands == [
        "sh /payload/topology.sh 2 1 1420",
        "sh /payload/topology.sh 1 0 92",
        "sh /payload/rules.sh outer-egress 3000",
        "sh /payload/rules.sh inner-ingress 20",
    ]


def test_work_is_a_stage_and_a_number_of_rules() -> None:
    assert serial_work_of("tx.send:3000") == SerialWork("tx.send", 3000)
    assert serial_work_of(NO_WORK) is None


@pytest.mark.parametrize(
    "text",
    ["", "tx.send", "tx.send:", "tx.send:0", "tx.send:-5", "tx.send:1e3", "tx.send:30001", "tx.send:5\n", "send:5",
     "rx.decrypt:5", "tx.send:5:5", "tx.send: 5", "tx.send:٣", "tx.send:5; reboot"],
)  # fmt: skip
def test_other_work_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        serial_work_of(text)
    assert "serial-work" in refused.value.sentence and "\n" not in refused.value.sentence


def test_an_mtu_whose_packets_would_be_fragmented_is_refused() -> None:
    for mtu in (88, 1440):
        check_mtu(mtu)
    for mtu in (87, 1441, 0, -1):
        with pytest.raises(UsageError):
            check_mtu(mtu)


def test_work_that_no_packet_would_have_is_named() -> None:
    assert why_without_effect("tx.send:5", 201, "tcp") == "" == why_without_effect(NO_WORK, 92, "udp-small")
    assert "mtu 200" in why_without_effect("tx.send:5", 200, "tcp")
    assert "udp-small" in why_without_effect("tx.send:5", 1420, "udp-small")
