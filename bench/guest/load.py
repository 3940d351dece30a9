#!/usr/bin/env python3
"""Counted traffic through the lab's tunnels, and what the CPUs did meanwhile: load.py REQUEST (JSON).

Runs in the lab's machine, whose tunnels were made by topology.sh, with nothing but Python.  REQUEST:

    kind      "udp": `packets` datagrams in bursts, paced; "tcp": `bytes` over one stream a tunnel, or as much
              as goes in `seconds`; "none": wait for `seconds`
    tunnels   how many; each has its own sender
    packets, size, burst, gap_ns    in all; length of the inner IP packet; packets sent at once; time a packet
    soak      a process on every CPU that counts what is left over; it runs when nothing else wants to (SCHED_IDLE)
    pin       keep sender N on CPU N modulo CPUs

Prints one JSON object, see `Report` in bench/load.py.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

PORT = 9000
HEADERS = 28  # IPv4 and UDP
SO_ATTACH_FILTER = 26  # include/uapi/asm-generic/socket.h
CLONE_NEWNET = 0x40000000
BLOCK = 128 << 10
LEAD_NS = 250_000_000  # from the order to begin to the first packet, and more for each tunnel's processes
LEAD_TUNNEL_NS = 50_000_000
BEFORE_NS = 60_000_000  # from the look at an idle machine to the first packet
WARM_NS = 180_000_000  # so long before the first packet each sender tries: a new process first copies its memory
WARM_PACKETS = 16
QUIET_NS = 60_000_000  # from the last packet sent until the queues are empty
SOAK_LOOPS = 50
SLOT = 64  # bytes between two processes' counters: a cache line
_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    with Path("/run/netns", namespace).open() as stream:
        if _libc.setns(stream.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + namespace)


def counters(memory: mmap.mmap, count: int) -> list[int]:
    return [struct.unpack_from("=Q", memory, SLOT * number)[0] for number in range(count)]


def child(work: Any, *arguments: Any) -> int:
    """Run `work` in a process of its own, which ends with this one or earlier."""
    pid = os.fork()
    if pid:
        return pid
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    code = 1
    try:
        work(*arguments)
        code = 0
    finally:
        os._exit(code)


def soak(memory: mmap.mmap, cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    counter = memoryview(memory)[SLOT * cpu : SLOT * cpu + 8].cast("Q")
    loops = range(SOAK_LOOPS)
    while True:
        for _ in loops:
            pass
        counter[0] += 1


def sleep_until(moment_ns: int) -> None:
    left = moment_ns - time.monotonic_ns()
    if left > 0:
        time.sleep(left / 1e9)


def send_datagrams(sock: socket.socket, request: dict[str, Any], start_ns: int) -> None:
    payload = bytes(request["size"] - HEADERS)
    send, burst = sock.send, range(request["burst"])
    bursts = request["packets"] // (request["burst"] * request["tunnels"])
    step_ns = request["gap_ns"] * request["burst"] * request["tunnels"]
    sleep_until(start_ns - WARM_NS)
    for _ in range(WARM_PACKETS):
        send(payload)
    for number in range(bursts):
        sleep_until(start_ns + number * step_ns)
        for _ in burst:
            send(payload)


def send_stream(sock: socket.socket, request: dict[str, Any], start_ns: int) -> None:
    block = bytes(BLOCK)
    sleep_until(start_ns - WARM_NS)
    sock.sendall(block)
    sleep_until(start_ns)
    if request.get("bytes"):
        for _ in range(request["bytes"] // (BLOCK * request["tunnels"])):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)  # the receiver closes when it has everything
        return
    until = start_ns + int(request["seconds"] * 1e9) + QUIET_NS
    while time.monotonic_ns() < until:
        sock.sendall(block)


def receive_stream(sock: socket.socket, memory: mmap.mmap, slot: int) -> None:
    counter = memoryview(memory)[SLOT * slot : SLOT * slot + 8].cast("Q")
    buffer = bytearray(BLOCK)
    while received := sock.recv_into(buffer):
        counter[0] += received
    sock.shutdown(socket.SHUT_RDWR)  # other processes have it open, too


def sockets(kind: str, tunnels: int) -> list[tuple[socket.socket, socket.socket]]:
    """A sender and a receiver for each tunnel.  A UDP receiver drops what arrives: there is no application."""
    pairs = []
    for number in range(tunnels):
        enter("wgb")
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == "udp":
            drop_all = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # BPF_RET 0
            program = struct.pack("@HP", 1, ctypes.addressof(drop_all))
            receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        receiver.bind((f"10.{number}.0.2", PORT))
        if kind == "tcp":
            receiver.listen(1)
        enter("wga")
        sender = socket.create_connection(receiver.getsockname()) if kind == "tcp" else udp_sender(receiver)
        pairs.append((sender, receiver.accept()[0] if kind == "tcp" else receiver))
    return pairs


def udp_sender(receiver: socket.socket) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(receiver.getsockname())
    return sender


def interface_counts(namespace: str) -> dict[str, int]:
    """Packets of all tunnels' interfaces in a namespace."""
    enter(namespace)
    counts = {"rx": 0, "tx": 0, "dropped": 0}
    with Path("/proc/self/net/dev").open() as stream:
        for line in stream:
            name, _, rest = line.partition(":")
            if name.strip().startswith("wg"):
                fields = [int(word) for word in rest.split()]
                counts["rx"] += fields[1]
                counts["tx"] += fields[9]
                counts["dropped"] += fields[3] + fields[11]
    return counts


