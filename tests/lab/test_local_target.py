"""The target `local` for real: wgprof installed from its wheel on a machine with a WireGuard interface of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.gateway import AGENT, Gateway
from wgprof.analysis.summary import Analysis, analyse
from wgprof.recording.finish import finish_part
from wgprof.recording.reader import Recording, open_recording

pytestmark = pytest.mark.lab

#: Primes, so that no other count is equal by chance.
PINGS = 10_007
FEW_PINGS = 211
MEGABYTE = 1e6
#: What a test's traffic and a starved host make fail, and not a wrong count: bursts are cold, and an emulated CPU may
#: not have had its time, nor its clock.
OF_THE_LAB = ("emulation", "window", "CPU account", "busy time", "depth clock", "Little's law")

#: Counts what the probes count, by another tool, with the times between which it counted.
COUNTER = r"""
BEGIN { printf("begin %llu\n", nsecs); }
kprobe:encrypt_packet { @ = count(); }
END { printf("end %llu\n", nsecs); }
"""

#: Runs a command on a terminal of its own, gives a password when asked, and presses Ctrl-C when it records.
TYPIST = r"""
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said, answers = b"", [(b"[sudo] password for", b"secret\n"), (b"Recording", b"\x03")]
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    said += data
    if answers and answers[0][0] in said:
        os.write(terminal, answers.pop(0)[1])
        said = b"" if answers else said
