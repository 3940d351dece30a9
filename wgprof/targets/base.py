"""A target is where the agent runs.  All targets yield the same frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, Protocol


@dataclass(frozen=True)
class RecordRequest:
    """What the user asked of `wgprof record`; goes to the agent as JSON and into the manifest."""

    duration_s: float
    interfaces: tuple[str, ...] = ()  # empty: all WireGuard interfaces
    interval_ms: int = 100
    sample: int = 0  # journeys: every Nth nonce; 0 chooses by event budget
    depth_hz: int = 199  # clock sampling of queue depths
    compress: bool = False  # compress frames on the wire (ssh)


@dataclass
class AgentProcess:
    """A running agent: frames come out of `stdout`, one JSON object a line goes into `stdin`.

    Closing `stdin`, or writing {"stop": true}, makes the agent detach, send END and exit.
    """

    stdout: IO[bytes]
    stdin: IO[bytes]
    description: dict[str, object] = field(default_factory=dict)  # for the manifest: kind, host, lab settings


class Target(Protocol):
    """The place where an agent runs.

    `start` prepares the place and starts the agent; it raises MachineError, with a remedy, when
    the place cannot run one.  `recording_started` is called once, when the agent's HELLO has
    arrived and everything is attached: the lab then starts its traffic.  `results` is asked after
    END, for the manifest (the lab: goodput at the receiver).  `last_words` is what an agent that
    died said (its stderr; in the lab also the console).  `close` undoes everything, also after
    a failed start.
    """

    name: str

    def start(self, request: RecordRequest) -> AgentProcess: ...

    def recording_started(self) -> None: ...

    def results(self) -> dict[str, object]: ...

    def last_words(self) -> str: ...

    def close(self) -> None: ...
