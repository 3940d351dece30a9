"""Following a `.part`: what is shown agrees with what was recorded, and what is kept does not grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dashboard import Growing
from tests.support.frames import synthetic_frames, synthetic_recording
from wgprof.analysis.summary import Analysis, analyse
from wgprof.analysis.tables import ints, total
from wgprof.dashboard.live import Follower
from wgprof.errors import RecordingError
from wgprof.recording.reader import Recording

WINDOW_NS, STRETCH_NS = 4_000_000_000, 3_000_000_000


@pytest.fixture
def part(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "a.wgprof.part", synthetic_frames(seconds=12.0, peers=3))


def follow(part: Growing, window_ns: int = WINDOW_NS) -> Follower[tuple[Recording, int]]:
    return Follower(part.path, lambda recording, began_ns: (recording, began_ns), window_ns)


def analysis_of(follower: Follower[tuple[Recording, int]]) -> Analysis:
    return analyse(follower.latest()[0])


def test_the_last_seconds_agree_with_themselves_wherever_they_begin(part: Growing) -> None:
    follower = follow(part)
    for ticks in (5, 20, 1, 37, 30):
        part.grow(ticks)
        assert follower.poll() == part.ticks
        # The window is as short as it is: that it is cold is right.
        failed = [check for check in analysis_of(follower).failed if check.name != "window"]
        assert not failed, [check.detail for check in failed]


def test_counts_are_those_of_the_recording(part: Growing) -> None:
    follower = follow(part)
    part.grow(60)
    analysis_of(follower)
    part.grow(40)
    seen, began_ns = follower.latest()
    whole = synthetic_recording(seconds=12.0, peers=3)
    assert began_ns == int(ints(whole.table("intervals"), "t_ns").min())
    intervals = seen.table("intervals")
    first, last = int(intervals["t_ns"].min()), int(intervals["t_ns"].max())
    assert WINDOW_NS <= last - first <= WINDOW_NS + STRETCH_NS + 2e8
    for table, column in (
        ("stages", "packets"),
        ("executions", "busy_ns"),
        ("depths", "depth_sum"),
        ("cpus", "idle_ns"),
    ):
        frame = whole.table(table)
        inside = frame[(frame["t_ns"] >= first) & (frame["t_ns"] <= last)]
        assert total(seen.table(table), column) == total(inside, column), table
    objects = seen.table("objects")
    assert list(objects["public_key"]) == list(whole.table("objects")["public_key"]), "announced long ago"
    assert seen.table("losses").empty


def test_what_is_kept_does_not_grow(part: Growing) -> None:
    follower, hoarder = follow(part), follow(part, 1 << 62)
    kept = []
    for _ in range(11):
        part.grow(10)
        hoarder.poll()
        follower.poll()
        kept.append(follower.kept_bytes)
    most = (WINDOW_NS + 2 * STRETCH_NS) / 11e9
    assert max(kept) < 1.1 * most * hoarder.kept_bytes


def test_nothing_new_makes_nothing_new(part: Growing) -> None:
    follower = follow(part)
    part.grow(10)
    assert follower.latest() is follower.latest()
    part.cut(30)
    before = follower.poll()
    assert follower.poll() == before, "a frame that is half there is not there"
    part.complete()
    part.grow(1)
    assert follower.poll() == part.ticks


def test_before_the_probes_are_attached_it_says_so(part: Growing) -> None:
    part.cut(10)
    with pytest.raises(RecordingError, match="holds nothing yet"):
        follow(part).latest()


def test_damage_is_one_sentence(part: Growing) -> None:
    follower = follow(part)
    part.grow(10)
    follower.poll()
    with part.path.open("ab") as file:
        file.write(b"no frame at all, but long enough to be one")
    with pytest.raises(RecordingError, match="is damaged"):
        follower.poll()


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="could not be read"):
        Follower(tmp_path / "none.part", lambda recording, _: recording).poll()