os.write(1, said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def fetched(gateway: Gateway, path: str, tmp_path: Path) -> tuple[Recording, Analysis]:
    recording = open_recording(gateway.fetch(path, tmp_path / Path(path).name))
    return recording, analyse(recording)


def failed_checks(analysis: Analysis) -> list[str]:
    return [f"{c.name} of {c.subject}: {c.detail}" for c in analysis.failed if c.name not in OF_THE_LAB]


def number_after(word: str, text: str) -> int:
    found = re.search(rf"{re.escape(word)} (\d+)", text)
    assert found, f"no {word!r} in {text!r}"
    return int(found[1])


def encrypted(recording: Recording, begin_ns: int, end_ns: int) -> int:
    """Packets at tx.encrypt in the intervals that touch this time."""
    stages = recording.table("stages")
    touched = (stages["t_ns"] + stages["dt_ns"] > begin_ns) & (stages["t_ns"] < end_ns)
    return int(stages[touched & (stages["stage"] == "tx.encrypt")]["packets"].sum())


def test_root_records_and_every_packet_is_counted_as_another_tool_counts_it(gateway: Gateway, tmp_path: Path) -> None:
    machine = gateway.machine
    machine.check("ip netns exec far iperf3 --server --daemon")
    run = gateway.record("--target", "local", "--duration", "300", "-o", "it.wgprof", "--json")
    run.wait_for("Recording for")
    # The other tool is attached and detached while nothing flows.
    machine.check(f"cat >/run/counter.bt <<'EOF'\n{COUNTER}EOF")
    counter = machine.start("bpftrace -B line /run/counter.bt >/run/counter.out 2>&1")
    assert gateway.wait_until("grep -q begin /run/counter.out"), "bpftrace did not attach"
    sent, answered = gateway.ping(PINGS)
    goodput = json.loads(machine.check("iperf3 --client 10.9.0.2 --time 4 --json", 30))["end"]["sum_received"]
    machine.check("pkill -INT bpftrace")
    machine.wait(counter, 30)
    begin, end, count = (number_after(word, machine.check("cat /run/counter.out")) for word in ("begin", "end", "@:"))
    # On a busy host this takes its time: the traffic says when it is over.
    run.signal("INT")
    result = run.wait()

    assert result.exit_code == 4, result.stderr
    said = json.loads(result.stdout)
    assert said["complete"] and said["end_reason"] == "stopped" and (end - begin) / 1e9 < said["duration_s"] < 300
    assert re.search(r"Wrote it.wgprof \(\d.* [kM]B\)", result.stderr)
    assert (sent, answered) == (PINGS, PINGS)
    assert goodput["bytes"] > MEGABYTE
    recording, analysis = fetched(gateway, "/srv/run/it.wgprof", tmp_path)
    assert encrypted(recording, begin, end) == count
    assert count > 2 * PINGS + goodput["bytes"] / 1400
    assert failed_checks(analysis) == []
    assert recording.manifest["losses"]["total"] == 0
    assert [row.lost for row in analysis.journeys] == [0, 0]
    agent_mb = recording.table("intervals")["agent_rss_bytes"].max() / MEGABYTE
    print(f"{count:,} packets; agent {agent_mb:.0f} MB; from start to end {result.seconds:.0f} s")
    assert agent_mb < 250
    assert gateway.nothing_left()
    assert machine.check("ls -A /tmp") == ""
    shown = gateway.wgprof("show", "--json", "it.wgprof")
    assert json.loads(shown.stdout)["flowed"] is True, "the installed wheel can read it, too"


def test_a_user_with_sudo_records_what_auto_finds(gateway: Gateway, tmp_path: Path) -> None:
    run = gateway.record("--duration", "5", "-o", "mine.wgprof", user="helper")
    run.wait_for("Recording for")
    gateway.ping(FEW_PINGS)
    result = run.wait()
    assert result.exit_code == 0, result.stderr
    assert "Profiling this machine: it has wg0." in result.stderr
    assert gateway.machine.check("stat -c %U /home/helper/mine.wgprof") == "helper\n"
    recording, analysis = fetched(gateway, "/home/helper/mine.wgprof", tmp_path)
    assert failed_checks(analysis) == []
    assert sorted(i["netns_name"] for i in recording.manifest["interfaces"]) == ["", "far"]
    stages = recording.table("stages")
    assert stages[stages["stage"] == "tx.stage"]["packets"].sum() == 2 * FEW_PINGS
    assert gateway.nothing_left()


def test_ctrl_c_on_the_terminal_of_a_user_whose_sudo_asks_ends_with_a_complete_file(
    gateway: Gateway, tmp_path: Path
) -> None:
    """The agent must outlive the terminal's signal, and sudo must know that the password was given."""
    gateway.machine.check(f"cat >/run/typist.py <<'EOF'\n{TYPIST}\nEOF")
    command = "cd; exec /opt/wgprof/bin/wgprof record --target local --duration 60 -o typed.wgprof"
    result = gateway.machine.run(f"python3 /run/typist.py su typist --session-command '{command}'", 120)
    assert result.exit_code == 4, result.stdout
    assert re.search(r"Interrupted after [\d.]+ s; the file is complete", result.stdout)
    recording, _ = fetched(gateway, "/home/typist/typed.wgprof", tmp_path)
    manifest = recording.manifest
    assert (manifest["complete"], manifest["interrupted"], manifest["end_reason"]) == (True, True, "stopped")
    assert manifest["duration_s"] < 30
    assert gateway.nothing_left()


def test_a_killed_recorder_leaves_nothing_attached_and_a_part_that_recovers(gateway: Gateway, tmp_path: Path) -> None:
    run = gateway.record("--target", "local", "--duration", "60", "-o", "killed.wgprof", user="helper")
    run.wait_for("Recording for")
    sent, _ = gateway.ping(FEW_PINGS)
    assert gateway.wait_until("[ $(stat -c %s /home/helper/killed.wgprof.part) -gt 50000 ]")
    gateway.machine.check("pkill -KILL -f '^/opt/wgprof/bin/python.* record'")
    assert run.wait().exit_code == 128 + 9
    assert gateway.nothing_left(), "the agent noticed that nobody listens"
    part = gateway.fetch("/home/helper/killed.wgprof.part", tmp_path / "killed.wgprof.part")
    recovered = gateway.wgprof("recover", "/home/helper/killed.wgprof.part")
    assert recovered.exit_code == 0, recovered.stderr
    assert re.search(r"^Wrote .*killed.wgprof \(", recovered.stdout)
    assert re.search(r"Recovered [\d.]+ s from \d+ frames", recovered.stderr)
    recording, _ = fetched(gateway, "/home/helper/killed.wgprof", tmp_path)
    assert (recording.manifest["complete"], recording.manifest["end_reason"]) == (False, "recovered")
    stages = recording.table("stages")
    assert sent <= stages[stages["stage"] == "tx.encrypt"]["packets"].sum() <= 2 * sent + 4
    assert finish_part(part, tmp_path / "here.wgprof").duration_s == recording.manifest["duration_s"]
    assert gateway.machine.run("ls /home/helper/killed.wgprof.part").exit_code != 0


def test_a_killed_agent_is_reported_and_what_it_sent_is_kept(gateway: Gateway, tmp_path: Path) -> None:
    run = gateway.record("--target", "local", "--duration", "60", "-o", "bereft.wgprof")
    run.wait_for("Recording for")
    sent, _ = gateway.ping(FEW_PINGS)
    gateway.machine.check(f"pkill -KILL -f '{AGENT}'")
    result = run.wait()
    assert result.exit_code == 1
    assert re.search(r"note: after [\d.]+ s: the agent.*; it said: killed by signal 9 \(Killed\)", result.stderr)
    assert "Wrote bereft.wgprof" in result.stdout
    recording, _ = fetched(gateway, "/srv/run/bereft.wgprof", tmp_path)
    assert (recording.manifest["complete"], recording.manifest["end_reason"]) == (False, "agent died")
    assert "killed by signal 9" in recording.manifest["message"]
    stages = recording.table("stages")
    assert stages[stages["stage"] == "tx.encrypt"]["packets"].sum() > 0.8 * sent
    assert gateway.nothing_left()


def test_what_goes_away_is_told_with_its_time_and_the_rest_is_recorded(gateway: Gateway, tmp_path: Path) -> None:
    """A peer, an interface, and an attempt to take the module away."""
    machine = gateway.machine
    run = gateway.record("--target", "local", "--duration", "12", "-o", "less.wgprof")
    try:
        run.wait_for("Recording for")
        sent, _ = gateway.ping(FEW_PINGS)
        machine.check("ip netns exec far wg set wg0 peer $(ip netns exec far wg show wg0 peers) remove")
        unload = machine.run("rmmod wireguard")
        assert unload.exit_code != 0 and "in use" in unload.stderr
        machine.check("ip link del wg0")
        result = run.wait()
    finally:
        gateway.tunnel()
    assert result.exit_code == 0, result.stderr
    assert re.search(r"note: after [\d.]+ s: interface wg0 went away", result.stderr)
    assert re.search(r"note: after [\d.]+ s: a peer of wg0@far was removed", result.stderr)
    recording, analysis = fetched(gateway, "/srv/run/less.wgprof", tmp_path)
    log = recording.table("log")
    assert {"peer", "interface"} <= set(log["topic"])
    assert (log["t_ns"] > recording.manifest["clock"]["start_ns"]).all()
    assert recording.manifest["complete"]
    assert 11.9 < recording.manifest["duration_s"] < 13
    stages = recording.table("stages")
    assert stages[stages["stage"] == "tx.stage"]["packets"].sum() == 2 * sent
    assert failed_checks(analysis) == []
    assert gateway.nothing_left()


def test_inside_a_network_namespace_its_interface_is_recorded(gateway: Gateway, tmp_path: Path) -> None:
    """`ip netns exec` hides tracefs and shows another /sys/class/net."""
    run = gateway.record("--duration", "4", "-o", "far.wgprof", before="ip netns exec far")
    run.wait_for("Recording for")
    sent, _ = gateway.ping(FEW_PINGS)
    result = run.wait()
    assert result.exit_code == 0, result.stderr
    recording, analysis = fetched(gateway, "/srv/run/far.wgprof", tmp_path)
    assert failed_checks(analysis) == []
    assert recording.manifest["probes"]["missing"] == 0
    stages = recording.table("stages")
    assert stages[stages["stage"] == "tx.stage"]["packets"].sum() >= sent
