"""WireGuard interfaces in this and in the named network namespaces, and their counters.

Interfaces come from rtnetlink (RTM_GETLINK), counters from /proc/net/dev opened inside the
namespace: such a file stays with the namespace it was opened in, so it is opened once.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import operator
import os
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from typing import Dict, Iterator, List, Tuple

from wgprof.agent.files import read_whole

_NAMED = "/run/netns"
_CLONE_NEWNET = 0x40000000
_RTM_GETLINK = 18
_RTM_NEWLINK = 16
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 4, 18, 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Namespace:
    name: str  # empty: the agent's own
    inode: int
    path: str


@dataclass(frozen=True)
class Interface:
    namespace: Namespace
    name: str
    ifindex: int
    mtu: int
    peers: int  # -1: unknown, the wg tool is not installed


def namespaces() -> List[Namespace]:
    """The agent's own namespace and the named ones, each once."""
    own = "/proc/self/ns/net"
    found = {os.stat(own).st_ino: Namespace("", os.stat(own).st_ino, own)}
    if os.path.isdir(_NAMED):
        for name in sorted(os.listdir(_NAMED)):
            path = os.path.join(_NAMED, name)
            with contextlib.suppress(OSError):
                inode = os.stat(path).st_ino
                found.setdefault(inode, Namespace(name, inode, path))
    return list(found.values())


@contextlib.contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Runs the block in a network namespace.  Raises OSError."""
    if not namespace.name:
        yield
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        there = os.open(namespace.path, os.O_RDONLY)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def wireguard_interfaces() -> List[Interface]:
    """Every WireGuard interface of every namespace that can be entered."""
    found: List[Interface] = []
    for namespace in namespaces():
        with contextlib.suppress(OSError), inside(namespace):
            for name, ifindex, mtu, kind in _links():
                if kind == "wireguard":
                    found.append(Interface(namespace, name, ifindex, mtu, _peers(name)))
    return found


#: sysfs shows the interfaces of the namespace it was mounted in: one is mounted for the question.
_MODES = "mount -t sysfs sysfs /sys && cd /sys/class/net && grep -s . */wgprof/mode /dev/null"


def modes(namespace: Namespace) -> Dict[str, str]:
    """What the inline variant says of the interfaces of a namespace: inline or queued; empty with any other module."""
    command = ["nsenter", f"--net={namespace.path}", "unshare", "--mount", "sh", "-c", _MODES]
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return {}
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return {line.partition("/")[0]: line.rpartition(":")[2] for line in lines}


def _peers(interface: str) -> int:
    wg = shutil.which("wg")
    if wg is None:
        return -1
    done = subprocess.run(
        [wg, "show", interface, "peers"], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return len(done.stdout.split()) if done.returncode == 0 else -1


def attributes(data: bytes) -> Iterator[Tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            return
        yield kind & 0x3FFF, data[position + 4 : position + length]
        position += (length + 3) & ~3


def _links() -> Iterator[Tuple[str, int, int, str]]:
    """(name, index, mtu, kind) of the links of the current namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        link.send(struct.pack("=IHHII", 32, _RTM_GETLINK, _REQUEST_DUMP, 1, 0) + bytes(16))
        while True:
            data = link.recv(1 << 20)
            position = 0
            while position + 16 <= len(data):
                length, kind, _flags, _seq, _pid = struct.unpack_from("=IHHII", data, position)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
                    return
                if kind == _RTM_NEWLINK:
                    yield _link(data[position + 16 : position + length])
                position += (length + 3) & ~3


def _link(message: bytes) -> Tuple[str, int, int, str]:
    ifindex = struct.unpack_from("=i", message, 4)[0]
    name, mtu, kind = "", 0, ""
    for attribute, value in attributes(message[16:]):
        if attribute == _IFLA_IFNAME:
            name = value.rstrip(b"\0").decode("utf-8", "replace")
        elif attribute == _IFLA_MTU:
            mtu = struct.unpack("=I", value)[0]
        elif attribute == _IFLA_LINKINFO:
            for inner, text in attributes(value):
                if inner == _IFLA_INFO_KIND:
                    kind = text.rstrip(b"\0").decode("ascii", "replace")
    return name, ifindex, mtu, kind


class Counters:
    """The counters of the given interfaces, read again and again."""

    #: /proc/net/dev columns: rx bytes packets errs drop .. tx bytes packets errs drop
    _columns = operator.itemgetter(1, 0, 2, 3, 9, 8, 10, 11)

    def __init__(self, interfaces: List[Interface]) -> None:
        #: Of each namespace: its file; and of each interface its number, how its line begins, and its row of JSON.
        self._files: List[Tuple[int, List[Tuple[int, bytes, bytes]]]] = []
        #: Where the line of each interface was.
        self._at = [0] * len(interfaces)
        places: Dict[Namespace, List[Tuple[int, bytes, bytes]]] = {}
        for number, interface in enumerate(interfaces):
            begin = f"{interface.name:>6}:".encode()
            row = json.dumps([interface.namespace.inode, interface.name])[:-1].replace("%", "%%") + ",%b" * 8 + "]"
            places.setdefault(interface.namespace, []).append((number, begin, row.encode()))
        for namespace, members in places.items():
            with contextlib.suppress(OSError), inside(namespace):
                self._files.append((os.open("/proc/thread-self/net/dev", os.O_RDONLY), members))

    def read(self) -> Dict[int, bytes]:
        """JSON rows of netns, name, rx packets, bytes, errors, dropped, tx packets, bytes, errors, dropped.

        By the interfaces' place in the list given; one that is gone has no row.  The numbers pass through as the
        kernel wrote them.
        """
        rows: Dict[int, bytes] = {}
        for fd, members in self._files:
            try:
                lines = read_whole(fd).split(b"\n")
            except OSError:
                continue
            for number, begin, row in members:
                at = self._at[number]
                if at >= len(lines) or not lines[at].startswith(begin):
                    at = next((at for at, line in enumerate(lines) if line.startswith(begin)), -1)
                    if at < 0:
                        continue
                    self._at[number] = at
                rows[number] = row % self._columns(lines[at][len(begin) :].split(None, 12))
        return rows

    def close(self) -> None:
        for fd, _ in self._files:
            os.close(fd)
        self._files.clear()
