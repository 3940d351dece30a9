#!/usr/bin/env python3
"""Numbered UDP flows: send them, or receive them and say what was lost, doubled or out of order.

    flows.py recv PORT SECONDS_OF_SILENCE
    flows.py send ADDRESS PORT FLOWS COUNT RATE [SIZE]     COUNT packets a flow, RATE packets a second in all

The receiver prints one JSON object: received, lost, duplicates, late (a packet after one with a higher
number of the same flow).  It runs in the lab's machine with nothing but Python.
"""

import json
import socket
import struct
import sys
import time

HEAD = struct.Struct("!III")
SO_RCVBUFFORCE = 33


def send(address, port, flows, count, rate, size=100):
    socks = []
    for _ in range(flows):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((address, port))
        socks.append(sock)
    filling = b"\0" * (size - HEAD.size)
    start = time.monotonic()
    for number in range(count):
        for flow, sock in enumerate(socks):
            sock.send(HEAD.pack(flow, number, count) + filling)
        ahead = start + (number + 1) * flows / rate - time.monotonic()
        if ahead > 0.002:
            time.sleep(ahead)
    print(json.dumps({"sent": flows * count, "seconds": round(time.monotonic() - start, 2)}))


def receive(port, silence):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    sock.bind(("", port))
    sock.settimeout(30)
    seen, highest, counts = {}, {}, {}
    received = duplicates = late = 0
    latest_by = 0
    try:
        while True:
            data, sender = sock.recvfrom(2048)
            flow, number, count = HEAD.unpack_from(data)
            key = (sender, flow)
            if received == 0:
                sock.settimeout(silence)
            received += 1
            counts[key] = count
            numbers = seen.setdefault(key, set())
            if number in numbers:
                duplicates += 1
            numbers.add(number)
            top = highest.get(key, -1)
            if number < top:
                late += 1
                latest_by = max(latest_by, top - number)
            else:
                highest[key] = number
    except socket.timeout:
        pass
    lost = sum(counts[key] - len(seen[key]) for key in counts)
    print(json.dumps({"flows": len(counts), "received": received, "lost": lost, "duplicates": duplicates,
                      "late": late, "latest_by": latest_by}))


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        receive(int(sys.argv[2]), float(sys.argv[3]))
