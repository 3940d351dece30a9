"""The judges of the lab's tests of the variants must find what they are there to find."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.lab.kmod import flows
from tests.lab.kmod.bed import troubles
from tests.lab.kmod.leaks import parse_leaks
from tests.lab.kmod.matrix import table
from tests.lab.kmod.selftest import PASSED, SelftestResult, last_line
from tests.lab.kmod.witness_report import Witness, parse_witnesses

FLOWS, COUNT = 2, 100
Packet = tuple[int, int, int, int]  # type, receiver index, nonce, length
Number = tuple[int, int]  # flow, number

ALL: list[Number] = [(flow, number) for number in range(COUNT) for flow in range(FLOWS)]


@pytest.fixture
def witness(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The guest's program, which finds flows.py beside it."""
    monkeypatch.setitem(sys.modules, "flows", flows)
    from tests.lab.kmod import witness as module

    yield module


def wire(packets: list[Number], key: int = 7, first: int = 0) -> list[Packet]:
    lengths = [32 + 28 + flows.payload_length(flows.code(flow, number, FLOWS)) for flow, number in packets]
    return [(4, key, first + nonce, length) for nonce, length in enumerate(lengths)]


def judge(
    module: ModuleType, folder: Path, arrived: list[Packet], delivered: list[Number], dropped: int = 0
) -> Witness:
    capture = bytes(module.PCAP_HEAD)
    for kind, receiver, nonce, length in arrived:
        body = bytes(42) + module.MESSAGE.pack(kind, receiver, nonce)
        capture += module.PACKET_HEAD.pack(0, 0, len(body), 42 + length) + body
    (folder / "left.pcap").write_bytes(capture)
    (folder / "left.order").write_bytes(b"".join(flows.RECORD.pack(*packet) for packet in delivered))
    return Witness(**module.compare(folder, "left", COUNT, FLOWS, dropped, 0))


def test_every_code_survives_the_wire() -> None:
    for code in range(flows.CODES):
        padded = 28 + flows.payload_length(code)
        assert padded % flows.UNIT == 0, "WireGuard adds no padding of its own"
        assert flows.code_of_wire_length(padded + 32) == code


def test_a_good_link_has_no_faults_but_proves_nothing(witness: ModuleType, tmp_path: Path) -> None:
    seen = judge(witness, tmp_path, wire(ALL), ALL)
    assert seen.faults() == []
    assert seen.vacuous() == ["the link lost nothing", "the link doubled nothing"]


def test_what_the_link_did_is_no_fault(witness: ModuleType, tmp_path: Path) -> None:
    """Lost, overtaken and doubled on the way, handshakes and keepalives in between, and a second key."""
    first, second = wire(ALL[:120]), wire(ALL[120:], key=8)
    arrived = [*first[:50], first[51], first[50], first[51], *first[53:], (1, 9, 0, 148), (4, 7, 120, 32), *second]
    delivered = [*ALL[:50], ALL[51], ALL[50], *ALL[53:]]
    seen = judge(witness, tmp_path, arrived, delivered, dropped=1)
    assert (seen.faults(), seen.vacuous()) == ([], [])
    assert (seen.keys, seen.lost_on_link, seen.doubled_by_link, seen.keepalives, seen.handshake_messages) == (
        2,
        1,
        1,
        1,
        1,
    )


def test_what_came_before_the_capture_is_not_lost(witness: ModuleType, tmp_path: Path) -> None:
    seen = judge(witness, tmp_path, wire(ALL, first=2), ALL)
    assert (seen.faults(), seen.lost_on_link) == ([], 0)


@pytest.mark.parametrize(
    ("delivered", "fault"),
    [
        ([*ALL[:9], ALL[10], ALL[9], *ALL[11:]], "packet 9 was delivered in another order"),
        ([*ALL[:9], ALL[8], *ALL[9:]], "1 delivered twice"),
        (ALL[1:], "200 arrived, 199 delivered"),
    ],
)
def test_what_wireguard_did_is_a_fault(
    witness: ModuleType, tmp_path: Path, delivered: list[Number], fault: str
) -> None:
    assert any(fault in found for found in judge(witness, tmp_path, wire(ALL), delivered).faults())


