"""Exchanging the module never takes interfaces down unasked."""

from __future__ import annotations

import pytest

from wgprof.cli.kmod import describe
from wgprof.errors import MachineError
from wgprof.kmod.load import LoadError, load, status, unload
from wgprof.kmod.runner import Outcome


class FakeMachine:
    """Answers by the first key that a command contains, and remembers the commands."""

    def __init__(self, answers: dict[str, Outcome] | None = None) -> None:
        self.answers = answers or {}
        self.commands: list[str] = []

    def run(self, command: str) -> Outcome:
        self.commands.append(command)
        for key, outcome in self.answers.items():
            if key in command:
                return outcome
        return Outcome(0, "")

    def exchanges(self) -> list[str]:
        words = ("insmod", "rmmod", "modprobe", "nsenter --net=/run/netns/a ip link del")
        return [command for command in self.commands if command.startswith(words)]


ONE_INTERFACE = {"seen=": Outcome(0, "/run/netns/a wg0\n"), "mount -t sysfs": Outcome(1, "")}


def test_load_replaces_the_module() -> None:
    machine = FakeMachine()
    load(machine, "/tmp/wireguard.ko", "udp_tunnel,libcurve25519")
    assert machine.exchanges() == [
        "rmmod wireguard",
        "modprobe udp_tunnel",
        "modprobe libcurve25519",
        "insmod /tmp/wireguard.ko",
    ]


def test_load_without_a_loaded_module() -> None:
    machine = FakeMachine({"test -d": Outcome(1, "")})
    load(machine, "/tmp/wireguard.ko", "")
    assert machine.exchanges() == ["insmod /tmp/wireguard.ko"]


def test_interfaces_are_not_taken_down_unasked() -> None:
    machine = FakeMachine(ONE_INTERFACE)
    with pytest.raises(MachineError, match="wg0"):
        load(machine, "/tmp/wireguard.ko", "")
    assert machine.exchanges() == []


def test_interfaces_are_taken_down_when_asked() -> None:
    machine = FakeMachine(ONE_INTERFACE)
    unload(machine, take_down=True)
    assert machine.exchanges() == [
        "nsenter --net=/run/netns/a ip link del wg0",
        "rmmod wireguard",
        "modprobe wireguard",
    ]


def test_refused_signature_is_explained() -> None:
    machine = FakeMachine({"insmod": Outcome(1, "insmod: ERROR: could not insert module: Key was rejected by service")})
    with pytest.raises(LoadError) as caught:
        load(machine, "/tmp/wireguard.ko", "")
    assert "Secure Boot" in caught.value.remedy


def test_status_of_nothing() -> None:
    assert describe(status(FakeMachine({"test -d": Outcome(1, "")}))) == ["WireGuard is not loaded"]


def test_status_of_the_distributions_module() -> None:
    machine = FakeMachine({"parameters": Outcome(1, "")})
    assert describe(status(machine)) == ["the distribution's WireGuard is loaded"]


def test_status_of_a_variant_with_its_settings() -> None:
    machine = FakeMachine(
        {
            "wgprof_variant": Outcome(0, "inline\n"),
            "wgprof_patch": Outcome(0, "abcd\n"),
            "wgprof_source": Outcome(0, "6.12-1\n"),
            "mount -t sysfs": Outcome(0, "mode:queued\n"),
            "seen=": Outcome(0, "/run/netns/a wg0\n"),
        }
    )
    assert describe(status(machine)) == [
        "inline is loaded (patch abcd, source 6.12-1)",
        "  wg0 in /run/netns/a: mode queued",
    ]
