"""Compiles, loads and attaches the probes with bcc: the only file that uses it.

The probe programs include no kernel header, so bcc is pointed at the few headers of our own in
`probes/include`: it then needs no kernel headers on the machine and compiles in a fraction of the
time.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set, Tuple

from wgprof.agent.instructions import CAST_CALL, MEMORY, complete, memory_flags
from wgprof.agent.kprobes import Kprobes, find_tracefs
from wgprof.agent.maps import Control
from wgprof.agent.plan import Attachment, Facts, Missing, Resolved, resolve
from wgprof.agent.runtime import array_map
from wgprof.agent.tracing import TracingError, attach_tracing, btf_descriptor, load_tracing

RING_PAGES = 2048
RING_BYTES = RING_PAGES * 4096
#: The blocks of all slots may take this much kernel memory.
BLOCKS_BUDGET = 64 << 20
MAX_SLOTS = 256
MIN_SLOTS = 16
#: Rounds of "attach, drop what was refused, compile again".
ROUNDS = 3

#: Tasks that can be remembered while they are switched out.
TASKS = 16384
#: WORKERS of probes/state.h: a CPU's, by slots.
WORKERS_OF_SLOT, WORKERS_OF_NOBODY = 2, 16
#: Of the maps that bcc does not make, those that the agent maps.
MAPPED = ("blocks",)
_TRACING = ("fentry", "fexit")
_OWN_HEADER = re.compile(r'#include "(\w+\.h)"')


class LoadError(Exception):
    """A program could not be compiled, loaded or attached."""


class MapTooLarge(LoadError):
    """The kernel makes no array map with elements of such a size (KMALLOC_MAX_SIZE before Linux 6.0)."""


@dataclass
class Attached:
    attachment: Attachment
    fd: int  # of the program


def choose_slots(cpus: int, block_bytes: int) -> int:
    """How many objects can be told apart in the memory allowed."""
    return max(MIN_SLOTS, min(MAX_SLOTS, BLOCKS_BUDGET // (cpus * block_bytes)))


def joined(directory: str, name: str, seen: Optional[Set[str]] = None) -> str:
    """A source file with our own headers put in: bcc rewrites map accesses only in the main file."""
    seen = set() if seen is None else seen
    if name in seen:
        return ""
    seen.add(name)
    lines = []
    with open(os.path.join(directory, name), encoding="ascii") as stream:
        for line in stream:
            header = _OWN_HEADER.match(line)
            lines.append(joined(directory, header.group(1), seen) if header else line)
    return "".join(lines)


def code_of(bpf: Any, program: bytes) -> "ctypes.Array[ctypes.c_uint8]":
    """A program's instructions, where bcc keeps them until it loads them."""
    from bcc.libbcc import lib

    start = ctypes.cast(lib.bpf_function_start(bpf.module, program), ctypes.c_void_p).value
    size = lib.bpf_function_size(bpf.module, program) if start else 0
    return (ctypes.c_uint8 * size).from_address(start or 0)


def map_fd(bpf: Any, name: str) -> int:
    """The descriptor of a map of a compiled program."""
    from bcc.libbcc import lib

    return int(lib.bpf_table_fd(bpf.module, name.encode()))


def large_maps(slots: int, cpus: int) -> Dict[str, int]:
    """How many elements, as bcc knows them, the maps have that it does not make."""
    workers = slots * WORKERS_OF_SLOT + WORKERS_OF_NOBODY
    return {"workers": workers * cpus, "blocks": slots * cpus, "queued_work": slots * cpus}


