"""Journeys: the join must be right for any interleaving, and a loss must not pass for an edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.simulated import rows
from wgprof.analysis.journeys import Sampling, join_journeys, journey_counts
from wgprof.analysis.tables import DIRECTIONS
from wgprof.analysis.waits import wait_rows, weighted_quantiles
from wgprof.analysis.window import Window

S = 1_000_000_000
WINDOW = Window(10 * S, 20 * S, 10 * S, 20 * S)


def sampled(*every: int) -> Sampling:
    """A sampling whose N changes once a second."""
    intervals = [{"t_ns": (10 + at) * S, "dt_ns": S, "sample_every": n} for at, n in enumerate(every)]
    return Sampling(rows("intervals", intervals[::-1]), "")


ALL = sampled(*[1] * 10)


@dataclass(frozen=True)
class Packet:
    direction: int
    peer: int
    key_index: int
    nonce: int
    times: tuple[tuple[int, int], ...]  # start and end of each stage
    seen: tuple[bool, bool, bool]

    @property
    def name(self) -> tuple[int, int, int, int]:
        return self.direction, self.peer, self.key_index, self.nonce

    def events(self) -> list[dict[str, Any]]:
        common = {"object": self.peer, "key_index": self.key_index, "nonce": self.nonce}
        return [
            {**common, "point": self.direction * 3 + step + 1, "end_ns": end, "service_ns": end - start}
            for step, ((start, end), seen) in enumerate(zip(self.times, self.seen, strict=True))
            if seen
        ]


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    cuts = sorted(draw(st.lists(st.integers(12 * S, 18 * S), min_size=6, max_size=6)))
    # Few values on purpose: the same nonce in both directions, at several peers and keys, is the hard case.
    return Packet(
        draw(st.integers(0, 1)),
        draw(st.sampled_from([1, 2, 65535])),
        draw(st.sampled_from([0, 1, 2**32 - 1])),
        draw(st.sampled_from([0, 1, 64, 2**40, 2**62, 2**64 - 1])),
        ((cuts[0], cuts[1]), (cuts[2], cuts[3]), (cuts[4], cuts[5])),
        draw(st.sampled_from([(True, True, True), (True, True, False), (True, False, True), (False, True, True)])),
    )


@given(st.lists(packets(), unique_by=lambda p: p.name, max_size=30), st.randoms(use_true_random=False))
def test_join_finds_every_packet_in_any_order(sampled: list[Packet], random: object) -> None:
    events = [event for packet in sampled for event in packet.events()]
    random.shuffle(events)  # type: ignore[attr-defined]
    joined = join_journeys(rows("journeys", events))
    assert len(joined) == len(sampled)
    truth = {packet.name: packet for packet in sampled}
    for i in range(len(joined)):
        name = int(joined.direction[i]), int(joined.object[i]), int(joined.key_index[i]), int(joined.nonce[i])
        packet = truth.pop(name)
        assert tuple(joined.seen[:, i]) == packet.seen
        for step in range(3):
            if packet.seen[step]:
                assert (joined.start_ns[step, i], joined.end_ns[step, i]) == packet.times[step]
    assert not truth


@given(st.lists(packets(), unique_by=lambda p: p.name, min_size=1, max_size=30))
def test_waits_are_the_gaps_between_the_stages(sampled: list[Packet]) -> None:
    joined = join_journeys(rows("journeys", [event for packet in sampled for event in packet.events()]))
    waits = {(w.direction, w.wait, w.object): w for w in wait_rows(joined, ALL, WINDOW)}
    for number, direction in enumerate(DIRECTIONS):
        names = {"tx": ("tx.encrypt.wait", "tx.send.wait"), "rx": ("rx.decrypt.wait", "rx.deliver.wait")}[direction]
        for gap, wait in enumerate(names):
            mine = [p for p in sampled if p.direction == number and p.seen[gap] and p.seen[gap + 1]]
            gaps = [p.times[gap + 1][0] - p.times[gap][1] for p in mine]
            row = waits[direction, wait, None]
            assert row.journeys == len(gaps)
            if gaps:
                assert row.mean_ns is not None and np.isclose(row.mean_ns, np.mean(gaps))
                assert row.max_ns == max(gaps)
                assert row.p50_ns == sorted(gaps)[(len(gaps) - 1) // 2]


def packet(times: tuple[tuple[float, float], ...], seen: tuple[bool, bool, bool], nonce: int = 0) -> Packet:
    in_ns = tuple((int(a * S), int(b * S)) for a, b in times)
    return Packet(0, 2, 7, nonce, in_ns, seen)


MIDDLE = ((15.0, 15.001), (15.1, 15.101), (15.2, 15.201))
START = ((9.9, 9.95), (10.1, 10.101), (10.2, 10.201))
END = ((19.5, 19.501), (19.6, 19.601), (20.1, 20.2))


def endings(*sampled: Packet, failed: bool = False) -> tuple[int, int, int, int]:
    events = [event for p in sampled for event in p.events()]
    if failed:
        events[-1]["flags"] = 2
    (tx, _) = journey_counts(join_journeys(rows("journeys", events)), ALL, WINDOW)
    assert tx.journeys == len(sampled)
    return tx.complete, tx.failed, tx.cut, tx.lost


def test_a_journey_without_its_end_is_lost_only_away_from_the_edges() -> None:
    assert endings(packet(MIDDLE, (True, True, True))) == (1, 0, 0, 0)
    assert endings(packet(MIDDLE, (True, True, False))) == (0, 0, 0, 1)
    assert endings(packet(MIDDLE, (True, False, False))) == (0, 0, 0, 1)
    assert endings(packet(MIDDLE, (False, True, True))) == (0, 0, 0, 1)
    assert endings(packet(END, (True, True, False))) == (0, 0, 1, 0)
    assert endings(packet(START, (False, True, True))) == (0, 0, 1, 0)
    assert endings(packet(START, (False, False, True))) == (0, 0, 1, 0)


def test_a_hole_in_the_middle_is_lost_even_at_an_edge() -> None:
    assert endings(packet(START, (True, False, True))) == (0, 0, 0, 1)
    assert endings(packet(END, (True, False, True))) == (0, 0, 0, 1)


def test_a_packet_wireguard_dropped_is_not_a_loss() -> None:
    assert endings(packet(MIDDLE, (True, True, False)), failed=True) == (0, 1, 0, 0)


def test_a_replayed_packet_keeps_its_first_times() -> None:
    first = packet(MIDDLE, (True, True, True)).events()
    again = [{**event, "end_ns": event["end_ns"] + S} for event in first[:2]]
    joined = join_journeys(rows("journeys", [*again, *first]))
    assert len(joined) == 1
    assert joined.end_ns[0, 0] == first[0]["end_ns"]


def test_waits_below_zero_are_zero() -> None:
    early = packet(((15.0, 15.002), (15.001, 15.101), (15.2, 15.201)), (True, True, True))
    assert join_journeys(rows("journeys", early.events())).waits_ns(0, np.array([0])).tolist() == [0]


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 9)), max_size=60))
def test_journeys_are_found_by_direction_and_peer(events: list[tuple[int, int, int]]) -> None:
    joined = join_journeys(rows("journeys", [{"point": p, "object": o, "nonce": n} for p, o, n in events]))
    for direction in ("tx", "rx"):
        mine = joined.of(direction)
        assert sorted(joined.rows_of(direction)) == np.flatnonzero(mine).tolist()
        assert joined.peers(direction) == np.unique(joined.object[mine]).tolist()
        for peer in range(7):
            assert joined.rows_of(direction, [peer]).tolist() == np.flatnonzero(mine & (joined.object == peer)).tolist()


def test_a_journey_stands_for_the_packets_its_points_would_have_taken() -> None:
    times = {0: (10.5, 10.6), 12: (10.9, 11.1), 24: (11.9, 12.1), 48: (12.5, 30.0)}
    events = [
        {"point": point, "nonce": nonce, "end_ns": int(when * S)}
        for nonce, both in times.items()
        for point, when in zip((1, 3), both, strict=True)
    ]
    joined = join_journeys(rows("journeys", events))
    weights = sampled(4, 6, 16).weights(joined, 0, 2, np.arange(len(joined)))
    assert dict(zip(joined.nonce.tolist(), weights, strict=True)) == {0: 4, 12: 12, 24: 48, 48: 16}


def test_a_journey_cut_by_a_change_of_the_sampling_is_not_lost() -> None:
    def lost(sampling: Sampling, nonce: int) -> int:
        events = packet(MIDDLE, (True, True, False), nonce).events()
        (tx, _) = journey_counts(join_journeys(rows("journeys", events)), sampling, WINDOW)
        assert tx.cut + tx.lost == 1
        return tx.lost

    changing = sampled(8, 8, 8, 8, 8, 8, 16, 16, 16, 16)  # from 16 s on; the packet is at 15 s
    assert lost(changing, 8) == 0
    assert lost(changing, 32) == 1  # both samplings would have taken it
    assert lost(sampled(*[8] * 10), 8) == 1
    assert lost(sampled(8, 8, 8, 8, 8, 8, 8, 8, 8, 16), 8) == 1  # that was long after


@pytest.mark.parametrize(("seconds", "lost"), [(0.3, 0), (3.0, 1)])
def test_a_packet_that_waited_while_the_sampling_became_finer_has_no_beginning(seconds: float, lost: int) -> None:
    """Its last step alone was sampled: it entered when a coarser N held, if that was not long ago."""
    intervals = [
        {"t_ns": 10 * S + at * S // 10, "dt_ns": S // 10, "sample_every": 8 if at < 40 else 2} for at in range(100)
    ]
    after = Packet(0, 1, 7, 6, ((13 * S, 13 * S + 1), (13 * S + 2, 13 * S + 3), (0, 14 * S + int(seconds * S))),
                   (False, False, True))  # fmt: skip
    joined = join_journeys(rows("journeys", after.events()))
    (tx, _) = journey_counts(joined, Sampling(rows("intervals", intervals), ""), WINDOW)
    assert (tx.lost, tx.cut) == (lost, 1 - lost)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 5)), min_size=1, max_size=50), st.floats(0, 1))
def test_weighted_quantiles_equal_those_of_the_repeated_values(pairs: list[tuple[int, int]], wanted: float) -> None:
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    repeated = np.sort(np.repeat(values, weights))
    rank = max(int(np.ceil(wanted * repeated.size * (1 - 1e-12))), 1)
    assert weighted_quantiles(values, weights.astype(float), (wanted,)) == [repeated[rank - 1]]


def test_no_events_are_no_journeys() -> None:
    joined = join_journeys(rows("journeys", []))
    assert len(joined) == 0
    assert [c.journeys for c in journey_counts(joined, ALL, WINDOW)] == [0, 0]
    assert all(w.mean_ns is None for w in wait_rows(joined, ALL, WINDOW))
