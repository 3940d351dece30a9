"""Compiles, loads and attaches the probes with bcc: the only file that uses it.

The probe programs include no kernel header, so bcc is pointed at the few headers of our own in
`probes/include`: it then needs no kernel headers on the machine and compiles in a fraction of the
time.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set, Tuple

from wgprof.agent.plan import Attachment, Facts, Missing, Resolved, resolve

RING_PAGES = 2048
RING_BYTES = RING_PAGES * 4096
WORK_ITEMS = 16384
#: The blocks of all slots may take this much kernel memory.
BLOCKS_BUDGET = 48 << 20
MAX_SLOTS = 256
MIN_SLOTS = 16
#: Rounds of "attach, drop what was refused, compile again".
ROUNDS = 3

_OWN_HEADER = re.compile(r'#include "(\w+\.h)"')


class LoadError(Exception):
    """The probes could not be compiled at all."""


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


class Probes:
    """The attached probes.  `close` detaches everything; so does the end of the process."""

    def __init__(self, directory: str, plan: Dict[str, Any], facts: Facts, slots: int, cpus: int) -> None:
        self.attached: List[Attached] = []
        self.missing: List[Missing] = []
        #: Seconds the steps took, and what was refused before a lesser kind was taken.
        self.startup: Dict[str, float] = {}
        self.refusals: Dict[str, str] = {}
        self._bpf: Any = None
        self._directory = directory
        self.slots = slots
        self._cpus = cpus
        refused: Set[Tuple[str, str]] = set()
        for left in reversed(range(ROUNDS)):
            resolved = resolve(plan, facts, frozenset(refused))
            self._compile(resolved)
            failed = self._attach_all(resolved)
            refused |= failed
            if not failed or not left:
                break
            self.close()
        self.missing = [
            Missing(m.point, self.refusals.get(m.point, m.error), m.affects)
            for m in resolve(plan, facts, frozenset(refused)).missing
        ]

    def _compile(self, resolved: Resolved) -> None:
        os.environ["BCC_KERNEL_SOURCE"] = self._directory
        from bcc import BPF

        class Bpf(BPF):  # type: ignore[misc]
            """bcc attaches functions with certain names by itself, all or nothing; we do it one by one."""

            def _trace_autoload(self) -> None:
                pass

        flags = [f"-I{self._directory}", f"-DSLOTS={self.slots}", f"-DCPUS={self._cpus}"]
        flags += [f"-DRING_PAGES={RING_PAGES}", f"-DWORK_ITEMS={WORK_ITEMS}"]
        flags += [f"-D{name}={value:#x}ULL" for name, value in resolved.defines.items()]
        text = joined(self._directory, "wgprof.h") + "\n".join(a.source for a in resolved.attachments) + "\n"
        began = time.monotonic()
        with _captured_stderr() as captured:
            try:
                self._bpf = Bpf(text=text.encode(), cflags=flags)
            except Exception as error:
                raise LoadError(f"{error}: {_last_error(captured.text())}") from error
        self._took("compile_s", began)

    def _took(self, step: str, began: float) -> None:
        self.startup[step] = round(self.startup.get(step, 0.0) + time.monotonic() - began, 3)

    def _attach_all(self, resolved: Resolved) -> Set[Tuple[str, str]]:
        began = time.monotonic()
        failed: Set[Tuple[str, str]] = set()
        for attachment in resolved.attachments:
            with _captured_stderr() as captured:
                try:
                    fd = self._attach(attachment)
                except Exception as error:
                    self.refusals[attachment.point] = (
                        f"{attachment.kind}: {error} {_last_error(captured.text())}".strip()
                    )
                    failed.add((attachment.point, attachment.kind))
                    continue
            self.attached.append(Attached(attachment, fd))
        self._took("attach_s", began)
        return failed

    def _attach(self, a: Attachment) -> int:
        from bcc import BPF

        bpf, program = self._bpf, a.program.encode()
        if a.kind == "fentry":
            bpf.attach_kfunc(fn_name=program)
        elif a.kind == "fexit":
            bpf.attach_kretfunc(fn_name=program)
        elif a.kind == "kprobe":
            bpf.attach_kprobe(event=a.symbol.encode(), fn_name=program)
        elif a.kind == "kretprobe":
            bpf.attach_kretprobe(event=a.symbol.encode(), fn_name=program)
        elif a.kind == "tracepoint":
            bpf.attach_raw_tracepoint(tp=a.symbol.encode(), fn_name=program)
        else:
            # Attached by `start_clock`, when the frequency is known.
            bpf.load_func(program, BPF.PERF_EVENT)
        return int(bpf.funcs[program].fd)

    def start_clock(self, hz: int, cpu: int) -> None:
        """Starts sampling queue depths.  Raises an exception of bcc's if the machine has no perf events."""
        from bcc import PerfSWConfig, PerfType

        for attached in self.attached:
            if attached.attachment.kind == "perf":
                self._bpf.attach_perf_event(
                    ev_type=PerfType.SOFTWARE,
                    ev_config=PerfSWConfig.CPU_CLOCK,
                    fn_name=attached.attachment.program.encode(),
                    sample_freq=hz,
                    cpu=cpu,
                )

    def map_fd(self, name: str) -> int:
        from bcc.libbcc import lib

        return int(lib.bpf_table_fd(self._bpf.module, name.encode()))

    def value_size(self, name: str) -> int:
        from bcc.libbcc import lib

        return int(lib.bpf_table_leaf_size(self._bpf.module, name.encode()))

    def close(self) -> None:
        if self._bpf is not None:
            with contextlib.suppress(Exception):
                self._bpf.cleanup()
        self._bpf = None
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
