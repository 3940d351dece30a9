"""The outer path as the agent reads it: words that a kernel lacks are not invented, and nothing is asked twice."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wgprof.agent import netns, sysfs
from wgprof.agent.ethtool import Ethtool
from wgprof.agent.interrupts import named, parse_interrupts
from wgprof.agent.netns import Interface, Namespace
from wgprof.agent.outer import Outer, describe
from wgprof.agent.route import (
    Tunnel,
    by_interface,
    outgoing_indexes,
    parse_endpoints,
    parse_mark,
    parse_route,
    route_request,
)
from wgprof.agent.sockets import EVERY_NS, Sockets, bound_ports, parse_sockets, parse_udp_counters
from wgprof.agent.softnet import Softnet, parse_line

OWN = netns.namespaces()[0]
LOOPBACK = socket.if_nametoindex("lo")
#: 15 words since 6.4, 13 since 5.10, 11 before.
WORDS = ["000001f4", "00000002", "00000003", *["00000000"] * 6, "00000004", "00000005", "00000006", "00000003"]


@pytest.mark.parametrize(
    ("words", "row"),
    [
        ([*WORDS, "00000001", "00000005"], [3, 500, 2, 3, 4, 5, 6]),
        (WORDS, [3, 500, 2, 3, 4, 5, 6]),
        (WORDS[:11], [7, 500, 2, 3, 4, 5, -1]),
        (WORDS[:9], [7, 500, 2, 3, 0, 0, -1]),
        (WORDS[:3], [7, 500, 2, 3, 0, 0, -1]),
        (WORDS[:2], None),
    ],
)
def test_softnet_words_are_looked_for_and_not_expected(words: list[str], row: list[int] | None) -> None:
    """Without its own word a line is of the CPU in its place, and a backlog that is not told is unknown, not empty."""
    assert parse_line(" ".join(words).encode(), cpu=7) == row


def softnet_rows(softnet: Softnet) -> list[list[int]]:
    return list(json.loads(softnet.read()))


def test_softnet_lines_are_those_of_now_whatever_they_were(tmp_path: Path) -> None:
    """Lines that did not change are not taken apart again; those without a CPU of their own are the online CPUs'."""
    path = tmp_path / "softnet_stat"
    short = WORDS[:11]

    def write(*counts: int) -> None:
        path.write_text("".join(" ".join([f"{count:08x}", *short[1:]]) + "\n" for count in counts))

    write(1, 2, 3)
    softnet = Softnet([0, 4], str(path))
    assert [row[:2] for row in softnet_rows(softnet)] == [[0, 1], [4, 2]], "the third line is of no CPU that is online"
    write(1, 9, 3)
    assert [row[:2] for row in softnet_rows(softnet)] == [[0, 1], [4, 9]]
    write(9)
    assert [row[:2] for row in softnet_rows(softnet)] == [[0, 9]]


def test_softnet_of_this_kernel_grows_with_traffic() -> None:
    softnet = Softnet(list(range(os.cpu_count() or 1)))
    before = sum(row[1] for row in softnet_rows(softnet))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        for _ in range(50):
            link.sendto(b"x", ("127.0.0.1", 9))
    assert sum(row[1] for row in softnet_rows(softnet)) >= before + 50


def test_softnet_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert softnet_rows(Softnet([0], str(tmp_path / "none"))) == []


def test_udp_counters_of_both_families_add_up_and_missing_ones_are_zero() -> None:
    snmp = (
        "Tcp: A\nTcp: 9\nUdp: InDatagrams NoPorts InErrors RcvbufErrors\nUdp: 10 1 5 4\nUdpLite: InErrors\nUdpLite: 7\n"
    )
    snmp6 = "Ip6InReceives 99\nUdp6InDatagrams 20\nUdp6RcvbufErrors 2\nUdpLite6InErrors 50\n"
    assert parse_udp_counters(snmp, snmp6) == [30, 1, 5, 6, 0]
    assert parse_udp_counters("", "") == [0] * 5


def test_a_full_receive_buffer_is_seen_by_the_namespace_and_by_the_socket() -> None:
    """The kernel's own count of a loss that this test makes: 40 datagrams to a socket that nobody reads."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to,
    ):
        deaf.bind(("127.0.0.1", 0))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        port = deaf.getsockname()[1]
        assert port in bound_ports(OWN)
        look = Sockets([(OWN, port)])
        (_, *before), socket_before = look.udp()[0], look.sockets()
        for _ in range(40):
            to.sendto(bytes(1000), ("127.0.0.1", port))
        (_, *after), socket_after = look.udp()[0], look.sockets()
    (inode, found, drops, waiting), (_, _, drops_before, _) = socket_after[0], socket_before[0]
    assert (inode, found) == (OWN.inode, port)
    assert drops - drops_before > 20
    assert waiting > 0
    assert after[3] - before[3] >= drops - drops_before  # others may drop too


def test_sockets_of_one_port_are_added() -> None:
    line = "  10: 0100007F:CA6C 00000000:0000 07 00000000:000000{} 00:00000000 00000000 0 0 0 2 0000 {}\n"
    text = "  sl  local_address rem_address\n" + line.format("10", 3) + line.format("01", 4)
    assert parse_sockets(text) == {0xCA6C: (7, 0x11)}


def test_endpoints_marks_and_ports_are_read_as_wg_prints_them() -> None:
    text = "wg0\tkey=\t192.0.2.1:51820\nwg0\tother=\t[2001:db8::1]:51820\nwg1\tkey=\t(none)\nwg0\tthird=\t192.0.2.1:7\n"
    lines = by_interface(text)
    assert parse_endpoints(lines["wg0"]) == ("192.0.2.1", "2001:db8::1")
    assert parse_endpoints(lines["wg1"]) == ()
    assert parse_endpoints(["key=\t[fe80::1%eth0]:51820"]) == ("fe80::1",)
    assert (parse_mark("0xca6c"), parse_mark("off"), parse_mark("")) == (0xCA6C, 0, 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_kernel_is_asked_for_the_route(address: str) -> None:
    assert outgoing_indexes(OWN, [address, address], 0) == [LOOPBACK, LOOPBACK]


def test_a_route_request_says_its_own_length_and_an_error_is_no_route() -> None:
    for address, mark in (("192.0.2.1", 0), ("2001:db8::1", 7)):
        message = route_request(address, mark)
        assert struct.unpack_from("=I", message)[0] == len(message)
    error = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -101).ljust(36, b"\0")
    assert parse_route(error) is None
    assert parse_route(b"") is None


INTERRUPTS = """            CPU0       CPU2
   1:          9          0   IO-APIC   1-edge      i8042
  41:          5          7   PCI-MSI 524288-edge   eth1-TxRx-0
  42:          0          3   PCI-MSI 524289-edge   eth10-TxRx-0
 NMI:          0          0   Non-maskable interrupts
