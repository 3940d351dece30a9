"""Where a tunnel's packets leave: WireGuard's settings, its socket's namespace, and the route to each peer."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence, Tuple

from wgprof.agent.netns import Interface, Namespace, attributes, inside
from wgprof.agent.sockets import bound_ports

_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_REQUEST = 1
_RTA_DST, _RTA_OIF, _RTA_MARK = 1, 4, 16


@dataclass(frozen=True)
class Tunnel:
    """A WireGuard interface as the outside sees it."""

    interface: Interface
    namespace: Namespace  # of its socket: where it was made, which need not be where it is now
    port: int
    mark: int  # of its packets, for policy routing; 0: none
    endpoints: Tuple[str, ...]  # addresses of its peers


def tunnels(interfaces: Sequence[Interface], visible: Sequence[Namespace]) -> "Tuple[List[Tunnel], List[str]]":
    """What `wg show` says of the interfaces, and sentences about what it does not."""
    wg = shutil.which("wg")
    if wg is None:
        return [], ["the wg tool is not installed, so the outer path is not known"]
    found, notes = [], []
    for namespace in dict.fromkeys(interface.namespace for interface in interfaces):
        try:
            with inside(namespace):
                ports, marks, endpoints = (
                    by_interface(_wg(wg, part)) for part in ("listen-port", "fwmark", "endpoints")
                )
        except OSError as error:
            notes.append(f"namespace {namespace.name or 'of the agent'} cannot be entered: {error.strerror}")
            continue
        for interface in (i for i in interfaces if i.namespace == namespace):
            name = interface.name
            port = int("".join(ports.get(name, [])) or 0)
            where = _socket_place(namespace, port, visible)
            mark = parse_mark("".join(marks.get(name, [])))
            found.append(Tunnel(interface, where, port, mark, parse_endpoints(endpoints.get(name, []))))
    return found, notes


def _wg(wg: str, part: str) -> str:
    """Only what is asked for: unlike `wg show all dump`, it has no secrets in it."""
    done = subprocess.run([wg, "show", "all", part], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def by_interface(text: str) -> "dict[str, List[str]]":
    """The lines of `wg show all PART` by the interface they begin with, which is taken off."""
    found: "dict[str, List[str]]" = {}
    for line in text.splitlines():
        interface, _, rest = line.partition("\t")
        found.setdefault(interface, []).append(rest)
    return found


def parse_mark(text: str) -> int:
    """A fwmark as wg shows it: hexadecimal, or off."""
    try:
        return int(text.strip(), 16)
    except ValueError:
        return 0


def parse_endpoints(lines: Iterable[str]) -> Tuple[str, ...]:
    """The addresses in lines of a key and ADDRESS:PORT, [ADDRESS]:PORT or (none)."""
    addresses = []
    for line in lines:
        address = line.partition("\t")[2].rpartition(":")[0].strip("[]").partition("%")[0]
        with contextlib.suppress(ValueError):
            addresses.append(str(ipaddress.ip_address(address)))
    return tuple(dict.fromkeys(addresses))


def _socket_place(own: Namespace, port: int, visible: Iterable[Namespace]) -> Namespace:
    """The namespace in which a port is bound; the interface's own if it is there, or nowhere."""
    for namespace in (own, *(n for n in visible if n.inode != own.inode)):
        if port and port in bound_ports(namespace):
            return namespace
    return own


def outgoing_indexes(namespace: Namespace, addresses: Iterable[str], mark: int) -> List[Optional[int]]:
    """The index of the interface that packets to each address leave by; None without a route."""
    found: List[Optional[int]] = []
    with contextlib.suppress(OSError), inside(namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.settimeout(1)
        link.bind((0, 0))
        for address in addresses:
            link.send(route_request(address, mark))
            found.append(parse_route(link.recv(1 << 16)))
    return found


def route_request(address: str, mark: int) -> bytes:
    """An RTM_GETROUTE message (rtnetlink(7))."""
    there = ipaddress.ip_address(address)
    family = socket.AF_INET if there.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBBBBBI", family, there.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("=HH", 4 + len(there.packed), _RTA_DST) + there.packed
    if mark:
        body += struct.pack("=HHI", 8, _RTA_MARK, mark)
    return struct.pack("=IHHII", 16 + len(body), _RTM_GETROUTE, _REQUEST, 1, 0) + body


def parse_route(message: bytes) -> Optional[int]:
    """The outgoing interface of an RTM_NEWROUTE; None of an error."""
    if len(message) < 28:
        return None
    length, kind = struct.unpack_from("=IH", message)
    if kind != _RTM_NEWROUTE:
        return None
    for attribute, value in attributes(message[28:length]):
        if attribute == _RTA_OIF and len(value) >= 4:
            return int(struct.unpack_from("=I", value)[0])
    return None
