"""Which peers are each other's other end, on packets made up for it, and what must not break on nonsense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.simulated import InMemory, rows
from wgprof.analysis.ends import Direction, Ends, ends_between, ends_within
from wgprof.analysis.journeys import join_journeys
from wgprof.report.ends import ends_sheets, lines

S = 1_000_000_000
NAMES = ("a", "b")
#: Sending peer, receiving peer, key index, nonces.
Flow = tuple[int, int, int, range]


def machine(peers: dict[int, tuple[int, str]], flows: Sequence[Flow], sends: bool | None = None) -> InMemory:
    """A recording of peers (number -> device, public key) that saw flows: as sender, as receiver or (None) as both."""
    devices = {device for device, _ in peers.values()}
    objects: list[dict[str, Any]] = [{"object": d, "kind": "device", "device": d, "netns": d} for d in devices]
    objects += [
        {"object": p, "kind": "peer", "device": d, "netns": d, "public_key": key} for p, (d, key) in peers.items()
    ]
    events = []
    for sender, receiver, key, nonces in flows:
        for nonce in nonces:
            for point in range(1, 7):
                seen_here = sends is None or sends == (point <= 3)
                if seen_here:
                    number = sender if point <= 3 else receiver
                    when = {"end_ns": 10 * S + nonce * 1_000_000 + point * 1000, "service_ns": 500}
                    events.append({**when, "point": point, "object": number, "key_index": key, "nonce": nonce})
    intervals = [{"t_ns": 5 * S, "dt_ns": 10 * S, "sample_every": 1}]
    tables = {"objects": objects, "journeys": events, "intervals": intervals}
    return InMemory({name: rows(name, records) for name, records in tables.items()})


def two(first: dict[int, tuple[int, str]], second: dict[int, tuple[int, str]], flows: Sequence[Flow]) -> Ends | None:
    return ends_between(machine(first, flows, True), machine(second, flows, False), NAMES)


def of(ends: Ends | None, to_second: bool, tunnel: int | None = None) -> Direction:
    assert ends is not None
    found = ends.of(to_second, tunnel)
    assert found is not None
    return found


def pairs(ends: Ends | None) -> set[tuple[int, int]]:
    return {(t.first, t.second) for t in ends.tunnels} if ends is not None else set()


HUB = {11: (1, "B"), 12: (1, "C"), 13: (1, "D")}


def test_peers_are_paired_by_sessions_not_by_numbers_or_order() -> None:
    far = {21: (3, "A"), 22: (2, "A"), 23: (4, "A")}
    flows = [(11, 22, 501, range(30)), (12, 21, 502, range(50)), (13, 23, 503, range(10))]
    assert pairs(two(HUB, far, flows)) == {(11, 22), (12, 21), (13, 23)}


def test_a_rekeyed_session_is_the_same_tunnel() -> None:
    flows = [(11, 22, 501, range(30)), (11, 22, 777, range(20)), (11, 22, 778, range(5))]
    ends = two(HUB, {22: (2, "A")}, flows)
    assert ends is not None
    (tunnel,) = ends.tunnels
    assert (tunnel.sessions, tunnel.packets) == (3, 55)
    assert of(ends, True).seen.both == 55


def test_nothing_in_common_is_no_tunnel() -> None:
    far = machine({22: (2, "A")}, [(11, 22, 502, range(30))], False)
    near = machine(HUB, [(11, 22, 501, range(30))], True)
    assert ends_between(near, far, NAMES) is None
    same_key_other_time = machine({22: (2, "A")}, [(11, 22, 501, range(100, 130))], False)
    assert ends_between(near, same_key_other_time, NAMES) is None
    assert ends_within(near, join_journeys(near.table("journeys"))) is None


def test_of_two_sessions_with_the_same_index_the_one_with_fewer_packets_loses() -> None:
    far = {22: (2, "A"), 23: (4, "A")}
    flows = [(11, 22, 501, range(100)), (12, 23, 501, range(95, 110))]
    ends = two(HUB, far, flows)
    assert pairs(ends) == {(11, 22), (12, 23)}
    assert ends is not None
    assert [of(ends, True, number).seen.both for number in range(2)] == [100, 15]


def test_a_peer_has_one_other_end_whatever_the_keys_say() -> None:
    near, far = {11: (1, "B"), 12: (5, "B")}, {22: (2, "A"), 23: (4, "A")}
    flows = [(11, 22, 501, range(100)), (12, 23, 501, range(95, 110))]
    assert pairs(two(near, far, flows)) == {(11, 22), (12, 23)}


def test_what_was_sent_before_the_other_end_recorded_is_not_lost() -> None:
    near = machine(HUB, [(11, 22, 501, range(4000))], True)
    far = machine({22: (2, "A")}, [(11, 22, 501, range(2000, 4000))], False)
    far = far.with_table("intervals", [{"t_ns": 12 * S, "dt_ns": 5 * S, "sample_every": 1}])
    alone = of(ends_between(near, far, NAMES), True).seen.only_sender
    assert (alone.outside, alone.missing) == (2000, 0)


def test_a_pair_that_contradicts_the_public_keys_is_none() -> None:
    # Device 2 is known as B by peer 11; peer 12 is for C, so it cannot lead there as well.
    far = {22: (2, "A"), 23: (2, "A")}
    flows = [(11, 22, 501, range(100)), (12, 23, 502, range(3))]
    assert pairs(two(HUB, far, flows)) == {(11, 22)}
    same_key = {11: (1, "B"), 12: (5, "B")}
    assert pairs(two(same_key, {22: (2, "A"), 23: (2, "E")}, flows)) == {(11, 22), (12, 23)}


def test_packets_of_no_known_peer_are_left_out() -> None:
    assert two({0: (1, "")}, {22: (2, "A")}, [(0, 22, 501, range(30))]) is None


def test_one_recording_of_both_ends_has_each_tunnel_once_and_one_orientation() -> None:
    peers = {5: (1, "B"), 3: (2, "A"), 4: (1, "C"), 9: (3, "A")}  # devices 1 and 2, 1 and 3
    flows = [(5, 3, 501, range(30)), (3, 5, 601, range(10)), (9, 4, 602, range(7)), (4, 9, 502, range(5))]
    recording = machine(peers, flows)
    ends = ends_within(recording, join_journeys(recording.table("journeys")))
    assert ends is not None
    assert [(t.first, t.second, t.packets) for t in ends.tunnels] == [(5, 3, 40), (4, 9, 12)]
    assert (of(ends, True).seen.both, of(ends, False).seen.both) == (35, 17)
    assert [of(ends, False, tunnel).seen.both for tunnel in (0, 1)] == [10, 7]


times = st.one_of(st.integers(0, 2**63 - 1), st.sampled_from([0, 1, 2**62, 2**63 - 1]), st.integers(0, 10 * S))
few = st.integers(1, 4)
nonsense = st.builds(
    lambda objects, journeys, intervals: InMemory(
        {
            name: rows(name, records)
            for name, records in (("objects", objects), ("journeys", journeys), ("intervals", intervals))
        }
    ),
    st.lists(
        st.fixed_dictionaries(
            {"object": few, "kind": st.sampled_from(["device", "peer"]), "device": few, "netns": times}
        ),
        unique_by=lambda row: row["object"],
    ),
    st.lists(
        st.fixed_dictionaries(
            {
                "end_ns": times,
                "service_ns": st.integers(0, 2**32 - 1),
                "nonce": st.sampled_from([0, 1, 2**64 - 1]),
                "key_index": few,
                "object": few,
                "point": st.integers(1, 6),
                "flags": st.integers(0, 3),
            }
        ),
        max_size=60,
    ),
    st.lists(st.fixed_dictionaries({"t_ns": times, "dt_ns": times, "sample_every": st.integers(0, 9)}), max_size=3),
)


@settings(deadline=None, max_examples=60)
@given(nonsense, nonsense)
def test_nonsense_has_an_answer_too(first: InMemory, second: InMemory) -> None:
    for ends in (
        ends_between(first, second, NAMES),
        ends_within(first, join_journeys(first.table("journeys"))),
    ):
        if ends is not None:
            assert lines(ends)
            assert ends_sheets(ends)
