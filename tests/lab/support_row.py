"""One row of the support matrix: what a recording of one combination says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wgprof.analysis.checks import FAIL, OK, UNKNOWN
from wgprof.analysis.summary import Analysis, analyse
from wgprof.recording.reader import Recording, open_recording

LAST = {"tx": "tx.send", "rx": "rx.deliver"}
#: Checks with a column of their own; the others are named if they fail.  What the host takes away is not wgprof's.
OWN_COLUMN = ("conservation", "interface counters", "Little's law", "losses", "probes", "journeys")


@dataclass(frozen=True)
class Case:
    """What is recorded; an empty `module` is the distribution's."""

    kernel: str
    module: str
    tunnels: int
    threaded: bool

    @property
    def name(self) -> str:
        napi = "threaded" if self.threaded else "softirq"
        return f"{self.kernel}-{self.module or 'distribution'}-{self.tunnels}-{napi}"

    def options(self) -> list[str]:
        """Of `wgprof record`."""
        module = ["--module", self.module] if self.module else []
        napi = "--threaded" if self.threaded else "--no-threaded"
        return ["--kernel", self.kernel, "--tunnels", str(self.tunnels), napi, *module]

    def order(self) -> tuple[str, int, bool]:
        return self.module, self.tunnels, self.threaded


@dataclass(frozen=True)
class Verdicts:
    """How the checks of a name ended; `worst` is the largest value of those that were decided."""

    ok: int = 0
    failed: int = 0
    open: int = 0
    worst: float | None = None


@dataclass(frozen=True)
class Row:
    """A result.  With an `error` there was no recording."""

    case: Case
    error: str = ""
    release: str = ""
    attached: int = 0
    missing: dict[str, str] = field(default_factory=dict)  # point -> why
    threaded: list[int] = field(default_factory=list)  # as the peers' NAPIs were seen: 0, 1, -1 unknown
    packets: dict[str, int] = field(default_factory=dict)  # direction -> what left its last stage
    conservation: Verdicts = field(default_factory=Verdicts)
    interfaces: Verdicts = field(default_factory=Verdicts)
    little: Verdicts = field(default_factory=Verdicts)
    recorder_losses: dict[str, int] = field(default_factory=dict)  # by cause
    journeys: dict[str, int] = field(default_factory=dict)  # complete, lost
    packet_losses: dict[str, int] = field(default_factory=dict)  # by cause
    failed: list[str] = field(default_factory=list)  # other checks that failed, or any in words

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Row:
        """Of what `asdict` made."""
        nested = {name: Verdicts(**value[name]) for name in ("conservation", "interfaces", "little")}
        return cls(**{**value, **nested, "case": Case(**value["case"])})

    @property
    def good(self) -> bool:
        """Whether the recording is there and agrees with itself."""
        decided = (self.conservation, self.interfaces, self.little)
        missed = bool(self.recorder_losses) or bool(self.journeys.get("lost"))
        return not self.error and not missed and not any(v.failed for v in decided)

    @property
    def summary(self) -> str:
        """In a few words."""
        if self.error:
            return f"no recording: {self.error}"
        return (
            f"{self.attached} points, {sum(self.packets.values()):,} packets,"
            f" conservation {self.conservation.ok} ok {self.conservation.failed} failed,"
            f" Little's law {self.little.ok} ok {self.little.failed} failed,"
            f" {sum(self.recorder_losses.values()):,} lost by the recorder"
        )


def examined(case: Case, path: Path) -> Row:
    """The row of a recording."""
    with open_recording(path) as recording:
        return _row(case, recording, analyse(recording))


def _row(case: Case, recording: Recording, analysis: Analysis) -> Row:
    probes = recording.table("probes").to_dict("records")
    missing = {str(p["point"]): str(p["error"]) or "no symbol fits" for p in probes if p["kind"] == "missing"}
    stages = recording.table("stages")
    losses: dict[str, int] = {}
    for loss in analysis.ledger.losses:
        if not loss.among:
            losses[loss.cause] = losses.get(loss.cause, 0) + loss.packets
    own: dict[str, int] = {}
    for missed in analysis.ledger.recorder:
        if missed.cause != "lost-journey":
            name = missed.cause if missed.count is not None else f"{missed.cause} ({missed.where})"
            own[name] = own.get(name, 0) + (missed.count or 0)
    return Row(
        case,
        release=str(recording.manifest["machine"]["kernel"]),
        attached=len(probes) - len(missing),
        missing=missing,
        threaded=sorted({t.threaded for t in analysis.names.things.values() if t.kind == "peer"}),
        packets={way: int(stages[stages["stage"] == last]["packets"].sum()) for way, last in LAST.items()},
        conservation=_verdicts(analysis, "conservation"),
        interfaces=_verdicts(analysis, "interface counters"),
        little=_verdicts(analysis, "Little's law"),
        recorder_losses=own,
        journeys={
            "complete": sum(count.complete for count in analysis.journeys),
            "lost": sum(count.lost for count in analysis.journeys),
        },
        packet_losses=losses,
        failed=[f"{c.name}, {c.subject}: {c.detail}" for c in analysis.failed if c.name not in OWN_COLUMN],
    )


def _verdicts(analysis: Analysis, name: str) -> Verdicts:
    mine = [check for check in analysis.checks if check.name == name]
    values = [abs(check.value) for check in mine if check.value is not None and check.verdict != UNKNOWN]
    verdicts = [check.verdict for check in mine]
    return Verdicts(verdicts.count(OK), verdicts.count(FAIL), verdicts.count(UNKNOWN), max(values, default=None))
