"""What can be attached to WireGuard to time its stages: wgprof, and what a user would run instead."""

from __future__ import annotations

import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from wgprof.agent.frames import Kind, kind_of, open_frame, read_raw
from wgprof.errors import MachineError
from wgprof.lab.machine import Machine
from wgprof.targets.base import RecordRequest
from wgprof.targets.lab import agent_command

#: One a stage.
FUNCTIONS = (
    "wg_xmit",
    "encrypt_packet",
    "wg_socket_send_skb_to_peer",
    "wg_packet_receive",
    "decrypt_packet",
    "wg_packet_rx_poll",
)
FUNCLATENCY = "funclatency"


@dataclass
class Attached:
    """What is attached, and what it left behind: the probes of wgprof's END frame."""

    word: str  # of its command line
    probes: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Tool:
    name: str
    meaning: str
    attach: Callable[[Machine], Any]  # a context manager that yields Attached


@contextmanager
def nothing(machine: Machine) -> Iterator[Attached]:
    yield Attached("")


@contextmanager
def wgprof(machine: Machine) -> Iterator[Attached]:
    """A default recording.  Raises MachineError if it does not begin or loses anything."""
    attached = Attached("agent.pyz")
    streams = machine.open_agent(agent_command(RecordRequest(duration_s=3600)))
    ready = threading.Event()
    losses: list[str] = []

    def read() -> None:
        while (raw := read_raw(streams.stdout)) is not None:
            if kind_of(raw) == Kind.HELLO:
                ready.set()
            elif kind_of(raw) == Kind.END:
                end = open_frame(raw).json()
                attached.probes.extend(end["probes"])
                losses.extend(str(loss) for loss in end["losses"] if loss["count"])
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if not ready.wait(300) or attached.probes:
        raise MachineError("wgprof did not begin to record", machine.agent_errors())
    yield attached
    streams.stdin.write(b'{"stop": true}\n')
    streams.stdin.flush()
    reader.join(60)
    if losses:
        raise MachineError("wgprof lost something", "; ".join(losses))


def bpftrace_script() -> str:
    """A histogram of each function's latency."""
    return "\n".join(
        f"kprobe:{name} {{ @start_{name}[tid] = nsecs; }}\n"
        f"kretprobe:{name} /@start_{name}[tid]/ "
        f"{{ @{name} = hist(nsecs - @start_{name}[tid]); delete(@start_{name}[tid]); }}"
        for name in FUNCTIONS
    )


@contextmanager
def bpftrace(machine: Machine) -> Iterator[Attached]:
    with _command(machine, "exec bpftrace /payload/stages.bt", "stages.bt") as attached:
        yield attached


@contextmanager
def funclatency(machine: Machine) -> Iterator[Attached]:
    """It keeps one start a task, so it loses every call inside which another of the functions ran.

    A shell has its background jobs ignore SIGINT, by which the tool is told to print.
    """
    pattern = "^(" + "|".join(FUNCTIONS) + ")$"
    command = f"exec env --default-signal=INT python3 /payload/{FUNCLATENCY} -r -F '{pattern}'"
    with _command(machine, command, FUNCLATENCY) as attached:
        yield attached


@contextmanager
def _command(machine: Machine, command: str, word: str) -> Iterator[Attached]:
    """A command that attaches to all FUNCTIONS, until the block ends.  Raises MachineError if it does not."""
    job = machine.start(f"echo $$ >/run/peer.pid; {command} >/run/peer.out")
    names = "|".join(FUNCTIONS)
    # A start and a return of each; then time for the tool to settle.
    count = f"grep -cE ' ({names})[+]' /sys/kernel/debug/kprobes/list"
    machine.check(f"until [ $({count}) -eq {2 * len(FUNCTIONS)} ]; do sleep 0.5; done; sleep 5", 300)
    try:
        yield Attached(word)
    finally:
        machine.run("kill -INT $(cat /run/peer.pid)", 10)
        ended = machine.wait(job, 120)
    shown = machine.check(f"grep -cE '^(@|Function = )({names})' /run/peer.out; true").split()[0]
    if not int(shown):
        raise MachineError(f"{word} printed no histogram", ended.stderr[-500:])


def fetch_funclatency(folder: Path) -> Path | None:
    """The tool out of the distribution's package of bcc's tools; None if the package cannot be had."""
    try:
        subprocess.run(["apt-get", "download", "bpfcc-tools"], cwd=folder, check=True, capture_output=True, timeout=120)
        package = next(folder.glob("bpfcc-tools_*.deb"))
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError, StopIteration):
        return None
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        tool = archive.extractfile("./usr/sbin/funclatency-bpfcc")
        if tool is None:
            return None
        path = folder / FUNCLATENCY
        path.write_bytes(tool.read())
    return path


TOOLS = (
    Tool("none", "no probes", nothing),
    Tool("wgprof", "a default recording", wgprof),
    Tool("bpftrace", "a latency histogram of each of six functions", bpftrace),
    Tool(FUNCLATENCY, "bcc's, of the same functions", funclatency),
)
