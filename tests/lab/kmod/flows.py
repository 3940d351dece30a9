#!/usr/bin/env python3
"""Numbered UDP flows: send them, or receive them and say what was lost, doubled or out of order.

    flows.py recv PORT SILENCE RECORD                  ends after SILENCE seconds without a packet
    flows.py send ADDRESS PORT FLOWS COUNT RATE        COUNT packets a flow, RATE packets a second in all

The receiver prints one JSON object: received, lost, duplicates, late (packets behind one with a
higher number of the same flow), and writes flow and number of every packet, in order, to RECORD.  It runs
in the lab's machine with nothing but Python.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HEAD = struct.Struct("!III")  # flow, number, packets of the flow
RECORD = struct.Struct("!II")  # flow, number
#: A packet's length says which of so many consecutive packets it is, even when it is encrypted.
CODES = 32
#: Lengths differ by WireGuard's padding (messages.h, MESSAGE_PADDING_MULTIPLE).
UNIT = 16
INNER_HEADS = 28  # IPv4 and UDP
WIRE_EXTRA = 32  # WireGuard's head and authentication tag
SHORTEST = 3 * UNIT
SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
BUFFER = 256 << 20


@dataclass
class Flow:
    """What has arrived of one flow."""

    count: int
    numbers: set[int] = field(default_factory=set)
    highest: int = -1
    duplicates: int = 0
    late: int = 0

    def take(self, number: int) -> None:
        self.duplicates += number in self.numbers
        self.late += number < self.highest
        self.numbers.add(number)
        self.highest = max(self.highest, number)


def code(flow: int, number: int, flows: int) -> int:
    return (number * flows + flow) % CODES


def payload_length(packet_code: int) -> int:
    return SHORTEST + UNIT * packet_code - INNER_HEADS


def code_of_wire_length(length: int) -> int:
    """The code of a WireGuard message of `length` bytes."""
    return (length - WIRE_EXTRA - SHORTEST) // UNIT


def send(address: str, port: int, flows: int, count: int, rate: int) -> None:
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows)]
    for sock in socks:
        sock.connect((address, port))
    fillings = [b"\0" * (payload_length(packet_code) - HEAD.size) for packet_code in range(CODES)]
    start = time.monotonic()
    for number in range(count):
        for flow, sock in enumerate(socks):
            sock.send(HEAD.pack(flow, number, count) + fillings[code(flow, number, flows)])
        ahead = start + (number + 1) * flows / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
    print(json.dumps({"sent": flows * count, "seconds": round(time.monotonic() - start, 2)}))


def receive(port: int, silence: float, record: str) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.bind(("", port))
    sock.settimeout(30)
    flows: dict[tuple[str, int, int], Flow] = {}
    order = bytearray()
    try:
        while True:
            data, (address, source) = sock.recvfrom(2048)
            if not flows:
                sock.settimeout(silence)
            flow, number, count = HEAD.unpack_from(data)
            flows.setdefault((address, source, flow), Flow(count)).take(number)
            order += RECORD.pack(flow, number)
    except TimeoutError:
        Path(record).write_bytes(order)
    result = {
        "flows": len(flows),
        "received": sum(len(flow.numbers) + flow.duplicates for flow in flows.values()),
        "lost": sum(flow.count - len(flow.numbers) for flow in flows.values()),
        "duplicates": sum(flow.duplicates for flow in flows.values()),
        "late": sum(flow.late for flow in flows.values()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
    else:
        receive(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