def test_what_never_left_the_sender_is_a_fault(witness: ModuleType, tmp_path: Path) -> None:
    seen = judge(witness, tmp_path, wire(ALL[:180]), ALL[:180])
    assert seen.faults() == ["20 lost, of which the link lost 0"]


def test_nothing_is_said_of_a_capture_with_holes(witness: ModuleType, tmp_path: Path) -> None:
    seen = replace(judge(witness, tmp_path, wire(ALL), ALL), missed_by_capture=3)
    assert seen.faults() == ["the capture missed 3, so nothing can be said"]


def test_two_witnesses_or_none() -> None:
    with pytest.raises(ValueError, match="two witnesses"):
        parse_witnesses("tc: no such device\n")


ROUND = """traces {0} kmalloc-64 {1}
Percpu: {0} {2}
SUnreclaim: {0} {3}
slab {0} skbuff_small_head {4}
slab {0} skbuff_head_cache {0}0
traces {0} skbuff_head_cache {0}0
slab {0} dentry {0}000
"""


@pytest.mark.parametrize(
    ("last", "faults"),
    [
        ((3, 900, 20_100, 40), []),
        ((48, 900, 20_100, 40), ["kmalloc-64: 45 more objects of WireGuard"]),
        ((3, 900, 20_100, 85), []),  # of whom is not known
        ((3, 1400, 20_100, 40), ["per-CPU memory grew by 500 kB"]),
        ((3, 900, 21_100, 40), []),
        ((3, 900, 25_000, 40), ["unreclaimable slabs grew by 5000 kB"]),
    ],
)
def test_one_object_a_round_is_a_leak(last: tuple[int, ...], faults: list[str]) -> None:
    output = ROUND.format(5, 3, 900, 20_000, 40) + ROUND.format(50, *last)
    assert parse_leaks(output, 5, 50).faults() == faults


def test_an_allocator_that_notes_nothing_proves_nothing() -> None:
    output = "".join(ROUND.format(at, 3, 900, 20_000, 40).replace("traces", "-") for at in (5, 50))
    assert parse_leaks(output, 5, 50).faults() == [
        "the slab allocator does not note who allocates, so nothing can be said"
    ]


def test_the_kernels_log_is_searched_for_trouble_and_nothing_else() -> None:
    bad = [
        "[ 1.0] BUG: kernel NULL pointer dereference",
        "[ 1.0] WARNING: CPU: 0 PID: 1 at drivers/net/x.c",
        "[ 1.0] refcount_t: underflow; use-after-free.",
        "[ 1.0] unregister_netdevice: waiting for wg0 to become free. Usage count = 2",
        "[ 1.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "[ 1.0] kmem_cache_destroy wg_peer: Slab cache still has objects",
        "[ 1.0] INFO: task wg-crypt-wg0 blocked for more than 120 seconds.",
    ]
    good = [
        '[ 0.8] PCI: Using host bridge windows from ACPI; if necessary, use "pci=nocrs" and report a bug',
        "[ 9.5] wireguard: loading out-of-tree module taints kernel.",
        "[ 9.9] wireguard: wg0: Peer 1 created",
    ]
    assert troubles("\n".join(bad + good)) == bad


def test_the_selftests_last_line_is_the_one_before_it_cleans_up() -> None:
    output = (
        "\x1b[32m\x1b[1m[+] Objects that were created were also destroyed.\x1b[0m\n"
        "\x1b[32m\x1b[1m[+] NS0: ip link del dev wg0\x1b[0m\n\x1b[32m\x1b[1m[+] ip netns del wg-test-265-1\x1b[0m\n"
    )
    assert last_line(output) == PASSED
    assert last_line("") == "it said nothing"


def test_the_table_says_what_failed() -> None:
    results = [
        SelftestResult("6.1", "inline", PASSED, (), 215.4),
        SelftestResult("7.2", "inline", "x", ("a", "b"), 3.0),
    ]
    lines = table(results).splitlines()
    assert lines[2] == f"| 6.1 | inline | passed | 215 | {PASSED} |"
    assert lines[3] == "| 7.2 | inline | **failed**: a; b | 3 | x |"
