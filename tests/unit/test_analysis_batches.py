"""What polls take by how many packets they deliver, and deliveries across nodes: made journeys, known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.lab.constructed.catalogue import CONSTRUCTIONS
from tests.support.situation import FIRST_PEER, START_NS, Row, Situation, receiver
from tests.unit.test_rules_serving import outcome, serial_rx
from wgprof.analysis.batches import BUDGET, PollCost, poll_costs
from wgprof.analysis.journeys import Journeys, Sampling, join_journeys
from wgprof.analysis.laws import laws_of
from wgprof.analysis.nodes import Crossing, crossing
from wgprof.analysis.spans import Spans
from wgprof.analysis.summary import analyse, limits_line
from wgprof.analysis.window import Window
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import FOUND, NOT_DECIDABLE, NOT_FOUND

SECONDS = 6
_END_NS = START_NS + SECONDS * 1_000_000_000
WINDOW = Window(START_NS, _END_NS, START_NS, _END_NS)
FIRST_NS, FURTHER_NS, GAP_NS = 100_000, 20_000, 1_000_000
NODES = {0: 0, 1: 0, 2: 1, 3: 1}


def spans() -> Spans:
    starts = START_NS + np.arange(SECONDS) * 1_000_000_000
    return Spans(starts, np.arange(SECONDS), np.ones(SECONDS), WINDOW.end_ns, 0.0)


def polled(sizes: list[int], slow: dict[int, int] | None = None) -> Journeys:
    return join_journeys(pd.DataFrame(polls_of(sizes, slow)))


def polls_of(sizes: list[int], slow: dict[int, int] | None = None) -> list[Row]:
    """Polls of so many packets; the last packet of each carries what it takes for all.  `slow`: more ns, by poll."""
    events: list[Row] = []
    nonce = 0
    for number, size in enumerate(sizes):
        at = START_NS + number * GAP_NS
        for place in range(size):
            took = FURTHER_NS if place < size - 1 else FIRST_NS
            took += (slow or {}).get(number, 0) if place == size - 1 else 0
            at += took
            events.append(_event(6, nonce, at, took, cpu=1))
            nonce += 1
    return events


def _event(point: int, nonce: int, end_ns: int, service_ns: int, cpu: int) -> Row:
    return {"point": point, "nonce": nonce, "key_index": 7, "object": FIRST_PEER, "flags": 0,
            "end_ns": end_ns, "service_ns": service_ns, "cpu": cpu}  # fmt: skip


def sampling(every: int = 1) -> Sampling:
    return Sampling(pd.DataFrame({"t_ns": [START_NS], "sample_every": [every]}), "")


def cost_of(journeys: Journeys, every: int = 1) -> PollCost | None:
    return poll_costs(journeys, sampling(every), WINDOW).get(FIRST_PEER)


def test_a_further_packet_of_a_poll_is_told_from_the_first() -> None:
    cost = cost_of(polled([1, 1, 2, 1, 3] * 40))
    assert cost is not None
    assert (cost.polls, cost.several, cost.first_ns) == (200, 80, FIRST_NS)
    assert cost.further_ns.value == FURTHER_NS
    assert (cost.packet_ns(1).value, cost.packet_ns(2).value) == (FIRST_NS, (FIRST_NS + FURTHER_NS) / 2)
    assert cost.packet_ns(BUDGET, 10).value == pytest.approx((FIRST_NS + 63 * FURTHER_NS) / 64 + 10)


def test_a_few_polls_that_were_interrupted_do_not_change_what_a_packet_adds() -> None:
    cost = cost_of(polled([1, 2] * 60, slow=dict.fromkeys(range(1, 30, 4), 5000000)))
    assert cost is not None and cost.further_ns.value == FURTHER_NS
    assert cost.further_ns.low is not None and cost.further_ns.high is not None
    assert cost.further_ns.low <= FURTHER_NS <= cost.further_ns.high


def test_polls_that_were_sampled_in_part_or_are_few_say_nothing() -> None:
    assert cost_of(polled([1, 2] * 60), every=2) is None
    assert cost_of(polled([1] * 100 + [2] * 29)) is None
    dear_alone = dict.fromkeys(range(0, 120, 2), 200_000)
    assert cost_of(polled([1, 2] * 60, slow=dear_alone)) is None, "other packets come alone than together"
    assert cost_of(polled([4] * 100)) is None, "without polls of one packet the first is not told from the others"


def crossed(slow_node: int = 0, far_ns: int = 0) -> Crossing | None:
    """Each packet decrypted on a CPU of either node, delivered on either; node 1 slower by `slow_node` ns."""
    events = []
    for nonce in range(2_000):
        at = START_NS + nonce * 2_900_000
        decrypt, deliver = nonce % 4, nonce // 4 % 4
        node, before = NODES[deliver], NODES[decrypt]
        took = 1_000 + slow_node * node + far_ns * (node != before)
        events += [_event(4, nonce, at, 100, 0), _event(5, nonce, at + 10_000, 5_000, decrypt)]
        events.append(_event(6, nonce, at + 20_000 + took, took, deliver))
    return crossing(join_journeys(pd.DataFrame(events)), NODES, spans(), WINDOW)


def test_a_delivery_that_is_slower_across_nodes_is_seen() -> None:
    found = crossed(far_ns=500)
    assert found is not None and found.slower is not None
    assert (found.journeys, found.far, found.compared) == (2_000, 1_000, 1_000)
    assert found.slower.value == pytest.approx(1.5) and found.far_ns == pytest.approx(1_500)


def test_a_node_of_slower_cpus_is_not_a_distant_one() -> None:
    found = crossed(slow_node=4_000)
    assert found is not None and found.slower is not None and found.slower.value == pytest.approx(1.0)


def test_one_node_has_nothing_to_cross() -> None:
    assert crossing(polled([1] * 100), {0: 0, 1: 0}, spans(), WINDOW) is None


def test_s10_does_not_say_no_where_deliveries_were_not_sampled() -> None:
    situation = receiver(nodes=2)
    assert outcome(situation, "S10").state == NOT_FOUND
    found = outcome(situation.forget("journeys"), "S10")
    assert (found.state, found.needs) == (NOT_DECIDABLE, ("journeys",))


def test_s10_by_delivery_says_what_to_bind() -> None:
    construction = next(each for each in CONSTRUCTIONS if each.name == "far-delivery")
    recording = construction.draft().recording()
    diagnosis = diagnose(analyse(recording), recording)
    (found,) = (each for each in diagnosis.outcomes if each.id == "S10")
    assert found.state == FOUND and found.findings[0].where.startswith("rx.deliver")
    assert any("taskset" in step.command for step in found.findings[0].steps)


def test_the_cap_of_a_napi_with_small_polls_is_called_a_lower_bound() -> None:
    small, full = serial_rx(us=4.0, poll_size=2), serial_rx(us=4.0)
    figures = {e.figure.partition(": ")[2]: e.value for e in outcome(small, "S2").evidence}
    assert "cap with as many packets a poll as now: at least" in figures and "cap" not in figures
    assert figures[f"cap with polls of {BUDGET} packets"] is None, "nothing was sampled"
    assert "cap" in {e.figure.partition(": ")[2] for e in outcome(full, "S2").evidence}
    for situation, least in ((small, True), (full, False)):
        analysis = analyse(situation.recording())
        (napi,) = (s for s in analysis.servers if s.kind == "rx.napi")
        assert napi.cap_is_least is least and ("no less than" in napi.caps) is least
        assert analysis.headline is not None
        assert ("no less than" in limits_line(analysis.headline)) is least


def test_s2_says_what_full_polls_would_give_where_polls_say_so() -> None:
    situation = serial_rx(us=4.0, poll_size=2).forget("journeys")
    assert "with polls of" not in outcome(situation, "S2").reason
    found = outcome(situation.events(polls_of([1, 2] * 60)), "S2")
    assert f"with polls of {BUDGET} packets it could deliver" in found.reason
    figures = {e.figure.partition(": ")[2]: e for e in found.evidence}
    assert figures["what each further packet of a poll adds"].value == FURTHER_NS
    assert figures[f"cap with polls of {BUDGET} packets"].n == 60


def test_the_cap_with_full_polls_is_what_a_saturated_napi_delivers() -> None:
    """Half load: one packet a poll, now and then two."""
    situation = Situation(seconds=SECONDS).stage("rx.receive", 1_000, 1.0).stage("rx.deliver", 1_000, 97.0, cpu=1)
    situation.runs("rx.napi", 960, 1_000, 0.0, cpu=1)
    recording = situation.recording()
    analysis = analyse(recording)
    cost = cost_of(polled([1] * 1_000 + [2] * 50))
    assert cost is not None and analysis.spans is not None
    stages, executions, cpus = (recording.table(name) for name in ("stages", "executions", "cpus"))
    laws = laws_of(
        stages, executions, cpus, analysis.servers, analysis.cores, analysis.names, analysis.spans, {FIRST_PEER: cost}
    )
    (law,) = laws.of("rx.napi")
    assert law.cap_pps is not None and law.full_cap_pps is not None
    assert law.cap_pps.value == pytest.approx(1e9 / 97_000, rel=0.01)
    assert law.full_cap_pps.value == pytest.approx(1e9 / ((FIRST_NS + 63 * FURTHER_NS) / 64), rel=0.01)
