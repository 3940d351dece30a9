"""What a tick costs the agent on this machine: `python -m bench.ticks [--tunnels 1] [--interval 100]`.

The agent's own recorder, without probes and without root: its cells lie in memory laid out as
the probes' maps, where another process raises the counters that packets would raise, or none.  No journeys come in.
The cost is the CPU time that the agent's frames say it took, system calls and wake-ups in it, beside that of a process
that wakes up as often and does nothing but read the same files and write as much.
"""

from __future__ import annotations

import json
import mmap
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from tempfile import TemporaryFile
from typing import IO, cast

import click

from wgprof.agent import maps
from wgprof.agent.frames import Kind, read_frames
from wgprof.agent.kernel import online_cpus, possible_cpus
from wgprof.agent.layout import CELL, CELL_KINDS, KINDS, SLOT_NONE
from wgprof.agent.loader import RING_BYTES, Probes, choose_slots
from wgprof.agent.netns import Interface, namespaces
from wgprof.agent.outer import Outer
from wgprof.agent.recorder import Recorder
from wgprof.agent.route import Tunnel
from wgprof.agent.stream import Stream

PORT = 51820
#: What the agent reads with each tick.
FILES = ("/proc/stat", "/proc/softirqs", "/proc/net/dev", "/proc/net/softnet_stat")
#: Kinds whose cells are a device's; those of softirqs are nobody's, the others a peer's.
OF_DEVICES = ("encrypt.work", "decrypt.work", "encrypt-ring", "decrypt-ring")
#: Counters start behind 40 quads of something else of a CPU (struct cpu_state).
STATE_BYTES = 512


