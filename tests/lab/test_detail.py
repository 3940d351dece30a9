"""What goes on between the stages, counted by wgprof and at the same time by bpftrace; and what must add up."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from wgprof.analysis.checks.mechanics import mechanics_checks
from wgprof.analysis.names import names_of
from wgprof.analysis.order import CLASSES
from wgprof.analysis.preemption import STAGES, WORKS
from wgprof.recording.reader import Recording, open_recording

pytestmark = pytest.mark.lab

#: A prime, so that no other count is equal by chance.
PINGS = 1_009

#: Distances between members, which the guest's own type information knows.
DISTANCES = r"""
import json, sys
sys.path.insert(0, "/payload/agent.pyz")
from wgprof.agent.btf import read_btf
at = read_btf("wireguard").offset
lock = {side: at("ptr_ring." + side + "_lock") for side in ("producer", "consumer")}
print(json.dumps({
    "HEAD": at("wg_peer.rx_queue") + at("prev_queue.peeked") - at("wg_peer.napi"),
    "WORK": at("multicore_worker.ptr") - at("multicore_worker.work"),
    "PRODUCER": at("wg_device.decrypt_queue.ring") - at("wg_device.decrypt_queue") + lock["producer"],
    "CONSUMER": at("wg_device.decrypt_queue.ring") - at("wg_device.decrypt_queue") + lock["consumer"],
}))
"""

#: The same things from other points.  Counts between the runs of two commands; places from before.  What interrupts
#: may hold is counted by fentry and raw tracepoints: the kernel skips the program of a kprobe or of an ordinary
#: tracepoint in an interrupt on top of another such program.
COUNTER = r"""
tracepoint:sched:sched_process_exec /comm == "wgon"/ { @on = 1; printf("begin %llu\n", nsecs); }
tracepoint:sched:sched_process_exec /comm == "wgoff"/ { @on = 0; printf("end %llu\n", nsecs); }
fentry:wireguard:wg_packet_rx_poll {
    $napi = (uint64)args.napi;
    @polling[cpu] = $napi;
    if (@on && @place[$napi] != 0 && @place[$napi] != cpu + 1) { @napi_moves = count(); }
    @place[$napi] = cpu + 1;
}
fentry:vmlinux:__napi_schedule /@on && @polling[cpu] == (uint64)args.n/ { @missed = count(); }
fexit:wireguard:wg_packet_rx_poll {
    if (@on) {
        if ((int32)retval != 0) { @productive = count(); @packets = sum((int32)retval); }
        else if (*(uint64 *)((uint64)args.napi + HEAD) != 0) { @head_not_ready = count(); }
        else { @empty_queue = count(); }
    }
    @polling[cpu] = 0;
}
fentry:wireguard:wg_packet_tx_worker /@on/ { @tx_runs = count(); }
fentry:wireguard:encrypt_packet, fentry:wireguard:decrypt_packet { @inside[tid] = 1; }
fexit:wireguard:encrypt_packet, fexit:wireguard:decrypt_packet { delete(@inside[tid]); }
kprobe:wg_packet_encrypt_worker, kprobe:wg_packet_decrypt_worker { @working[tid] = 1; }
kretprobe:wg_packet_encrypt_worker, kretprobe:wg_packet_decrypt_worker { delete(@working[tid]); }
rawtracepoint:softirq_exit /@on && @working[tid]/ {
    if (@inside[tid]) { @softirqs = count(); } else { @between = count(); }
}
tracepoint:sched:sched_wakeup { @woken[args.pid] = 1; }
tracepoint:sched:sched_switch {
    @fresh[cpu] = 0;
    if (@woken[args.next_pid]) { @fresh[cpu] = args.next_pid; }
    delete(@woken[args.next_pid]);
    delete(@woken[args.prev_pid]);
}
kprobe:wg_packet_encrypt_worker, kprobe:wg_packet_decrypt_worker, kprobe:wg_packet_tx_worker {
    if (@on && @fresh[cpu] == tid) { @threads = count(); }
    @fresh[cpu] = 0;
}
kprobe:wg_packet_decrypt_worker {
    @lock[*(uint64 *)(arg0 + WORK) + PRODUCER] = 1;
    @lock[*(uint64 *)(arg0 + WORK) + CONSUMER] = 1;
}
kprobe:native_queued_spin_lock_slowpath /@on && @lock[arg0]/ { @waits = count(); }
rawtracepoint:reschedule_entry /@on/ { @reschedules = count(); }
BEGIN { printf("ready\n"); }
END { clear(@polling); clear(@place); clear(@inside); clear(@working); clear(@woken); clear(@fresh); clear(@lock); }
"""

#: How far two tools may be apart that look at not quite the same moment: a share, by chance three deviations more,
#: and a few.  Softirqs come while the tools' own probes run, too, which takes as long as encrypting a small packet.
NEAR = {"softirqs": 0.15, "between": 0.02, "reschedules": 0.02}
FEW = 3


def run_both(gateway: Gateway, tmp_path: Path) -> tuple[Recording, dict[str, int], tuple[int, int]]:
    """A recording with traffic between two quiet stretches, what bpftrace counted of it, and from when to when."""
    machine = gateway.machine
    machine.check(f"cat >/run/distances.py <<'EOF'\n{DISTANCES}EOF")
    script = COUNTER
    for name, value in json.loads(machine.check("python3 /run/distances.py")).items():
        script = re.sub(rf"\b{name}\b", f"({value})", script)
    machine.check(f"cat >/run/detail.bt <<'EOF'\n{script}EOF")
    machine.check("cp /bin/true /run/wgon; cp /bin/true /run/wgoff; ip netns exec far iperf3 --server --daemon")
    counter = machine.start("bpftrace -B line /run/detail.bt >/run/detail.out 2>&1")
    assert gateway.wait_until("grep -q ready /run/detail.out", 60), machine.check("cat /run/detail.out")
    run = gateway.record("--target", "local", "--duration", "120", "--detail", "-o", "detail.wgprof")
    run.wait_for("Recording for")
    machine.check("ping -q -c 3 -i 0.2 10.9.0.2; sleep 0.5; /run/wgon; sleep 0.3")
    sent, answered = gateway.ping(PINGS)
    machine.check("iperf3 --client 10.9.0.2 --udp --bitrate 0 --length 200 --time 2 --json >/dev/null; sleep 0.5", 60)
    machine.check("/run/wgoff; sleep 0.2; pkill -INT bpftrace")
    machine.wait(counter, 60)
    # Two tools at once make the machine slow: the traffic says when it is over.
    run.signal("INT")
    result = run.wait()
    assert result.exit_code == 4, result.stderr
    assert (sent, answered) == (PINGS, PINGS)
    said = machine.check("cat /run/detail.out")
    counts = {name: int(value) for name, value in re.findall(r"^@(\w+): (\d+)$", said, re.MULTILINE)}
    times = {name: int(value) for name, value in re.findall(r"^(begin|end) (\d+)$", said, re.MULTILINE)}
    recording = open_recording(gateway.fetch("/srv/run/detail.wgprof", tmp_path / "detail.wgprof"))
    return recording, counts, (times["begin"], times["end"])


def test_what_bpftrace_counts_and_what_must_add_up(gateway: Gateway, tmp_path: Path) -> None:
    recording, counts, (begin_ns, end_ns) = run_both(gateway, tmp_path)
    assert recording.manifest["detail"] == {
        "on": ["polls", "heads", "moves", "preemptions", "wakeups", "contention", "ipis"],
        "off": {},
    }

    def counted(name: str, column: str, **equal: str) -> int:
        """A column's sum over the intervals that touch the time in which bpftrace counted."""
        table = recording.table(name)
        keep = (table["t_ns"] + table["dt_ns"] > begin_ns) & (table["t_ns"] < end_ns)
        for key, value in equal.items():
            keep &= table[key] == value
        return int(table[keep][column].sum())

    ours = {name: counted("polls", name, server="rx.napi") for name in (*CLASSES, "missed")}
    ours["packets"] = counted("executions", "packets", server="rx.napi")
    ours["tx_runs"] = counted("executions", "executions", server="tx.work")
    ours["napi_moves"] = counted("moves", "moves", server="rx.napi")
    ours["softirqs"] = sum(counted("preemptions", "softirqs", stage=stage) for stage in STAGES)
    ours["between"] = sum(counted("preemptions", "softirqs", stage=work) for work in WORKS)
    ours["threads"] = counted("wakeups", "woken") - counted("wakeups", "woken", server="rx.napi")
    ours["waits"] = counted("contention", "waits", lock="decrypt-ring.producer")
    ours["waits"] += counted("contention", "waits", lock="decrypt-ring.consumer")
    ours["reschedules"] = counted("ipis", "reschedules")
    theirs = {name: counts.get(name, 0) for name in ours}
    print(json.dumps({name: (ours[name], theirs[name]) for name in ours}))
    assert ours["empty_queue"] + ours["head_not_ready"] == theirs["empty_queue"] + theirs["head_not_ready"]
    exact = ("productive", "missed", "packets", "tx_runs", "napi_moves")
    assert {name: ours[name] for name in exact} == {name: theirs[name] for name in exact}
    for name in set(ours) - set(exact):
        expected = NEAR.get(name, 0) * theirs[name]
        room = FEW + expected + 3 * math.sqrt(expected)
        assert abs(ours[name] - theirs[name]) <= room, (name, ours[name], theirs[name])
    assert theirs["productive"] > PINGS and theirs["head_not_ready"] and theirs["threads"], (
        "there was something to count"
    )

    checks = mechanics_checks(recording, names_of(recording.table("objects")))
    assert [(check.name, check.verdict) for check in checks] == [("polls by class", "ok")] * 2 + [
        ("preemption", "ok")
    ] * 2
    stages, executions, heads = recording.table("stages"), recording.table("executions"), recording.table("heads")
    delivered = stages[stages["stage"] == "rx.deliver"]
    assert (
        executions[executions["server"] == "rx.napi"]["packets"].sum()
        == delivered["packets"].sum() + delivered["failed"].sum()
    )
    recorded_ns = recording.table("intervals")["dt_ns"].sum()
    blocked_ns = heads.groupby(["server", "object"], observed=True)["blocked_ns"].sum()
    assert len(blocked_ns) and (blocked_ns <= recorded_ns).all()
    assert (heads["timed_ns"] <= heads["blocked_ns"]).all() and (heads["ready_ns"] <= heads["timed_ns"]).all()
    assert heads["timed"].sum() > 0.9 * heads["episodes"].sum()
    histograms = recording.table("histograms")
    sizes = histograms[histograms["metric"] == "rx.napi.packets"]
    assert sizes["count"].sum() == executions[executions["server"] == "rx.napi"]["executions"].sum()
    assert recording.manifest["losses"]["total"] == 0
    assert gateway.nothing_left()
