"""Losses planted in a real kernel, one cause after another: the ledger has each, and the balances still hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.test_local_target import failed_checks, fetched
from tests.support.gateway import Gateway

pytestmark = pytest.mark.lab

#: Primes, so that no other count is equal by chance.
FORGED, REPLAYED, STRAY, STAGED, UNREAD = 101, 53, 1009, 211, 307

#: In the namespace of the far end: takes the first data packet to this end off the wire, and sends it again, forged
#: copies of it, and packets of a session that nobody has.  A pause now and then keeps the queues from filling.
ATTACKER = r"""
import os, socket, struct, sys, time
forged, replayed, stray = map(int, sys.argv[1:])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("veth0", 0))
while True:
    frame, address = wire.recvfrom(2048)
    packet = frame[14 + 20 + 8 :]
    if address[2] == socket.PACKET_OUTGOING and frame[23] == 17 and packet[:1] == b"\x04":
        break
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def send(data, count):
    for number in range(count):
        out.sendto(data(number), ("192.0.2.1", 51820))
        time.sleep(0.002)
time.sleep(0.5)  # the true one arrives first
index = packet[4:8]
send(lambda number: b"\x04\0\0\0" + index + struct.pack("<Q", 1 << 30 | number) + os.urandom(48), forged)
send(lambda number: packet, replayed)
send(lambda number: b"\x04\0\0\0" + os.urandom(4) + struct.pack("<Q", number) + os.urandom(48), stray)
"""

#: A UDP socket that nobody reads; says what it dropped once it is told to end.
DEAF = r"""
import socket, time
deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
deaf.bind(("10.9.0.1", 4000))
open("/run/deaf.ready", "w").close()
while True:
    time.sleep(1)
"""

SENDER = r"""
import socket, sys, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    out.sendto(bytes(900), (sys.argv[1], 4000))
    time.sleep(0.002)
"""

DROPS = "awk '$2 ~ /:0FA0$/ {print $NF}' /proc/net/udp"
STAGED_DROPS = "cat /sys/class/net/wg0/statistics/tx_dropped"


def test_every_planted_loss_is_in_the_ledger_under_its_cause(gateway: Gateway, tmp_path: Path) -> None:
    machine = gateway.machine
    gateway.tunnel()
    for name, script in (("attacker", ATTACKER), ("deaf", DEAF), ("sender", SENDER)):
        machine.check(f"cat >/run/{name}.py <<'EOF'\n{script}EOF")
    machine.check("wg set wg0 peer $(wg genkey | wg pubkey) endpoint 192.0.2.77:9 allowed-ips 10.9.9.9/32")
    machine.check("ip route replace 10.9.9.9/32 dev wg0; rm -f /run/deaf.ready")
    deaf = machine.start("echo $$ >/run/deaf.pid; exec python3 /run/deaf.py")
    assert gateway.wait_until("[ -e /run/deaf.ready ]")
    dropped_before = int(machine.check(STAGED_DROPS))

    run = gateway.record("--target", "local", "--duration", "300", "-o", "losses.wgprof", "--json")
    run.wait_for("Recording for")
    attacker = machine.start(f"ip netns exec far python3 /run/attacker.py {FORGED} {REPLAYED} {STRAY}")
    machine.check("sleep 1; ip netns exec far ping -q -c 3 -i 0.2 10.9.0.1")
    machine.wait(attacker, 60)
    machine.check(f"ip netns exec far python3 /run/sender.py 10.9.0.1 {UNREAD}", 60)
    machine.check(f"python3 /run/sender.py 10.9.9.9 {STAGED}", 60)
    # On a busy host this takes its time: the traffic says when it is over.
    run.signal("INT")
    result = run.wait()
    assert result.exit_code == 4, result.stderr
    unread, staged = int(machine.check(DROPS)), int(machine.check(STAGED_DROPS)) - dropped_before
    machine.check("kill $(cat /run/deaf.pid)")
    machine.wait(deaf, 10)
    gateway.tunnel()
    assert unread > UNREAD // 2 and staged > STAGED // 4, "the losses were planted"

    recording, analysis = fetched(gateway, "/srv/run/losses.wgprof", tmp_path)
    found = {(loss.cause, loss.silent): loss.packets for loss in analysis.ledger.losses}
    strays = found.pop(("no-session", True))
    assert found == {
        ("crypt-failed", True): FORGED,
        ("not-delivered", True): REPLAYED,
        ("staged-overflow", False): staged,
        ("receive-buffer-full", False): unread,
    }
    # Handshake messages cannot be told from what has no session, so some of it is taken for them.
    assert STRAY * 0.95 < strays <= STRAY + 20
    assert analysis.ledger.recorder == ()
    assert failed_checks(analysis) == []
    # The window is that of the ping, the losses came one after another: nothing to average.
    assert {c.subject for c in analysis.failed if c.name == "window"} <= {"idle", "cold"}

    outer = {row["name"]: row for row in recording.manifest["outer"] if not row["netns_name"]}
    assert outer["veth0"]["carries"] == ["wg0"]
    assert outer["veth0"]["driver"] == "veth"
    softnet = recording.table("softnet")
    assert softnet["processed"].sum() > FORGED + REPLAYED + STRAY + UNREAD
    assert set(softnet["cpu"]) == set(recording.manifest["machine"]["cpus_online"])
    counters = recording.table("interfaces")
    passed = counters[counters["name"] == "veth0"].groupby("netns")["tx_packets"].sum()
    assert len(passed) == 2 and passed.max() > FORGED + REPLAYED + STRAY + UNREAD
    shown = json.loads(gateway.wgprof("show", "--json", "losses.wgprof").stdout)
    assert {row["cause"] for row in shown["ledger"]["losses"]} == {cause for cause, _ in found} | {"no-session"}
