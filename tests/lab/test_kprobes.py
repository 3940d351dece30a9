"""Kprobes by tracefs, on a real kernel: as many instances as asked for, and nothing left behind for long."""

from __future__ import annotations

import pytest

from tests.support.gateway import Gateway

pytestmark = pytest.mark.lab

EVENTS = "/sys/kernel/tracing/kprobe_events"
#: A program of two instructions (return 0) at a call and at a return; ends by itself, or as it is killed.
ATTACH = f"""
import ctypes, os, struct, sys
sys.path.insert(0, "/payload/agent.pyz")
from wgprof.agent.kprobes import Kprobes, find_tracefs
from wgprof.agent.runtime import bpf
code = ctypes.create_string_buffer(bytes([0xb7] + [0] * 7 + [0x95] + [0] * 7), 16)
words = ctypes.create_string_buffer(b"GPL")
fd = bpf(5, struct.pack("<IIQQ", 2, 2, ctypes.addressof(code), ctypes.addressof(words)).ljust(120, b"\\0"))
kprobes = Kprobes(find_tracefs())
kprobes.attach("probe_call", fd, "wg_xmit", "wireguard", None)
kprobes.attach("probe_return", fd, "wg_packet_encrypt_worker", "wireguard", 64)
try:
    kprobes.attach("probe_nothing", fd, "no_such_function", "wireguard", 0)
except OSError:
    print("refused")
print(open("{EVENTS}").read(), end="")
print(kprobes.missed(), flush=True)
if "die" in sys.argv:
    os.kill(os.getpid(), 9)
kprobes.close()
"""


def test_what_was_killed_is_taken_away_by_the_next_one(gateway: Gateway) -> None:
    machine = gateway.machine
    machine.check(f"cat >/run/attach.py <<'EOF'\n{ATTACH}EOF")
    killed = machine.run("python3 /run/attach.py die")
    assert killed.exit_code == 128 + 9, killed.stderr
    refused, call, returns, missed = killed.stdout.splitlines()
    assert refused == "refused", "and nothing of it stays"
    assert call.startswith("p:wgprof/probe_call_") and call.endswith(" wireguard:wg_xmit")
    assert returns.startswith("r64:wgprof/probe_return_"), returns
    assert missed == "{'probe_call': 0, 'probe_return': 0}"
    left = machine.check(f"cat {EVENTS}").splitlines()
    assert left == [call, returns], "switched off, until somebody comes"
    sent, answered = gateway.ping(3)
    assert (sent, answered) == (3, 3)

    done = machine.check("python3 /run/attach.py").splitlines()
    assert len(done) == 4 and not set(left) & set(done), "the new one's alone"
    assert gateway.nothing_left()