class Programs:
    """The compiled programs of a resolved plan.  Raises LoadError if they do not compile.

    `cast`: see Facts.  `look_up`: elements of large maps one by one, for kernels that raise MapTooLarge without.
    """

    def __init__(
        self,
        directory: str,
        resolved: Resolved,
        slots: int,
        cpus: int,
        cast: Optional[Tuple[int, int]] = None,
        look_up: bool = False,
    ) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = directory
        from bcc import BPF

        class Bpf(BPF):  # type: ignore[misc]
            """bcc attaches functions with certain names by itself, all or nothing; we do it one by one."""

            def _trace_autoload(self) -> None:
                pass

        self._types = {
            "kprobe": BPF.KPROBE,
            "kretprobe": BPF.KPROBE,
            "tracepoint": BPF.RAW_TRACEPOINT,
            "perf": BPF.PERF_EVENT,
        }
        # Without the debug information that bcc asks for, which nobody reads here, compiling takes a seventh less time.
        flags = ["-g0", f"-I{directory}", f"-DSLOTS={slots}", f"-DCPUS={cpus}"]
        flags += [f"-DRING_PAGES={RING_PAGES}", f"-DTASKS={TASKS}"]
        self._cast_function, cast_type = cast or (0, 0)
        if cast is not None:
            flags += [f"-DCAST_CALL={CAST_CALL:#x}", f"-DCAST_TYPE={cast_type}"]
        flags += memory_flags() + (["-DLARGE_MAPS_LOOKED_UP"] if look_up else [])
        flags += [f"-D{name}={value:#x}ULL" for name, value in resolved.defines.items()]
        text = joined(directory, "wgprof.h") + "\n".join(a.source for a in resolved.attachments) + "\n"
        with _captured_stderr() as captured:
            try:
                self.bpf = Bpf(text=text.encode(), cflags=flags)
            except Exception as error:
                raise LoadError(f"{error}: {_last_error(captured.text())}") from error
        self._large: Dict[str, int] = {}
        for name, count in {} if look_up else large_maps(slots, cpus).items():
            try:
                self._large[name] = array_map(self.value_size(name) * count, mappable=name in MAPPED)
            except OSError as error:
                raise (MapTooLarge if error.errno == errno.E2BIG else LoadError)(str(error)) from error
        self._memory = {number: self.map_fd(name) for name, number in MEMORY.items()}

        self._links: Dict[str, int] = {}  # program -> descriptor: of fentry and fexit, which are not bcc's business
        self._btf_fds: Dict[str, int] = {"vmlinux": 0}
        self._kprobes = Kprobes(find_tracefs())

    def map_fd(self, name: str) -> int:
        return self._large.get(name) or map_fd(self.bpf, name)

    def value_size(self, name: str) -> int:
        """Bytes of a map's element, as bcc knows it."""
        from bcc.libbcc import lib

        return int(lib.bpf_table_leaf_size(self.bpf.module, name.encode()))

    def load(self, a: Attachment) -> int:
        """Has the kernel verify a program; returns its descriptor.  Raises LoadError with the verifier's words."""
        code = code_of(self.bpf, a.program.encode())
        complete(code, self._cast_function, self._memory)
        if a.kind in _TRACING:
            return self._load_tracing(a, bytes(code))
        with _captured_stderr() as captured:
            try:
                return int(self.bpf.load_func(a.program.encode(), self._types[a.kind]).fd)
            except Exception as error:
                raise LoadError(f"{error} {_last_error(captured.text())}".strip()) from error

    def _load_tracing(self, a: Attachment, code: bytes) -> int:
        if a.module not in self._btf_fds:
            fd = btf_descriptor(a.module)
            if fd is None:
                raise LoadError(f"the kernel has no type information of {a.module}")
            self._btf_fds[a.module] = fd
        try:
            return load_tracing(code, a.symbol, a.kind == "fexit", a.type_id, self._btf_fds[a.module])
        except TracingError as error:
            raise LoadError(_last_error(str(error))) from error

    def attach(self, a: Attachment, fd: int) -> str:
        """Attaches a loaded program; the clock waits for `start_clock`.  Raises LoadError.

        Returns why it could not be done in the best way, or nothing.
        """
        remark = ""
        if a.kind in _TRACING:
            try:
                self._links[a.program] = attach_tracing(fd)
            except TracingError as error:
                raise LoadError(str(error)) from error
            return remark
        if a.kind in ("kprobe", "kretprobe"):
            try:
                self._kprobes.attach(a.program, fd, a.symbol, a.module, a.instances)
                return remark
            except OSError as error:  # then by bcc: with few instances, and misses are not counted
                remark = f"by tracefs: {error}"
        bpf, program, symbol = self.bpf, a.program.encode(), a.symbol.encode()
        with _captured_stderr() as captured:
            try:
                if a.kind == "kprobe":
                    bpf.attach_kprobe(event=symbol, fn_name=program)
                elif a.kind == "kretprobe":
                    bpf.attach_kretprobe(event=symbol, fn_name=program)
                elif a.kind == "tracepoint":
                    bpf.attach_raw_tracepoint(tp=symbol, fn_name=program)
            except Exception as error:
                raise LoadError(f"{error} {_last_error(captured.text())}".strip()) from error
        return remark

    def missed(self) -> Dict[str, int]:
        """By program, the runs of kprobes that the kernel left out before it came to the program.

        Without those of which nobody knows: the kernel does not tell, or bcc attached them.
        """
        return self._kprobes.missed()

    def start_clock(self, a: Attachment, hz: int, cpu: int) -> None:
        """Runs a program `hz` times a second on one CPU.  Raises an exception of bcc's."""
        from bcc import PerfSWConfig, PerfType

        self.bpf.attach_perf_event(
            ev_type=PerfType.SOFTWARE,
            ev_config=PerfSWConfig.CPU_CLOCK,
            fn_name=a.program.encode(),
            sample_freq=hz,
            cpu=cpu,
        )

    def close(self) -> None:
        """Detaches everything."""
        # Program descriptors live on in `Attached`; without a link a program does not run.
        for fd in self._links.values():
            os.close(fd)
        for fd in self._btf_fds.values():
            if fd:
                os.close(fd)
        self._kprobes.close()
        for fd in self._large.values():
            os.close(fd)
        self._links, self._btf_fds, self._large = {}, {"vmlinux": 0}, {}
        with contextlib.suppress(Exception):
            self.bpf.cleanup()


