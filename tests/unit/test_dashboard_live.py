"""Following a `.part`: what is shown agrees with what was recorded, and what is kept does not grow."""

from __future__ import annotations

import contextlib
import gc
import threading
import tracemalloc
from pathlib import Path

import pytest

from tests.support.dashboard import Growing
from tests.support.frames import synthetic_frames, synthetic_recording
from wgprof.agent.frames import Kind, encode, kind_of, read_raw
from wgprof.analysis.summary import Analysis, analyse
from wgprof.analysis.tables import ints, total
from wgprof.dashboard.library import Entry
from wgprof.dashboard.live import Follower
from wgprof.dashboard.recordings import Recordings
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


def test_the_first_look_takes_no_more_memory_for_a_longer_recording(tmp_path: Path) -> None:
    """As much as is kept, and not the file: it is read frame by frame."""
    peaks = []
    for seconds in (8.0, 32.0):
        part = Growing(tmp_path / f"{seconds}.part", synthetic_frames(seconds=seconds, rate=600.0, sample_every=1))
        part.grow(1000)
        gc.collect()
        tracemalloc.start()
        try:
            follow(part).poll()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0], peaks


def bomb(part: Growing, kind: Kind, frames: int, size: int = 16 << 20) -> None:
    """Append frames that are small in the file, and large."""
    frame = encode(kind, 5, bytes(size), compress=True)
    with part.path.open("ab") as file:
        file.writelines([frame] * frames)


@pytest.mark.parametrize("kind", [Kind.EVENTS, Kind.LOG, Kind.PERF])
def test_what_inflates_without_end_is_damage(part: Growing, kind: Kind) -> None:
    follower = follow(part)
    part.grow(3)
    follower.poll()
    bomb(part, kind, 30)
    assert part.path.stat().st_size < 4 << 20
    for _ in range(2):
        with pytest.raises(RecordingError, match="damaged: more than 67108864 bytes"):
            follower.poll()
    assert follower.kept_bytes <= 64 << 20


def test_what_inflates_before_the_first_tick_is_damage(part: Growing) -> None:
    bomb(part, Kind.LOG, 30)
    follower = follow(part)
    with pytest.raises(RecordingError, match="before the first tick"):
        follower.poll()
    assert follower.kept_bytes <= 32 << 20


def test_a_tick_that_nobody_announced_is_damage(part: Growing, tmp_path: Path) -> None:
    part.grow(40)
    headless = tmp_path / "b.part"
    with part.path.open("rb") as whole, headless.open("wb") as file:
        while (frame := read_raw(whole)) is not None:
            if kind_of(frame) != Kind.HELLO:
                file.write(frame)
    with pytest.raises(RecordingError, match="before the agent's HELLO"):
        Follower(headless, lambda recording, _: recording).poll()


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


def test_closing_waits_for_whoever_reads(part: Growing) -> None:
    follower, reading, go = follow(part), threading.Event(), threading.Event()
    part.grow(10)
    follower.poll()
    part.grow(10)
    assert follower._stream is not None
    stream, errors, seen = follower._stream, list[Exception](), list[int]()

    class Slow:
        """The stream, whose reader another thread overtakes."""

        def tell(self) -> int:
            reading.set()
            assert go.wait(30)
            return stream.tell()

        def __getattr__(self, name: str) -> object:
            return getattr(stream, name)

    def poll() -> None:
        try:
            seen.append(follower.poll())
        except Exception as error:
            errors.append(error)

    follower._stream = Slow()  # type: ignore[assignment]
    reader = threading.Thread(target=poll)
    closer = threading.Thread(target=follower.close)
    reader.start()
    assert reading.wait(30)
    closer.start()
    closer.join(0.2)  # enough for one that does not wait
    go.set()
    reader.join(30)
    closer.join(30)
    assert (errors, seen) == ([], [20])
    with pytest.raises(RecordingError, match="no longer"):
        follower.poll()
    with pytest.raises(RecordingError, match="no longer"):
        follower.latest()


def test_several_recordings_are_followed_at_once(tmp_path: Path) -> None:
    frames = synthetic_frames(seconds=3.0)
    parts = [Growing(tmp_path / f"{name}.wgprof.part", frames) for name in "abcdef"]
    for one in parts:
        one.grow(12)
    recordings = Recordings()
    entries = [Entry(one.path.name, one.path.name, one.path, live=True) for one in parts]
    first, second = entries[:2]
    before = [recordings.whole(entry) for entry in (first, second)]
    assert [recordings.whole(entry) for entry in (first, second)] == before, "neither was read again"
    for entry in entries:
        assert recordings.version(entry) == 12
    assert len(recordings._followers) == 3
    assert recordings.version(first) == 12, "from its beginning again"


def test_the_next_recording_of_a_name_is_followed_too(tmp_path: Path) -> None:
    recordings, frames = Recordings(), synthetic_frames(seconds=3.0)
    for ticks in (12, 7):
        part = Growing(tmp_path / "a.wgprof.part", frames)
        part.grow(ticks)
        entry = Entry("a", "a", part.path, live=True)
        assert recordings.version(entry) == ticks
        part.path.unlink()
        assert recordings.version(entry) == ticks, "what was finished just now"


def test_many_tabs_on_many_recordings(tmp_path: Path) -> None:
    """Followers come and go while others read: whoever is told so looks again, and nothing else goes wrong."""
    frames = synthetic_frames(seconds=3.0)
    parts = [Growing(tmp_path / f"{name}.wgprof.part", frames) for name in "abcdef"]
    for one in parts:
        one.grow(8)
    recordings, errors = Recordings(), list[Exception]()

    def look(one: Growing) -> None:
        try:
            entry = Entry("x", "x", one.path, live=True)
            for _ in range(20):
                with contextlib.suppress(RecordingError):
                    assert recordings.version(entry) == one.ticks
        except Exception as error:
            errors.append(error)

    tabs = [threading.Thread(target=look, args=(one,)) for one in parts]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(60)
    assert errors == []


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