class Memory:
    """In place of Probes: maps that are files, with the objects of some tunnels."""

    def __init__(self, tunnels: int) -> None:
        cpus = possible_cpus()
        self.slots = choose_slots(cpus, maps.BLOCK_BYTES)
        self._sizes = {
            "blocks": maps.BLOCK_BYTES,
            "objects": maps.OBJECT.size * self.slots,
            "control": maps.CONTROL.size,
            "states": STATE_BYTES * cpus,
        }
        sizes = {**self._sizes, "blocks": maps.BLOCK_BYTES * self.slots * cpus, "events": 2 * (maps.PAGE + RING_BYTES)}
        self._fds = {name: os.memfd_create(name) for name in sizes}
        for name, size in sizes.items():
            os.ftruncate(self._fds[name], -(-size // maps.PAGE) * maps.PAGE)
        self.control = maps.Control(self.map_fd("control"), [])
        self.attached: list[object] = []
        self.missing: list[object] = []
        objects = mmap.mmap(self.map_fd("objects"), 0)
        for slot in range(1, 2 * tunnels + 1):  # a device and its peer, in turn
            kind = maps.OBJECT_DEVICE if slot % 2 else maps.OBJECT_PEER
            row = (slot, slot, 0, 0, 0, 0, 0, kind, slot - 1 + slot % 2, 1, 0, b"wg0", bytes(32), bytes(28), 0)
            maps.OBJECT.pack_into(objects, slot * maps.OBJECT.size, *row)
        devices = {kind.number for kind in CELL_KINDS[:KINDS] if kind.name in OF_DEVICES}
        nobodys = {kind.number for kind in CELL_KINDS[:KINDS] if kind.group == "softirq"}
        peers = set(range(KINDS)) - devices - nobodys
        of_slot = {SLOT_NONE: nobodys} | {n: devices if n % 2 else peers for n in range(1, 2 * tunnels + 1)}
        self._cells = [
            ((slot * cpus + cpu) * KINDS + kind) * CELL.size // 8
            for slot, kinds in of_slot.items()
            for cpu in online_cpus()
            for kind in sorted(kinds)
        ]
        self._quads = memoryview(mmap.mmap(self.map_fd("blocks"), 0)).cast("Q")

    def count(self) -> None:
        """As if packets had passed, on every CPU."""
        for at in self._cells:
            for counter in range(3):
                self._quads[at + counter] += 7

    def map_fd(self, name: str) -> int:
        return self._fds[name]

    def value_size(self, name: str) -> int:
        return self._sizes[name]

    def missed(self) -> dict[str, int]:
        return {}

    def start_clock(self, hz: int, cpu: int) -> None:
        """There is no clock: depths are counted as everything else is."""


@contextmanager
def traffic(memory: Memory) -> Iterator[None]:
    """A process that counts, a hundred times a second."""
    child = os.fork()
    if child == 0:
        parent = os.getppid()
        while os.getppid() == parent:
            memory.count()
            time.sleep(0.01)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def record(memory: Memory, ticks: int, interval_ms: int, out: IO[bytes]) -> None:
    """A recording of so many ticks of this namespace's lo, as if it were a tunnel to this machine."""
    interface = Interface(namespaces()[0], "lo", 1, 65536, 1)
    outer = Outer([interface], lambda *_: ([Tunnel(interface, interface.namespace, PORT, 0, ("127.0.0.1",))], []))
    request = {"duration_s": ticks * interval_ms / 1e3, "interval_ms": interval_ms}
    reader, writer = os.pipe()
    try:
        stream = Stream(out.fileno(), compress=False)
        Recorder(request, stream, cast(Probes, memory), reader).run([interface], {}, outer)
    finally:
        os.close(reader)
        os.close(writer)


def tick_us(tunnels: int, ticks: int, interval_ms: int, busy: bool) -> tuple[float, int]:
    """CPU time between ticks, the median; and the bytes of a frame."""
    memory = Memory(tunnels)
    with TemporaryFile() as out:
        memory.count()
        if busy:
            with traffic(memory):
                record(memory, ticks, interval_ms, out)
        else:
            record(memory, ticks, interval_ms, out)
        out.seek(0)
        payloads = [frame.payload for frame in read_frames(BytesIO(out.read())) if frame.kind == Kind.TICK]
    heads = [json.loads(payload[4 : 4 + int.from_bytes(payload[:4], "little")]) for payload in payloads]
    times = [head["agent"]["cpu_ns"] for head in heads]
    gaps = [after - before for before, after in pairwise(times)]
    return statistics.median(gaps) / 1e3, int(statistics.median(map(len, payloads)))


def bare_us(ticks: int, interval_ms: int, size: int) -> float:
    """CPU time between looks of a loop that only reads the files and writes so many bytes, the median."""
    fds, data, times = [os.open(path, os.O_RDONLY) for path in FILES], bytes(size), []
    with TemporaryFile() as out:
        for _ in range(ticks):
            time.sleep(interval_ms / 1e3)
            for fd in fds:
                os.pread(fd, 1 << 16, 0)
            os.write(out.fileno(), data)
            times.append(time.process_time_ns())
    for fd in fds:
        os.close(fd)
    return statistics.median(after - before for before, after in pairwise(times)) / 1e3


@click.command()
@click.option("--tunnels", default=1, show_default=True, help="Each a device and a peer.")
@click.option("--ticks", default=100, show_default=True, help="Of each of the three runs.")
@click.option("--interval", default=100, show_default=True, help="Milliseconds; of a short one the caches stay warm.")
def main(tunnels: int, ticks: int, interval: int) -> None:
    """Print what a tick costs with traffic in every tunnel and on every CPU, with none, and at the least."""
    busy, size = tick_us(tunnels, ticks, interval, busy=True)
    bare = bare_us(ticks, interval, size)
    idle, quiet = tick_us(tunnels, ticks, interval, busy=False)
    click.echo(f"{tunnels} tunnels on {len(online_cpus())} CPUs, {ticks} ticks {interval} ms apart, CPU time of a tick")
    for what, us, length in (("traffic", busy, size), ("no traffic", idle, quiet), ("reading and writing", bare, size)):
        click.echo(f"{what:20} {us:8.0f} us {length / 1e3:8.1f} kB {us / bare:6.2f} of the last")


if __name__ == "__main__":
    main()
