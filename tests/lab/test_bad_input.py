"""What cannot be recorded is refused on a real machine in one sentence, with a remedy and the right exit code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from wgprof.analysis.summary import analyse
from wgprof.lab.channel import CommandResult
from wgprof.recording.finish import finish_part
from wgprof.recording.reader import open_recording
from wgprof.rules.finding import Diagnosis
from wgprof.rules.verdict import verdict

pytestmark = pytest.mark.lab

PACKAGES = "/usr/lib/python3/dist-packages"
KPROBES = ("/sys/bus/event_source/devices", "/sys/kernel/tracing", "/sys/kernel/debug")
#: A package that is called bcc, too; there is one in the Python package index.
OTHER_BCC = "mkdir -p /run/other; echo '__version__ = 1' >/run/other/__init__.py"
#: bcc as it was before it could attach fentry to a module.
EMPTY = "/run/empty"
FEW_PINGS = 211


def covered(*mounts: tuple[str, str]) -> str:
    """Shell in front of a command; for each pair, the command finds the first where the second was."""
    script = "; ".join(f"mount --bind {what} {place}" for what, place in mounts)
    return f"mkdir -p {EMPTY}; unshare --mount sh -ec '{script}; exec \"$@\"' sh"


def hidden(*places: str) -> str:
    """Shell in front of a command, which then finds those folders empty."""
    return covered(*((EMPTY, place) for place in places))


@dataclass(frozen=True)
class Case:
    """A `record` that is refused; `setup` is done to the machine first, `before` stands in front of the command."""

    name: str
    says: str
    remedy: str
    code: int = 3
    options: str = ""
    setup: str = ""
    before: str = ""


CASES = (
    Case("unknown-interface", "there is no WireGuard interface wg7", "There are: wg0.", 2, options="-i wg7"),
    Case(
        "no-peers",
        "wg9 has no peers, so nothing can flow",
        "Add a peer: wg set NAME peer KEY ..",
        options="-i wg9",
        setup="ip link add wg9 type wireguard",
    ),
    Case(
        "no-interface",
        "there is no WireGuard interface",
        "Bring one up (wg-quick up NAME), or use --target lab.",
        setup="ip link del wg0; ip -n far link del wg0",
    ),
    Case(
        "no-module",
        "the wireguard module is not loaded",
        "Bring a WireGuard interface up, or use --target lab.",
        setup="ip link del wg0; ip -n far link del wg0; rmmod wireguard",
    ),
    Case(
        "no-btf",
        "this kernel has no type information (BTF)",
        "Use a kernel with CONFIG_DEBUG_INFO_BTF=y; distribution kernels since 5.15 have it.",
        before=hidden("/sys/kernel/btf"),
    ),
    Case(
        "no-bcc",
        "bcc for /usr/bin/python3 is missing",
        "Install it: apt install python3-bpfcc",
        before=hidden(PACKAGES),
    ),
    Case(
        "another-bcc",
        "bcc for /usr/bin/python3 is missing (cannot import name 'BPF'",
        "Install it: apt install python3-bpfcc",
        setup=OTHER_BCC,
        before=covered(("/run/other", f"{PACKAGES}/bcc")),
    ),
    Case(
        "no-sudo",
        "recording needs root, and there is no sudo here",
        "Run wgprof as root.",
        before="cd /tmp; setpriv --reuid nobodys --regid nobodys --init-groups env PATH=/nowhere",
    ),
    Case(
        "sudo-refuses",
        "recording needs root, and sudo refused",
        "Run wgprof as root, or as a user whom sudoers allows.",
        before="cd /tmp; setpriv --reuid nobodys --regid nobodys --init-groups",
    ),
)


@pytest.fixture
def mended(gateway: Gateway) -> Iterator[Gateway]:
    """The gateway with a fresh tunnel, also for whoever comes next."""
    yield gateway
    gateway.tunnel()


def refusal(result: CommandResult) -> tuple[str, str]:
    """The sentence and the remedy, which is all there is."""
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    sentence, remedy = result.stderr.splitlines()[-2:]
    assert sentence.startswith("error: ") and remedy.startswith("  "), result.stderr
    return sentence.removeprefix("error: "), remedy.strip()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_cannot_be_recorded_is_refused(mended: Gateway, case: Case) -> None:
    if case.setup:
        mended.machine.check(case.setup)
    command = ["record", "--target", "local", "--duration", "5", "-o", "/tmp/refused.wgprof", *case.options.split()]
    result = mended.wgprof(*command, before=case.before)
    sentence, remedy = refusal(result)
    assert sentence.startswith(case.says)
    assert remedy == case.remedy
    assert result.exit_code == case.code
    assert mended.machine.run("ls -A /tmp").stdout == "", "nothing is left"


def test_without_a_reason_to_stay_auto_says_why_it_takes_the_lab(mended: Gateway) -> None:
    """There is no QEMU in the guest, so this ends in a refusal."""
    mended.machine.check("ip link del wg0")
    result = mended.wgprof("record", "--duration", "5")
    assert result.stderr.startswith("Using the lab (a QEMU machine with a real kernel and tunnel): ")
    assert "this machine has no WireGuard interface" in result.stderr
    sentence, remedy = refusal(result)
    assert sentence == "the lab needs QEMU, which is not installed"
    assert (remedy, result.exit_code) == ("Install it: sudo apt install qemu-system-x86", 3)


def test_a_kernel_without_kprobes_is_recorded_by_fentry_and_silence_is_said(gateway: Gateway, tmp_path: Path) -> None:
    """And without tracefs; nothing is sent either."""
    command = ["record", "--target", "local", "--duration", "3", "-o", "silent.wgprof"]
    result = gateway.wgprof(*command, before=hidden(*KPROBES))
    assert result.exit_code == 0, result.stderr
    recording = open_recording(gateway.fetch("/srv/run/silent.wgprof", tmp_path / "silent.wgprof"))
    kinds = set(recording.table("probes")["kind"])
    assert "fentry" in kinds and not kinds & {"kprobe", "kretprobe", "missing"}
    assert recording.manifest["complete"]
    assert "Nothing flowed" in "\n".join(verdict(analyse(recording), Diagnosis()))


def test_a_disk_that_fills_up_keeps_what_was_recorded(gateway: Gateway, tmp_path: Path) -> None:
    machine = gateway.machine
    machine.check("mkdir -p /run/small && mount -t tmpfs -o size=2m small /run/small")
    try:
        run = gateway.record("--target", "local", "--duration", "60", "-o", "/run/small/full.wgprof")
        run.wait_for("Recording for")
        gateway.ping(FEW_PINGS)
        assert gateway.wait_until("[ $(stat -c %s /run/small/full.wgprof.part) -gt 50000 ]")
        # Something else fills it, while nothing flows: probes come off at a moment of the agent's choosing,
        # and the emulator may not survive that under traffic (see wgprof/lab/guest/init.sh).
        machine.run("cat /dev/zero >/run/small/filler")
        result = run.wait()
        sentence, remedy = refusal(result)
        assert sentence == "the disk is full: /run/small/full.wgprof.part could not be written"
        assert remedy.endswith("then run `wgprof recover /run/small/full.wgprof.part`.")
        assert result.exit_code == 1
        assert gateway.nothing_left()
        still_full = gateway.wgprof("recover", "/run/small/full.wgprof.part")
        assert (refusal(still_full)[0], still_full.exit_code) == (
            "the disk is full: /run/small/full.wgprof could not be written",
            1,
        )
        part = gateway.fetch("/run/small/full.wgprof.part", tmp_path / "full.wgprof.part")
    finally:
        machine.check("umount /run/small")
    assert finish_part(part, tmp_path / "full.wgprof").duration_s > 0
