"""What a network driver says of itself, by the ioctls of ethtool(8): include/uapi/linux/ethtool.h.

Only the commands that ask; each may be refused, which is a state.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from typing import Any, Dict, List, Optional

_SIOCETHTOOL = 0x8946
_GDRVINFO, _GRINGPARAM, _GRXFH, _GRXFHINDIR, _GCHANNELS = 0x03, 0x10, 0x29, 0x38, 0x3C
_OFFLOADS = {
    "rx-checksum": 0x14,
    "tx-checksum": 0x16,
    "scatter-gather": 0x18,
    "tso": 0x1E,
    "gso": 0x23,
    "gro": 0x2B,
}
#: flow_type -> its name here.
_FLOWS = {2: "udp4", 6: "udp6"}
_HASHED = {1 << 1: "l2-da", 1 << 2: "vlan", 1 << 3: "l3-proto", 1 << 4: "src-ip", 1 << 5: "dst-ip",
           1 << 6: "src-port", 1 << 7: "dst-port"}  # fmt: skip
#: struct ethtool_rxnfc, struct ethtool_drvinfo
_RXNFC_BYTES, _DRVINFO_BYTES = 192, 196
_MOST_ENTRIES = 1 << 16


class Ethtool:
    """Asks in the network namespace it was made in.  Use it as a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self) -> "Ethtool":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _ask(self, name: str, command: int, length: int, *words: int) -> Optional[bytes]:
        """The structure of `length` bytes as the driver filled it in; None if it refuses."""
        buffer = array.array("B", struct.pack("=I%dI" % len(words), command, *words).ljust(length, b"\0"))
        request = struct.pack("16sP16x", name.encode()[:15], buffer.buffer_info()[0])
        try:
            fcntl.ioctl(self._socket, _SIOCETHTOOL, request)
        except OSError:
            return None
        return buffer.tobytes()

    def driver(self, name: str) -> str:
        """Empty if the interface has none that says so."""
        answer = self._ask(name, _GDRVINFO, _DRVINFO_BYTES)
        return "" if answer is None else answer[4:36].split(b"\0")[0].decode("ascii", "replace")

    def channels(self, name: str) -> Dict[str, int]:
        """Queues in use by kind; empty if the driver does not say."""
        answer = self._ask(name, _GCHANNELS, 36)
        if answer is None:
            return {}
        words = struct.unpack("=9I", answer)
        return dict(zip(("rx", "tx", "other", "combined"), words[5:]))

    def rings(self, name: str) -> Dict[str, int]:
        """Descriptors of a receive and of a transmit queue."""
        answer = self._ask(name, _GRINGPARAM, 36)
        if answer is None:
            return {}
        words = struct.unpack("=9I", answer)
        return {"rx": words[5], "tx": words[8]}

    def hashed_fields(self, name: str) -> Dict[str, str]:
        """By which fields of an outer UDP packet RSS chooses the queue, for each family the driver tells."""
        found = {}
        for flow, label in _FLOWS.items():
            answer = self._ask(name, _GRXFH, _RXNFC_BYTES, flow)
            if answer is not None:
                fields = struct.unpack_from("=Q", answer, 8)[0]
                found[label] = " ".join(word for bit, word in _HASHED.items() if fields & bit) or "nothing"
        return found

    def indirection(self, name: str) -> Dict[str, Any]:
        """RSS's table: how many entries it has, and how many of them lead to each queue."""
        answer = self._ask(name, _GRXFHINDIR, 8)
        size = struct.unpack_from("=I", answer, 4)[0] if answer is not None else 0
        if not 0 < size <= _MOST_ENTRIES:
            return {}
        answer = self._ask(name, _GRXFHINDIR, 8 + 4 * size, size)
        if answer is None:
            return {}
        queues: Dict[str, int] = {}
        for queue in struct.unpack_from("=%dI" % size, answer, 8):
            queues[str(queue)] = queues.get(str(queue), 0) + 1
        return {"entries": size, "queues": queues}

    def offloads(self, name: str) -> Dict[str, bool]:
        """On or off, of those the interface knows."""
        found = {}
        for label, command in _OFFLOADS.items():
            answer = self._ask(name, command, 8)
            if answer is not None:
                found[label] = bool(struct.unpack_from("=I", answer, 4)[0])
        return found


def refusals(described: Dict[str, Any], wanted: List[str]) -> List[str]:
    """Those of the wanted parts that the driver did not tell."""
    return [part for part in wanted if not described.get(part)]
