"""Which of the sampled stacks are WireGuard's, counted in folded form.

A stack is WireGuard's if a function of the module is in it, or if the thread is one of its workers: a
kworker at work for wg-crypt or wg-kex, or the NAPI thread of one of its interfaces.  All others are
counted together, so that a share of a CPU can be told.

perf knows the module of a function only if it knew the modules when it began, which it does not where it
writes into a pipe; all of WireGuard's functions that others call begin with `wg_`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from wgprof.perf.script import UNKNOWN, Sample

MODULE = "wireguard"
#: Different stacks that are kept; what is beyond is counted under MORE.
MAX_STACKS = 50_000
#: In place of a stack.
ELSEWHERE, MORE = "[elsewhere]", "[more]"
PREFIX = "wg_"
#: The kernel puts the workqueue behind a kworker's name, and perf cuts what is longer than 15 letters.
_WORKER = re.compile(r"^kworker/\S{1,12}[+-]wg-")


@dataclass(frozen=True)
class StackCount:
    """How often a stack was met; `folded` has the functions from the outermost on, separated by `;`."""

    cpu: int
    thread: str  # empty for those elsewhere
    folded: str
    samples: int


class StackCounts:
    """Counts samples in bounded memory.  `unresolved` of them had no name for their innermost function."""

    def __init__(self, interfaces: Collection[str] = (), most: int = MAX_STACKS) -> None:
        self.samples = 0
        self.unresolved = 0
        self._napi = tuple(f"napi/{name}-" for name in interfaces)
        self._most = most
        self._counts: Counter[tuple[int, str, str]] = Counter()

    def add(self, sample: Sample) -> None:
        self.samples += 1
        self.unresolved += not sample.stack or sample.stack[-1].name == UNKNOWN
        key = (sample.cpu, _thread(sample.thread), _folded(sample))
        if not self._is_wireguards(sample):
            key = (sample.cpu, "", ELSEWHERE)
        elif key not in self._counts and len(self._counts) >= self._most:
            key = (sample.cpu, "", MORE)
        self._counts[key] += 1

    def _is_wireguards(self, sample: Sample) -> bool:
        return (
            any(f.module == MODULE or f.name.startswith(PREFIX) for f in sample.stack)
            or _WORKER.match(sample.thread) is not None
            or (bool(self._napi) and sample.thread.startswith(self._napi))
        )

    def rows(self) -> Iterator[StackCount]:
        """All counts, the most frequent first."""
        for (cpu, thread, folded), samples in self._counts.most_common():
            yield StackCount(cpu, thread, folded, samples)


def _thread(name: str) -> str:
    """A name that does not differ from one kworker to the next: what it works on is in the stack."""
    return "kworker" if name.startswith("kworker/") else name


def _folded(sample: Sample) -> str:
    """The stack on one line; a `;` or an end of line in a name would be taken for ours."""
    names = (function.name.replace(";", ":") for function in sample.stack)
    return ";".join("".join(c if c.isprintable() else "?" for c in name) for name in names)