"""


def test_interrupts_keep_the_numbers_of_their_cpus_and_names_are_whole_words() -> None:
    table = parse_interrupts(INTERRUPTS)
    assert table[41] == {"name": "PCI-MSI 524288-edge eth1-TxRx-0", "counts": {"0": 5, "2": 7}}
    assert set(table) == {1, 41, 42}
    assert named(table, "eth1") == {41}
    assert table[42]["counts"] == {"2": 3}
    assert parse_interrupts("") == {}


def test_an_interface_that_tells_nothing_is_described_with_what_there_is() -> None:
    (row,) = describe({LOOPBACK: ["wg0"]})
    assert (row["name"], row["carries"], row["driver"]) == ("lo", ["wg0"], "")
    assert row["rx_queues"] == len(row["rps_cpus"]) == 1
    assert (row["rss_hash"], row["rss_table"], row["irqs"]) == ({}, {}, [])
    assert row["notes"] == ["its driver does not tell rss_hash, rss_table, channels, rings"]
    assert row["offloads"]["gro"] in (True, False)
    with Ethtool() as ethtool:
        assert ethtool.offloads("none0") == {}
        assert ethtool.driver("none0") == ""


def test_an_index_that_is_gone_has_no_row() -> None:
    assert describe({1 << 20: ["wg0"]}) == []


def _tunnel(*endpoints: str) -> Tunnel:
    return Tunnel(Interface(OWN, "wg0", 9, 1420, 1), OWN, 9, 0, endpoints)


def test_the_interface_that_leads_to_the_peers_is_described_once() -> None:
    tunnels = [_tunnel("127.0.0.1", "::1"), _tunnel("127.0.0.1")]
    path = Outer([], lambda interfaces, visible: (tunnels, []))
    assert [row["name"] for row in path.described] == ["lo"]
    assert path.described[0]["carries"] == ["wg0", "wg0"]
    assert [interface.name for interface in path.interfaces] == ["lo"]
    assert path.notes == ["lo: its driver does not tell rss_hash, rss_table, channels, rings"]


def test_what_is_not_known_is_said() -> None:
    assert Outer([], lambda i, v: ([_tunnel()], [])).notes == ["wg0: no peer has an endpoint yet"]
    nowhere = Namespace("gone", 1, "/run/netns/none-of-that-name")
    away = Tunnel(Interface(nowhere, "wg0", 9, 1420, 1), nowhere, 9, 0, ("127.0.0.1",))
    path = Outer([], lambda i, v: ([away], ["a note"]))
    assert path.notes == ["a note", "wg0@gone: the route to a peer is not known"]
    assert path.described == []


def test_udp_is_looked_at_now_and_then_and_at_the_end() -> None:
    path = Outer([], lambda i, v: ([_tunnel("127.0.0.1")], []))

    def looked_at(now_ns: int, last: bool = False) -> set[str]:
        return set(json.loads(b"{%b}" % path.read(now_ns, last)))

    everything = {"softnet", "udp", "sockets"}
    assert looked_at(10**12) == everything
    assert looked_at(10**12 + EVERY_NS - 1) == {"softnet"}
    assert looked_at(10**12 + EVERY_NS) == everything
    assert looked_at(10**12 + EVERY_NS + 1) == {"softnet"}
    assert looked_at(10**12 + EVERY_NS + 1, last=True) == everything


@pytest.fixture
def other_namespace() -> Iterator[Namespace]:
    """A network namespace with nothing but lo in it; it lives in a process of its own and is mounted nowhere."""
    command = ["unshare", "--net", sys.executable, "-c", "print(flush=True); input()"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with holder:
        assert holder.stdin is not None and holder.stdout is not None
        if not holder.stdout.readline():
            pytest.skip("this user may not make a network namespace: run as root")
        path = f"/proc/{holder.pid}/ns/net"
        yield Namespace("made", Path(path).stat().st_ino, path)
        holder.stdin.close()


def _class() -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def test_another_namespace_is_looked_at_through_its_own_sysfs(other_namespace: Namespace) -> None:
    """And this process's /sys does not change."""
    before = _class()
    seen = sysfs.seen_from(other_namespace, _class)
    assert "lo" in seen
    assert before == ["lo"] or seen != before
    assert _class() == before
    (row,) = sysfs.seen_from(other_namespace, lambda: describe({1: ["wg0"]}))
    assert row["name"] == "lo"


def test_a_namespace_that_cannot_be_looked_into_says_why(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        sysfs.seen_from(Namespace("gone", 1, str(tmp_path / "none")), list)
