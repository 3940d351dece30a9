"""A target is where the agent runs.  All targets yield the same frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, Protocol

from wgprof.errors import MachineError


@dataclass(frozen=True)
class RecordRequest:
    """What the user asked of `wgprof record`; goes to the agent as JSON and into the manifest."""

    duration_s: float
    interfaces: tuple[str, ...] = ()  # empty: all WireGuard interfaces
    interval_ms: int = 100
    sample: int = 0  # journeys: one packet in N; 0 chooses by event budget
    depth_hz: int = 397  # clock sampling of queue depths
    compress: bool = False  # compress frames on the wire (ssh)
    stacks_s: float = 0.0  # how long perf samples stacks after the recording; 0: not at all
    detail: bool = False  # attach the points that are off the default path as well
    anonymize: bool = False  # the finished file has labels in the place of keys, addresses and host names


@dataclass
class AgentProcess:
    """A running agent: frames come out of `stdout`, one JSON object a line goes into `stdin`.

    Closing `stdin`, or writing {"stop": true}, makes the agent detach, send END and exit; {"go": true}
    lets perf's window begin, once there is traffic for it.
    """

    stdout: IO[bytes]
    stdin: IO[bytes]
    description: dict[str, object] = field(default_factory=dict)  # for the manifest: kind, host, lab settings


class Target(Protocol):
    """The place where an agent runs.

    `start` prepares the place and starts the agent; it raises MachineError, with a remedy, when
    the place cannot run one.  `recording_started` is called once, when the agent's HELLO has
    arrived and everything is attached: the lab then starts its traffic; `sampling_started` when the
    probes are gone and perf is about to look; `stopping` before the agent is asked to stop early.
    `results` is asked after END, for the manifest (the lab: goodput
    at the receiver).  `last_words` is what an agent that died said (its stderr; in the lab also the
    console); `never_recorded` is the error for one that died before its HELLO.  `close` undoes
    everything, also after a failed start; then `start` may be called again.
    """

    name: str

    def start(self, request: RecordRequest) -> AgentProcess: ...

    def recording_started(self) -> None: ...

    def sampling_started(self) -> None: ...

    def stopping(self) -> None: ...

    def results(self) -> dict[str, object]: ...

    def last_words(self) -> str: ...

    def never_recorded(self, sentence: str) -> MachineError: ...

    def close(self) -> None: ...
