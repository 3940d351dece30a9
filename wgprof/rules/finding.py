"""What a rule says: a finding with its evidence, or why there is none.

Every rule ends in one `Outcome`.  Values are plain numbers in the unit named beside them, so that a
screen can format them and a test can compare them; nothing here knows how it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

#: How a rule can end.
FOUND, NOT_FOUND, NOT_DECIDABLE, EXPLAINED = "found", "not found", "not decidable", "explained away"
#: What a finding is about: something in WireGuard that holds traffic up or wastes CPU; the healthy limit of this
#: machine; or a limit that lies outside WireGuard.
DEFECT, CEILING, ELSEWHERE = "defect", "ceiling", "elsewhere"
AT_LEAST, AT_MOST = ">=", "<="


@dataclass(frozen=True)
class Evidence:
    """One figure.  `low` and `high` are its 95 % interval; None where there are too few spans of time for one.

    With a threshold the figure speaks for the signature when it is `relation` the threshold; `source` says where the
    threshold comes from.  Without one it is there to be read.
    """

    figure: str
    value: float | None  # None: not known in this recording
    unit: str  # share, CE, packets, hand-offs, packets/s, Mbit/s, ns, ratio, count, 1/s or empty
    n: int = 0  # observations behind it; 0: not counted
    low: float | None = None
    high: float | None = None
    relation: str = ""  # AT_LEAST, AT_MOST, or empty without a threshold
    threshold: float | None = None
    source: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the threshold is reached; None without a threshold or a value."""
        if self.value is None or self.threshold is None:
            return None
        return self.value >= self.threshold if self.relation == AT_LEAST else self.value <= self.threshold

    @property
    def sure(self) -> bool | None:
        """Whether the whole interval is on the side `met` says; None without an interval."""
        if self.met is None or self.threshold is None or self.low is None or self.high is None:
            return None
        above, below = self.low >= self.threshold, self.high <= self.threshold
        return (
            (above if self.met else self.high < self.threshold)
            if self.relation == AT_LEAST
            else (below if self.met else self.low > self.threshold)
        )

    @property
    def closeness(self) -> float | None:
        """How near the value is to the threshold: 1 when reached, 0.5 when it is half of it (or twice, of a most)."""
        if self.met is None or self.value is None or self.threshold is None:
            return None
        if self.met:
            return 1.0
        part, whole = (self.value, self.threshold) if self.relation == AT_LEAST else (self.threshold, self.value)
        return min(max(part / whole, 0.0), 1.0) if whole > 0 and math.isfinite(part / whole) else 0.0


@dataclass(frozen=True)
class Severity:
    """What it costs.  CE is CPU time that goes there; None where it is not a matter of CPU or of throughput."""

    ce: float | None = None  # CPU seconds per second
    share_of_busy: float | None = None  # the same as a share of all CPUs' non-idle time
    lost_pps: float | None = None  # packets/s that are lost or could be carried besides
    lost_mbit_s: float | None = None


@dataclass(frozen=True)
class Bound:
    """The most that removing it can give: the throughput at which the next thing is the limit."""

    factor: float | None  # of today's throughput, at most; 1: nothing; None: not known
    pps: float | None = None
    next_limit: str = ""  # what is the limit then
    law: str = ""  # the law behind it, with its source


@dataclass(frozen=True)
class Step:
    """Something to do next; `command` is exact, or empty where there is none."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Finding:
    """A bottleneck, or a waste, with its proof."""

    id: str  # S1 .. S16
    name: str  # of the signature, part of the product: rss-funnel ..
    kind: str  # DEFECT, CEILING or ELSEWHERE
    claim: str  # one sentence
    where: str  # stage -> server -> core
    evidence: tuple[Evidence, ...]
    severity: Severity
    bound: Bound
    steps: tuple[Step, ...]
    refuted_by: str  # what would show that it is wrong
    figures: tuple[str, ...]  # names of the figures that show it: pipeline, packet_time, cores, queues
    object: int | None = None  # the peer or device it is about, None: the machine
    cpu: int | None = None
    limits: bool = False  # it is what limits throughput now; else a waste or a loss beside the limit
    tainted_by: tuple[str, ...] = ()  # failed checks, and too little data: why to doubt it

    @property
    def doubtful(self) -> bool:
        """Whether it rests on lossy, contradicting or too little data."""
        return bool(self.tainted_by)


@dataclass(frozen=True)
class Outcome:
    """How one rule ended."""

    id: str
    name: str
    state: str  # FOUND, NOT_FOUND, NOT_DECIDABLE or EXPLAINED
    reason: str  # one sentence: the claim, what was missing to it, what it needs, or why another rule explains it
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()  # worst first; kept when explained away
    explained_by: str = ""  # id of the rule that explains it away
    needs: tuple[str, ...] = ()  # tables or columns that are missing, when not decidable

    @property
    def closest(self) -> Evidence | None:
        """The figure that decided against it: of those with a threshold the one farthest from it."""
        judged = [e for e in self.evidence if e.closeness is not None]
        return min(judged, key=lambda e: e.closeness or 0.0, default=None)


@dataclass(frozen=True)
class Diagnosis:
    """All outcomes of a recording, in the order S1 .. S16."""

    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def findings(self) -> list[Finding]:
        """What was found and not explained away, worst first."""
        return ranked([f for outcome in self.outcomes if outcome.state == FOUND for f in outcome.findings])

    @property
    def top(self) -> Finding | None:
        """The finding to act on first."""
        return next(iter(self.findings), None)

    def of(self, state: str) -> list[Outcome]:
        """The outcomes of one kind, in order."""
        return [outcome for outcome in self.outcomes if outcome.state == state]


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """What limits throughput first, then by throughput lost, then by CPU time."""
    return sorted(
        findings,
        key=lambda f: (not f.limits, -(f.severity.lost_pps or 0.0), -(f.severity.ce or 0.0), int(f.id[1:])),
    )