class Probes:
    """The attached probes.  `close` detaches everything; so does the end of the process."""

    def __init__(
        self, directory: str, plan: Dict[str, Any], facts: Facts, slots: int, cpus: int, interfaces: List[str]
    ) -> None:
        self._interfaces = interfaces
        self.attached: List[Attached] = []
        self.slots = slots
        #: Seconds the steps took, and what was refused before a lesser kind was taken.
        self.startup: Dict[str, float] = {}
        self.refusals: Dict[str, str] = {}
        self._programs: Optional[Programs] = None
        refused: Set[Tuple[str, str]] = set()
        cast = facts.cast
        for left in reversed(range(ROUNDS)):
            resolved = resolve(plan, facts, frozenset(refused))
            began = time.monotonic()
            try:
                self._programs = Programs(directory, resolved, slots, cpus, cast)
            except MapTooLarge:
                self._programs = Programs(directory, resolved, slots, cpus, cast, look_up=True)
            self._took("compile_s", began)
            failed = self._attach_all(resolved)
            # A kernel that refuses the cast may take the same program without.
            if cast is None or not left:
                refused |= failed
            cast = None
            if not failed or not left:
                break
            self.close()
        self.missing = [
            Missing(m.point, self.refusals.get(m.point, m.error), m.affects)
            for m in resolve(plan, facts, frozenset(refused)).missing
        ]

    def _took(self, step: str, began: float) -> None:
        self.startup[step] = round(self.startup.get(step, 0.0) + time.monotonic() - began, 3)

    def _attach_all(self, resolved: Resolved) -> Set[Tuple[str, str]]:
        """Loads all, then attaches all, so that counting begins everywhere at nearly the same time."""
        programs = self._programs
        assert programs is not None
        began = time.monotonic()
        failed: Set[Tuple[str, str]] = set()
        loaded: List[Attached] = []
        for attachment in resolved.attachments:
            try:
                loaded.append(Attached(attachment, programs.load(attachment)))
            except LoadError as error:
                failed.add(self._refuse(attachment, error))
        # The first packet already must know which interfaces are wanted.
        self.control = Control(self.map_fd("control"), self._interfaces)
        for item in loaded:
            try:
                remark = programs.attach(item.attachment, item.fd)
                self.attached.append(item)
                if remark:
                    self.refusals[item.attachment.point] = remark
            except LoadError as error:
                failed.add(self._refuse(item.attachment, error))
        self._took("attach_s", began)
        return failed

    def _refuse(self, attachment: Attachment, error: LoadError) -> Tuple[str, str]:
        self.refusals[attachment.point] = f"{attachment.kind}: {error}"
        return attachment.point, attachment.kind

    def start_clock(self, hz: int, cpu: int) -> None:
        """Starts sampling queue depths.  Raises an exception of bcc's if the machine has no perf events."""
        for item in self.attached:
            if item.attachment.kind == "perf" and self._programs is not None:
                self._programs.start_clock(item.attachment, hz, cpu)

    def missed(self) -> Dict[str, int]:
        """By program, see Programs.missed."""
        return self._programs.missed() if self._programs is not None else {}

    def map_fd(self, name: str) -> int:
        assert self._programs is not None
        return self._programs.map_fd(name)

    def value_size(self, name: str) -> int:
        assert self._programs is not None
        return self._programs.value_size(name)

    def close(self) -> None:
        programs, self._programs = self._programs, None
        if programs is not None:
            programs.close()
        self.attached = []


class _captured_stderr:
    """What C code writes to stderr while the block runs; clang and libbpf do."""

    def __enter__(self) -> "_captured_stderr":
        self._file = tempfile.TemporaryFile()
        self._saved: Optional[int] = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        return self

    def text(self) -> str:
        self._file.seek(0)
        return self._file.read(1 << 20).decode("utf-8", "replace")

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            os.dup2(self._saved, 2)
            os.close(self._saved)
        self._file.close()


def _last_error(text: str) -> str:
    """The line of a compiler's or the verifier's output that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if "error:" in line:
            return line
    # The verifier says what is wrong last, in front of its statistics.
    lines = [line for line in lines if not line.startswith(("processed ", "WARNING", "HINT"))]
    return lines[-1][:300] if lines else ""
