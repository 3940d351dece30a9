"""What is constructed: a measured recording each, the one feature that is changed, and what is then true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.lab.constructed import crypto, delivery, polls, stalls
from tests.lab.constructed.draft import Draft, measured
from tests.lab.constructed.machines import idle_cpus, in_turns, side_by_side
from tests.lab.constructed.silence import silent
from wgprof.analysis.tables import LIMITS
from wgprof.lab.scenario import NOTHING, Truth
from wgprof.resources import resource_dir

TCP = Path(str(resource_dir("reports"))) / "example.wgprof"
_CAPTURED = Path(__file__).parents[2] / "captures" / "recordings"
PACED = _CAPTURED / "udp-paced-6.12.wgprof"
THREADED = _CAPTURED / "tcp-7.2.wgprof"
#: Of a measured machine: objects, and the peer that receives the stream.
_OBJECTS, _RECEIVER = 4, 4
_MS = 1_000_000


@dataclass(frozen=True)
class Construction:
    """`build` makes it with the feature changed by an amount; `less` is one from which nothing may be found."""

    name: str
    base: Path
    changed: str  # the feature, and by how much: {amount}
    inconsistent: str  # what is left as it was measured though it would have changed
    build: Callable[[Draft, float], Draft]
    amount: float
    less: float
    truth: Truth
    truth_of_less: Truth = field(default_factory=lambda: Truth(NOTHING, {}))

    def draft(self, amount: float | None = None) -> Draft:
        """The recording, marked as constructed."""
        draft = self.build(measured_once(self.base), self.amount if amount is None else amount)
        return draft.having(constructed=self.mark(amount))

    @property
    def cases(self) -> tuple[tuple[str, float, Truth], ...]:
        """Name, amount and truth: of the feature changed, and of it changed too little to be found."""
        return (self.name, self.amount, self.truth), (f"{self.name}-less", self.less, self.truth_of_less)

    @property
    def kernel(self) -> str:
        """The kernel series it was measured on."""
        return str(measured_once(self.base).manifest["target"]["settings"]["kernel"])

    def mark(self, amount: float | None = None) -> str:
        """What a reader has to know of it."""
        changed = self.changed.format(amount=self.amount if amount is None else amount)
        return f"measured was {self.base.stem}; {changed}. Not in keeping: {self.inconsistent}."


@cache
def measured_once(path: Path) -> Draft:
    """A recording, which nobody changes."""
    return measured(path)


def _truth(top: str, **also: str) -> Truth:
    return Truth(top, also)


def _tunnels(draft: Draft, copies: int) -> Draft:
    """So many measured machines in one with four times its CPUs each, so that they have time left."""
    return in_turns(side_by_side(draft, copies))


def _receivers(copies: float) -> list[int]:
    return [number for copy in range(int(copies)) for number in (_OBJECTS * copy + 2, _OBJECTS * copy + 4)]


def _converged(draft: Draft, tunnels: float) -> Draft:
    machine = idle_cpus(_tunnels(draft, 4), 1)
    return polls.on_one_cpu(machine, machine.cpus[-1], _receivers(tunnels))


def _converged_paced(draft: Draft, tunnels: float) -> Draft:
    return polls.on_one_cpu(side_by_side(draft, 12), 0, _receivers(tunnels))


def _in_vain(draft: Draft, a_packet: float) -> Draft:
    return polls.in_vain(_tunnels(draft, 12), a_packet)


def _in_vain_and_long(draft: Draft, times: float) -> Draft:
    return polls.in_vain(_tunnels(draft, 4), 1, times)


def _stalled(draft: Draft, length_ms: float) -> Draft:
    return stalls.preempted(in_turns(draft), _RECEIVER, int(length_ms * _MS))


def _stalled_unsampled(draft: Draft, length_ms: float) -> Draft:
    return stalls.without_journeys(stalls.preempted(in_turns(draft), _RECEIVER, int(length_ms * _MS), every=2))


def _workers_spin(draft: Draft, wait_ns: float) -> Draft:
    return crypto.spinning(_tunnels(draft, 6), "consumer", int(wait_ns))


def _receive_spins(draft: Draft, wait_ns: float) -> Draft:
    return crypto.spinning(_tunnels(draft, 4), "producer", int(wait_ns))


def _two_nodes(draft: Draft, factor: float) -> Draft:
    """The stream arrives on CPUs 1 and 3."""
    return crypto.on_two_nodes(in_turns(draft), (0, 2), factor)


def _two_nodes_of_eight(draft: Draft, factor: float) -> Draft:
    """Every stream arrives on the odd CPU of its two."""
    machine = _tunnels(draft, 4)
    return crypto.on_two_nodes(machine, [cpu for cpu in machine.cpus if cpu % 2 == 0], factor)


def _far_delivery(copies: int, draft: Draft, factor: float) -> Draft:
    """Each tunnel's polls on one CPU of the first node, and half of the CPUs that decrypt are the second."""
    machine = in_turns(side_by_side(draft, copies))
    for copy in range(copies):
        machine = polls.on_one_cpu(machine, 2 * copy, [_OBJECTS * copy + 2, _OBJECTS * copy + 4])
    return delivery.across_nodes(machine, [cpu for cpu in machine.cpus if cpu % 2], (2, _RECEIVER), factor)


