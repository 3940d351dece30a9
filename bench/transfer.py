"""One transfer over TCP, measured where it happens: the guest's part of the cost benchmarks.

    transfer.py receive PORT
    transfer.py send ADDRESS PORT MEGABYTES INTERFACE [WORD]

`send` prints JSON: the virtual time from the first byte to the receiver's word that all have arrived,
the idle time in it, the packets INTERFACE counted in both directions, and the CPU time of the processes
that have WORD in their command line.  No other process starts or ends meanwhile, so nothing but the
transfer, and whatever measures it, is in the time.  (iperf3 is not used: once it has sent all bytes it
keeps a CPU busy until its next report.)
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from pathlib import Path

CHUNK = 1 << 17


def receive(port: int) -> None:
    with socket.create_server(("", port)) as server:
        buffer = bytearray(CHUNK)
        while True:
            connection, _ = server.accept()
            with connection:
                while connection.recv_into(buffer):
                    pass
                connection.send(b".")


def idle_ns() -> int:
    """Time all CPUs were idle: /proc/timer_list has it in nanoseconds, /proc/stat in ticks."""
    text = Path("/proc/timer_list").read_text()
    return sum(int(value) for value in re.findall(r"\.idle_sleeptime\s*:\s*(\d+)", text))


def packets(interface: str) -> int:
    lines = Path("/proc/net/dev").read_text().splitlines()
    fields = next(line for line in lines if line.strip().startswith(interface + ":")).split()
    return int(fields[2]) + int(fields[10])


def processes(word: str) -> list[Path]:
    """The processes with `word` in their command line, but for this one and its kind."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if word.encode() in line and Path(__file__).name.encode() not in line:
            found.append(process)
    return found


def cpu_ns(processes: list[Path]) -> int:
    files = [file for process in processes for file in process.glob("task/*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files)


def send(address: str, port: int, megabytes: int, interface: str, word: str) -> None:
    measured = processes(word) if word else []
    data = memoryview(bytes(CHUNK))
    with socket.create_connection((address, port)) as connection:
        before = cpu_ns(measured), idle_ns(), packets(interface)
        start = time.monotonic_ns()
        for _ in range(megabytes * (1 << 20) // CHUNK):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        elapsed = time.monotonic_ns() - start
        after = cpu_ns(measured), idle_ns(), packets(interface)
    tool, idle, sent = (b - a for a, b in zip(before, after, strict=True))
    print(json.dumps({"elapsed_ns": elapsed, "idle_ns": idle, "packets": sent, "tool_ns": tool}))


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6] if len(sys.argv) > 6 else "")
