"""The lab's machine with a real kernel: commands, streams, tunnels, and how it fails and ends."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wgprof.errors import MachineError
from wgprof.lab import image as images
from wgprof.lab import machine as machines
from wgprof.lab.image import LabImage
from wgprof.lab.machine import EmulatorFailure, Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.run_dir import remove_stale_run_dirs
from wgprof.lab.workload import Traffic, set_up_tunnels, workload_named

pytestmark = pytest.mark.lab

MEGABYTE = 1 << 20

KILLED_OWNER = """
import sys
from wgprof.lab.image import ensure_image
from wgprof.lab.machine import Machine
with Machine(ensure_image(progress=lambda line, done: None)) as machine:
    print(machine.pid, machine.terminal_socket().parent, flush=True)
    sys.stdin.read()
"""


def test_a_stock_kernel_runs_with_what_the_probes_need(lab_machine: Machine) -> None:
    assert lab_machine.check("uname -r").strip() == lab_machine.image.release
    assert lab_machine.image.release.startswith("6.12.")
    lab_machine.check(
        "test -r /sys/kernel/btf/vmlinux && test -d /sys/kernel/tracing/events && mountpoint -q /sys/fs/bpf"
    )
    assert lab_machine.check("nproc").strip() == "2"


def test_a_command_is_told_apart_by_output_errors_and_exit_code(lab_machine: Machine) -> None:
    result = lab_machine.run("echo out; echo 'err \\ %d \"quoted\"' >&2; exit 7")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", 'err \\ %d "quoted"\n', 7)


def test_a_command_that_takes_too_long_is_ended(lab_machine: Machine) -> None:
    result = lab_machine.run("echo begun; sleep 300", timeout=1)
    assert (result.stdout, result.exit_code) == ("begun\n", 124)
    assert result.seconds < 200, "the command, not its time, was over"


def test_a_failing_command_is_one_sentence(lab_machine: Machine) -> None:
    with pytest.raises(MachineError, match="ended with exit code 1") as caught:
        lab_machine.check("ls /no/such/place; exit 1")
    assert "No such file" in caught.value.remedy
    assert not isinstance(caught.value, EmulatorFailure)


def test_megabytes_arrive_unchanged_while_commands_run_beside_them(lab_machine: Machine) -> None:
    streams = lab_machine.open_agent(
        f"head -c {8 * MEGABYTE} /dev/urandom >/tmp/bytes; sha256sum </tmp/bytes >&2; cat /tmp/bytes; cat >/tmp/rest"
    )
    beside = lab_machine.start("echo beside")
    data = bytearray()
    while len(data) < 8 * MEGABYTE:
        data += streams.stdout.read1(1 << 16)
    assert lab_machine.wait(beside, 30).stdout == "beside\n"
    assert not streams.job.done, "the agent still waits for its end of input"
    streams.stdin.close()
    assert streams.stdout.read() == b"", "nothing after the last byte, the mark is not part of the stream"
    assert streams.job.wait(30).exit_code == 0
    assert lab_machine.agent_errors().split()[0] == hashlib.sha256(data).hexdigest()


def test_megabytes_reach_the_agent_unchanged(lab_machine: Machine) -> None:
    data = os.urandom(3 * MEGABYTE)
    streams = lab_machine.open_agent("sha256sum")
    streams.stdin.write(data)
    streams.stdin.close()
    assert streams.stdout.read().split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_an_agent_is_answered_line_by_line(lab_machine: Machine) -> None:
    streams = lab_machine.open_agent('while read -r line; do echo "got $line"; done; echo end; exit 5')
    for number in range(3):
        streams.stdin.write(f"{number}\n".encode())
        assert streams.stdout.readline() == f"got {number}\n".encode()
    streams.stdin.close()
    assert streams.stdout.read() == b"end\n"
    assert streams.job.wait(30).exit_code == 5


def test_an_agent_sees_the_end_when_the_host_drops_it(lab_machine: Machine) -> None:
    """And the ports are free for the next one."""
    streams = lab_machine.open_agent("cat >/dev/null; echo saw the end >&2")
    streams.close()
    assert streams.job.wait(30).exit_code == 0
    assert lab_machine.agent_errors() == "saw the end"


def test_an_agent_that_is_killed_ends_the_stream_and_leaves_its_words(lab_machine: Machine) -> None:
    streams = lab_machine.open_agent("echo last words >&2; printf abc; exec sh -c 'kill -9 $$'")
    assert streams.stdout.read() == b"abc"
    assert streams.job.wait(30).exit_code == 137
    assert "last words" in lab_machine.agent_errors()


def test_the_guests_work_costs_host_time_which_is_measured(lab_machine: Machine) -> None:
    before = lab_machine.vcpu_seconds()
    lab_machine.run("timeout 2 sh -c 'while :; do :; done'")
    used = lab_machine.vcpu_seconds() - before
    assert 0.5 < used < 15


def test_a_second_lab_is_refused_and_told_who_has_the_first(
    lab_machine: Machine, lab_image: LabImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WGPROF_LAB_WAIT", "0")
    with pytest.raises(MachineError, match=f"the lab is in use by process {os.getpid()} ") as caught:
        Machine(lab_image).boot()
    assert caught.value.exit_code == 3
    assert not isinstance(caught.value, EmulatorFailure)
    assert lab_machine.alive


def test_tunnels_carry_traffic_that_is_counted_where_it_arrives(lab_machine: Machine) -> None:
    set_up_tunnels(lab_machine, 2, threaded=True)
    assert (
        lab_machine.check("ip netns exec wgb cat /sys/class/net/wg0/threaded /sys/class/net/wg1/threaded") == "1\n1\n"
    )
    for name in ("tcp", "bidir", "udp-paced"):
        traffic = Traffic(lab_machine, workload_named(name), 2)
        traffic.listen()
        traffic.send(2)
        results = traffic.results(60)
        assert [result.error for result in results] == ["", ""], name
        assert all(result.received_bytes > 50_000 for result in results), name
        assert all(result.seconds >= 1 for result in results), name
    transfer = lab_machine.check("ip netns exec wgb wg show wg1 transfer").split()
    assert int(transfer[1]) > results[1].received_bytes, "the interface counts more than the payload"


def test_traffic_that_is_stopped_early_still_reports(lab_machine: Machine) -> None:
    if lab_machine.run("ip -n wga link show wg0").exit_code:
        set_up_tunnels(lab_machine, 1, threaded=False)
    traffic = Traffic(lab_machine, workload_named("tcp"), 1)
    traffic.listen()
    traffic.send(60)
    time.sleep(4)
    traffic.stop()
    (result,) = traffic.results(30)
    assert result.received_bytes > 0
    assert "terminated" in result.error


def test_nothing_is_written_to_the_image(lab_machine: Machine, lab_image: LabImage) -> None:
    lab_machine.check("echo changed >/etc/hostname && sync")
    (state,) = [state for state in images.list_images() if state.kernel == lab_image.kernel]
    assert state.state == "ready"


@pytest.mark.usefixtures("lab_free")
def test_a_machine_that_cannot_boot_shows_its_consoles_last_lines(
    lab_image: LabImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "BOOT_ATTEMPTS", 2)
    said: list[str] = []
    machine = Machine(lab_image, MachineSettings(append="root=/dev/nowhere"), said.append)
    # Not pytest.raises: this failure of the emulator is wanted, and must not repeat the test.
    try:
        machine.boot()
    except EmulatorFailure as error:
        caught = error
    assert "did not boot in 2 attempts: Kernel panic" in caught.sentence
    assert "wgprof lab: cannot mount /dev/nowhere" in caught.remedy
    log = Path(caught.remedy.splitlines()[-1].removeprefix("The whole log: "))
    assert "cannot mount /dev/nowhere" in log.read_text(errors="replace")
    assert [line for line in said if "trying again" in line]
    assert not machine.alive


@pytest.mark.usefixtures("lab_free")
def test_a_machine_does_not_survive_its_killed_owner() -> None:
    """And the next machine cleans up what that one left."""
    command = [sys.executable, "-c", KILLED_OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid, run_dir = owner.stdout.readline().split()
        descriptor = os.pidfd_open(int(pid))
        assert Path(run_dir).is_dir()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert select.select([descriptor], [], [], 10)[0], "QEMU outlived wgprof"
    os.close(descriptor)
    remove_stale_run_dirs()
    assert not Path(run_dir).exists()