def _one_a_poll(draft: Draft, packets: float) -> Draft:
    return polls.in_batches(_tunnels(draft, 12), packets, 1.3)


def _dear_set_up(draft: Draft, times: float) -> Draft:
    """Paced packets come alone as they are: only what a poll costs is changed."""
    return polls.in_batches(side_by_side(draft, 7), 1, times)


def _lost(copies: int, draft: Draft, begin: float) -> Draft:
    """The second machine's stream stops, as its receiver is not polled any more."""
    peer = _OBJECTS + _RECEIVER
    machine = silent(side_by_side(draft, copies), (1,), begin, 1, {peer: LIMITS["rx-queue"]})
    return polls.lost(in_turns(machine), peer, _RECEIVER, begin)


def _threads(draft: Draft, times: float) -> Draft:
    quiet = silent(side_by_side(draft, 12), range(3, 12), 0, 0.5)
    return polls.in_batches(in_turns(quiet), 4, times, begin=0.5)


def _fewer_threads(draft: Draft, packets: float) -> Draft:
    """Nine of twelve tunnels end in the middle; until then threads are up so soon that polls take few packets."""
    quiet = silent(side_by_side(draft, 12), range(3, 12), 0.5, 1)
    return polls.in_batches(in_turns(quiet), packets, 3, end=0.5)


_PACED_WAKES = "as measured, a worker is woken for nearly every paced packet; of twelve tunnels that is 0.8 CE"
_LEFT_WAITS = "waits and queue depths"
_SIDE = (
    "{} such machines side by side (journeys and histograms of the first alone), each on twice the CPUs,"
    " which take turns"
)
_ONE_MACHINE = "the machine on twice the CPUs, which take turns"