def quick_look(memory: mmap.mmap, cpus: int, tunnels: int) -> dict[str, Any]:
    """What has to be read at one moment: time, left-over counts, received bytes."""
    slots = counters(memory, cpus + tunnels)
    return {"ns": time.monotonic_ns(), "soaked": slots[:cpus], "received": slots[cpus:]}


def slow_look() -> dict[str, Any]:
    """Interfaces' packets, idle and softirq ticks of each CPU, context switches."""
    state: dict[str, Any] = {"idle": [], "softirq": [], "wga": interface_counts("wga"), "wgb": interface_counts("wgb")}
    with Path("/proc/stat").open() as stream:
        for line in stream:
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu":
                state["idle"].append(int(fields[3]) + int(fields[4]))
                state["softirq"].append(int(fields[5]) + int(fields[6]))
            elif name == "ctxt":
                state["switches"] = int(fields[0])
    return state


def main() -> None:
    request = json.loads(sys.argv[1])
    kind, tunnels = request["kind"], request["tunnels"]
    cpus = os.cpu_count() or 1
    memory = mmap.mmap(-1, SLOT * (cpus + tunnels))
    children, senders = [], []
    pairs = sockets(kind, tunnels) if kind != "none" else []
    if request["soak"]:
        children += [child(soak, memory, cpu) for cpu in range(cpus)]
    start_ns = time.monotonic_ns() + LEAD_NS + LEAD_TUNNEL_NS * tunnels
    done_read, done_write = os.pipe()
    for number, (sender, receiver) in enumerate(pairs):

        def send(number: int = number, sender: socket.socket = sender) -> None:
            if request["pin"]:
                os.sched_setaffinity(0, {number % cpus})
            (send_datagrams if kind == "udp" else send_stream)(sender, request, start_ns)
            os.write(done_write, b".")
            signal.pause()

        senders.append(child(send))
        if kind == "tcp":
            children.append(child(receive_stream, receiver, memory, cpus + number))
            receiver.close()
    ramp_ns = int(request.get("ramp_s", 0) * 1e9)
    sleep_until(start_ns + (ramp_ns or -BEFORE_NS))
    before = slow_look()  # looking takes time, which is not to be measured: the quick look is the inner one
    before |= quick_look(memory, cpus, tunnels)
    if not ramp_ns and before["ns"] > start_ns:
        sys.exit("the first packet was sent before the measurement began: raise LEAD_NS")
    if request.get("seconds"):
        sleep_until(start_ns + int(request["seconds"] * 1e9))
    else:
        left = tunnels
        while left:
            left -= len(os.read(done_read, left))
        time.sleep(QUIET_NS / 1e9)
    after = quick_look(memory, cpus, tunnels)
    after |= slow_look()
    for pid in children + senders:
        os.kill(pid, signal.SIGKILL)
    for pid in children + senders:
        os.waitpid(pid, 0)
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def each(name: str, unit: int = 1) -> list[int]:
        return [unit * (new - old) for old, new in zip(before[name], after[name], strict=True)]

    def counted(side: str, what: str) -> int:
        return int(after[side][what] - before[side][what])

    report = {
        "elapsed_ns": after["ns"] - before["ns"],
        "soaked": sum(each("soaked")),
        "switches": after["switches"] - before["switches"],
        "sent": counted("wga", "tx"),
        "arrived": counted("wgb", "rx"),
        "dropped": counted("wga", "dropped") + counted("wgb", "dropped"),
        "received_bytes": sum(each("received")),
        "idle_ns": each("idle", tick_ns),
        "softirq_ns": each("softirq", tick_ns),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
