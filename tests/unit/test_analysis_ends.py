"""Both ends of a tunnel: the halves find each other by what is on the wire, and two clocks tell the same as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.simulated import rows
from tests.support.two_ends import Clock, coarser, half, namespaces, only_sent, without
from wgprof.analysis.delay import NETWORK, RECEIVER, SENDER, Part, Split
from wgprof.analysis.ends import Direction, Ends, ends_between, ends_within
from wgprof.analysis.journeys import join_journeys
from wgprof.analysis.offset import ONE_WAY
from wgprof.analysis.tables import Tables, ints
from wgprof.recording.reader import Recording, open_recording

S = 1_000_000_000
NAMES = ("a", "b")

#: Sampled by multiples of N, of which a test can make coarser ones.
MULTIPLES = Path(__file__).parents[1] / "captures" / "recordings" / "multiples-6.12.wgprof"


@pytest.fixture(scope="module")
def example() -> Recording:
    """A recording of the lab: real packets, both ends on one clock."""
    return open_recording(MULTIPLES)


def within(recording: Tables) -> Ends:
    ends = ends_within(recording, join_journeys(recording.table("journeys")))
    assert ends is not None
    return ends


def between(first: Tables, second: Tables) -> Ends:
    ends = ends_between(first, second, NAMES)
    assert ends is not None
    return ends


def direction(ends: Ends, to_second: bool, tunnel: int | None = None) -> Direction:
    found = ends.of(to_second, tunnel)
    assert found is not None
    return found


def known(split: Split) -> list[Part]:
    return [part for part in (*split.parts, split.whole) if part.mean_ns is not None]


def test_one_clock_has_no_offset_and_no_uncertainty(example: Recording) -> None:
    ends = within(example)
    assert (ends.same_clock, ends.windows, len(ends.tunnels)) == (True, [], 1)
    for to_second in (True, False):
        split = direction(ends, to_second).split
        assert split.uncertainty_ns == 0
        assert [part.side for part in split.parts] == [SENDER] * 5 + [NETWORK] + [RECEIVER] * 5
        assert split.whole.mean_ns is not None and split.whole.mean_ns > 0
        assert np.isclose(sum(part.mean_ns or 0 for part in split.parts), split.whole.mean_ns)
        assert np.isclose(sum(part.share or 0 for part in split.parts), 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 10**16),
    st.integers(0, 10**16),
    st.floats(-100e-6, 100e-6),
    st.sampled_from([1, 14, 56, 7 << 6]),
    st.sampled_from([1, 28]),
    st.floats(0, 0.5),
    st.integers(0, 2**32),
)
def test_two_clocks_tell_what_one_tells(
    example: Recording,
    first_ns: int,
    second_ns: int,
    drift: float,
    first_every: int,
    second_every: int,
    loss: float,
    seed: int,
) -> None:
    clocks = Clock(first_ns), Clock(second_ns, drift, example.manifest["clock"]["start_ns"])
    left, right = namespaces(example)
    # What is lost and not sampled is the same in the truth, which is on one clock.
    lost = np.random.default_rng(seed).random(1 << 20) < loss
    kept = without(example, lost[example.table("journeys")["nonce"].to_numpy(dtype=np.int64) % lost.size])
    true = within(coarser(kept, int(np.lcm(first_every, second_every))))
    first = coarser(half(kept, left, clocks[0]), first_every)
    second = coarser(half(kept, right, clocks[1], renumber=100), second_every)
    ends = between(first, second)
    (window,) = ends.windows
    middle_ns = np.array([(window.start_ns + window.end_ns) // 2 - first_ns])
    true_ns = int((clocks[1].read(middle_ns) - clocks[0].read(middle_ns))[0])
    assert window.offset_ns is not None and window.uncertainty_ns is not None
    assert window.drift_ppm is not None and window.drift_uncertainty_ppm is not None
    assert abs(window.offset_ns - true_ns) <= window.uncertainty_ns
    assert abs(window.drift_ppm - drift * 1e6) <= window.drift_uncertainty_ppm + 1e-6
    stretch = 2 * window.drift_uncertainty_ppm * 1e-6
    for to_second in (True, False):
        one, two = (direction(e, to_second).split for e in (true, ends))
        assert two.packets == one.packets and two.uncertainty_ns is not None
        for before, after in zip(known(one), known(two), strict=True):
            assert (before.side, before.step) == (after.side, after.step)
            crosses = before.step in {"tx.send", NETWORK} or not before.side
            for name in ("mean_ns", "p50_ns", "p99_ns"):
                one_ns, two_ns = getattr(before, name), getattr(after, name)
                allowed_ns = 4 + stretch * one_ns + (two.uncertainty_ns if crosses else 0)
                assert abs(two_ns - one_ns) <= allowed_ns, (before.step, name)


def halves(example: Recording) -> tuple[Recording, Recording]:
    left, right = namespaces(example)
    start_ns = example.manifest["clock"]["start_ns"]
    return half(example, left, Clock(9 * S)), half(example, right, Clock(6 * S, 60e-6, start_ns), renumber=7)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.01, 0.9), st.integers(0, 2**32))
def test_every_packet_lost_on_the_way_is_counted(example: Recording, share: float, seed: int) -> None:
    first, second = halves(coarser(example, 28))  # so that N never changes
    before = direction(between(first, second), True).seen
    assert (before.only_sender.missing, before.loss) == (0, 0)
    journeys = second.table("journeys")
    nonces = np.unique(journeys["nonce"][journeys["point"] == 4].to_numpy(dtype=np.int64))
    lost = nonces[np.random.default_rng(seed).random(nonces.size) < share]
    gone = np.isin(journeys["nonce"].to_numpy(dtype=np.int64), lost) & (ints(journeys, "point") > 3)
    seen = direction(between(first, without(second, gone)), True).seen
    assert seen.both == before.both - lost.size
    alone = seen.only_sender
    assert alone.missing + alone.outside == lost.size + before.only_sender.outside
    assert (alone.not_sampled, alone.undecided) == (0, 0)
    # The traffic ends within a second of the recording's end; what was sent then cannot be judged.
    assert alone.missing > 0.8 * lost.size - 20
    assert seen.loss == alone.missing / (seen.both + alone.missing)


def test_a_recorder_that_lost_events_does_not_accuse_the_network(example: Recording) -> None:
    first, second = halves(example)
    journeys = second.table("journeys")
    gone = np.asarray((journeys["point"] > 3) & (journeys["nonce"] % 3 == 0))
    lossy = without(second, gone)
    tables = {name: lossy.table(name) for name in ("journeys", "objects", "intervals", "probes")}
    tables["losses"] = rows("losses", [{"cause": "ring-full", "where": "events", "count": 1}])
    seen = direction(between(first, Recording.from_tables(lossy.manifest, tables)), True).seen
    assert seen.only_sender.missing == 0 and seen.only_sender.undecided > 1000


def test_what_the_other_end_does_not_sample_is_not_lost(example: Recording) -> None:
    first, second = halves(example)
    all_ = direction(between(first, second), True).seen
    for ends, who, other in (
        (between(first, coarser(second, 56)), "only_sender", "only_receiver"),
        (between(coarser(first, 56), second), "only_receiver", "only_sender"),
    ):
        seen = direction(ends, True).seen
        alone, nobody = getattr(seen, who), getattr(seen, other)
        assert (alone.missing, alone.undecided) == (0, 0)
        assert alone.not_sampled + alone.outside + seen.both == all_.both and alone.not_sampled > 1000
        assert (nobody.not_sampled, nobody.outside, nobody.missing) == (0, 0, 0)


def test_with_one_direction_the_network_is_not_decidable(example: Recording) -> None:
    first, second = halves(example)
    ends = between(only_sent(first, True), only_sent(second, False))
    assert not ends.decided
    (window,) = ends.windows
    assert window.state == ONE_WAY and window.offset_ns is None and window.at_most_ns is not None
    assert -3 * S <= window.at_most_ns <= -3 * S + 60e-6 * 12 * S + 1_000_000
    split = direction(ends, True).split
    whole = direction(within(example), True).split
    assert (split.whole.mean_ns, split.uncertainty_ns) == (None, None)
    assert [part.step for part in split.parts if part.mean_ns is None] == [NETWORK]
    for part, true in zip(split.parts, whole.parts, strict=True):
        if part.step not in {NETWORK, "tx.send"}:  # that one is not cut by what the receiver did
            assert np.isclose(part.mean_ns or 0, true.mean_ns or 1, rtol=2e-3)
    assert ends.of(False) is None