CONSTRUCTIONS: tuple[Construction, ...] = (
    Construction(
        "convergence-tcp", TCP, f"{_SIDE.format('four')};"
        " the polls of {amount:g} tunnels moved to one more CPU",
        f"{_LEFT_WAITS}, and what the polls interrupted where they ran before",
        _converged, 4, 2, _truth("S4"),
    ),
    Construction(
        "convergence-paced", PACED, "twelve such machines side by side (journeys and histograms of the first alone);"
        " the polls of {amount:g} tunnels moved to CPU 0",
        f"{_LEFT_WAITS}, and what the polls interrupted where they ran before",
        _converged_paced, 12, 6, _truth("S4", S8=_PACED_WAKES), _truth("S8"),
    ),
    Construction(
        "vain-polls", TCP, f"{_SIDE.format('twelve')};"
        " {amount:g} more polls for each packet find nothing, each as long as those measured",
        f"{_LEFT_WAITS}, and the packets that would have gathered meanwhile",
        _in_vain, 2.6, 0.5, _truth("S5"),
    ),
    Construction(
        "vain-long-polls", TCP, f"{_SIDE.format('four')};"
        " one more poll for each packet finds nothing, and takes {amount:g} times as long as those measured",
        f"{_LEFT_WAITS}, and the packets that would have gathered meanwhile",
        _in_vain_and_long, 10, 2, _truth("S5"),
    ),
    Construction(
        "preempted-worker", TCP, f"{_ONE_MACHINE};"
        " ten times a second a worker that decrypts is switched out for {amount:g} ms",
        "depths' histograms, and packets that a full queue would refuse",
        _stalled, 10, 0.1, _truth("S6"),
    ),
    Construction(
        "preempted-unsampled", TCP,
        f"{_ONE_MACHINE};"
        " five times a second a worker that decrypts is switched out for {amount:g} ms; no journeys",
        "depths' histograms, and packets that a full queue would refuse",
        _stalled_unsampled, 20, 0.1, _truth("S6"),
    ),
    Construction(
        "spinning-workers", TCP, f"{_SIDE.format('six')};"
        " a worker spins {amount:g} ns for the decrypt ring's lock, for each packet",
        _LEFT_WAITS, _workers_spin, 5000, 1500, _truth("S7"),
    ),
    Construction(
        "spinning-receive", TCP, f"{_SIDE.format('four')};"
        " the receive softirq spins {amount:g} ns for the decrypt ring's lock, for each packet",
        _LEFT_WAITS, _receive_spins, 8000, 2000, _truth("S7"),
    ),
    Construction(
        "far-decryption", TCP, f"{_ONE_MACHINE};"
        " the CPUs on which the stream does not arrive are a second node,"
        " where decryption takes {amount:g} times as long",
        _LEFT_WAITS, _two_nodes, 2.2, 1.3, _truth("S10"),
    ),
    Construction(
        "far-decryption-of-four", TCP, f"{_SIDE.format('four')};"
        " the CPUs on which no stream arrives are a second node,"
        " where decryption takes {amount:g} times as long",
        _LEFT_WAITS, _two_nodes_of_eight, 1.8, 1.05, _truth("S10"),
    ),
    Construction(
        "far-delivery", TCP, f"{_ONE_MACHINE};"
        " its polls are on one CPU, half of the others are a second node,"
        " and what was decrypted there takes {amount:g} times as long to deliver",
        _LEFT_WAITS, lambda draft, factor: _far_delivery(1, draft, factor), 3.6, 1.5, _truth("S10"),
    ),
    Construction(
        "far-delivery-of-four", TCP, f"{_SIDE.format('four')};"
        " the polls of each are on one CPU, half of the others are a second node,"
        " and what was decrypted there takes {amount:g} times as long to deliver",
        _LEFT_WAITS, lambda draft, factor: _far_delivery(4, draft, factor), 3, 1.3, _truth("S10"),
    ),
    Construction(
        "one-packet-a-poll", THREADED, f"{_SIDE.format('twelve')};"
        " a poll takes {amount:g} packet(s) on average instead of ten or more, and 1.3 times as long to set up",
        f"{_LEFT_WAITS}, and the cost of delivery, which gains from what GRO merged",
        _one_a_poll, 1, 4, _truth("S11"),
    ),
    Construction(
        "dear-set-up", PACED, "seven such machines side by side (journeys and histograms of the first alone);"
        " a poll, which delivers one packet as it was measured, takes {amount:g} times as long to set up",
        _LEFT_WAITS, _dear_set_up, 22, 10, _truth("S11"),
    ),
    Construction(
        "lost-wakeup-threaded", THREADED,
        f"{_SIDE.format('two')};"
        " from {amount:.0%} of the time on one NAPI is not polled any more, its queue is full and its sender stops",
        "the sender's retransmissions, and how the queue came to be full",
        lambda draft, begin: _lost(2, draft, begin), 0.5, 0.95, _truth("S13"),
    ),
    Construction(
        "lost-wakeup-of-four", TCP,
        f"{_SIDE.format('four')};"
        " from {amount:.0%} of the time on one NAPI is not polled any more, its queue is full and its sender stops",
        "the sender's retransmissions, and how the queue came to be full",
        lambda draft, begin: _lost(4, draft, begin), 0.33, 0.95, _truth("S13"),
    ),
    Construction(
        "many-threads", THREADED,
        f"{_SIDE.format('twelve')},"
        " of which nine begin in the middle;"
        " from then on a poll takes four packets and {amount:g} times as long to set up",
        f"{_LEFT_WAITS}, the table of moves, which this recording does not have",
        _threads, 7, 1, _truth("S15"),
    ),
    Construction(
        "short-polls", THREADED, f"{_SIDE.format('twelve')},"
        " of which nine end in the middle;"
        " until then a poll takes {amount:g} packets instead of ten or more, and three times as long to set up",
        f"{_LEFT_WAITS}, the table of moves, which this recording does not have",
        _fewer_threads, 2.2, 10, _truth("S15"),
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Construction] = {each.name: each for each in CONSTRUCTIONS}
