"""One line of the quality panel, and what each kind of line means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"

#: What must hold, in one line, by the check's name; docs/quality.md says more.
MEANINGS: Mapping[str, str] = {
    "conservation": "every packet that enters a stage leaves it, is queued, or is counted as dropped",
    "refusals": "as many packets as a full ring is taken to have refused are missing behind it",
    "interface counters": "the interface's own counters agree with the stages, but for handshakes",
    "Little's law": "the depth seen by a clock is the arrival rate times the mean wait of the sampled packets",
    "busy time": "the time measured on a CPU fits into the time the kernel says it was not idle",
    "CPU account": "the kernel's account of each CPU, idle time included, leaves out little of the time that passed",
    "clock": "time runs forward and evenly: ticks, intervals, the steps of journeys, and what the clock counts",
    "depth clock": "looks at queues that were missed do not change the mean depths",
    "window": "traffic flowed, steadily: not mostly idle, just started, or just after a handshake",
    "polls by class": "runs that took packets, found an empty queue or a head that was not ready are all there were",
    "preemption": "softirqs and other tasks on top of a crypto stage took as long as was taken off its time for them",
    "packet losses": "what was lost of the tunnels' packets, by cause; stated, not judged",
    "losses": "the recorder itself lost nothing it saw",
    "probes": "every probe is attached, and the kernel skipped no run",
    "journeys": "no sampled packet lost a step",
    "complete": "the recording was ended, not cut off",
    "emulation": "in the lab: the host gave the emulated CPUs the time they seem to have been busy",
    "overhead": "the measuring is a small part of what was measured; stated, and open above its bound",
}


@dataclass(frozen=True)
class Check:
    """One line of the panel.  `value` and `bound` are in `unit`; `taints` names what a failure makes doubtful."""

    name: str
    subject: str
    value: float | None
    bound: float | None
    unit: str
    verdict: str  # ok, fail or unknown
    detail: str
    taints: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What must hold, in one line."""
        return MEANINGS[self.name]


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Failures, then what could not be decided, then what holds; each in its given order."""
    return sorted(checks, key=lambda check: (FAIL, UNKNOWN, OK).index(check.verdict))
