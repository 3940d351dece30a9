"""Running a sweep: failures, interrupts and crashes lose nothing, and nothing is recorded twice."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.support.sweeps import Quiet, small, swept
from wgprof.errors import MachineError, RecordingError, UsageError
from wgprof.recording.part import DiskFull
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.document import DONE, FAILED, WAITING, Run
from wgprof.sweep.file import SweepFile
from wgprof.sweep.matrix import Matrix, expected_s
from wgprof.sweep.part import Part, complete_sweep, part_of
from wgprof.sweep.running import left_s, run_sweep


class Recorder:
    """Writes a line a recording; `trouble` maps the call's number (from 1) to what it raises."""

    def __init__(self, trouble: dict[int, BaseException] | None = None, bad: Configuration | None = None) -> None:
        self.calls: list[Configuration] = []
        self._trouble = trouble or {}
        self._bad = bad

    def __call__(self, configuration: Configuration, out: Path) -> None:
        self.calls.append(configuration)
        assert not out.exists(), "nothing is left where a recording is made"
        out.write_text(f"recording {len(self.calls)} of {configuration.label()}")
        if configuration == self._bad:
            raise RecordingError("it always fails")
        if len(self.calls) in self._trouble:
            raise self._trouble[len(self.calls)]


def states(part: Part) -> Counter[str]:
    return Counter(run.state for run in part.sweep.runs)


def contents(out: Path) -> dict[str, str]:
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if name != "sweep.json"}


def go(out: Path, matrix: Matrix, record: Recorder, watch: Quiet | None = None) -> tuple[bool, Counter[str]]:
    """As the command line does it."""
    with part_of(out, matrix) as part:
        whole = run_sweep(part, record, watch or Quiet())
        part.pack()
        return whole, states(part)


def test_everything_is_recorded_once_in_the_order_of_the_matrix(tmp_path: Path) -> None:
    out, matrix, record = tmp_path / "it.sweep", small(), Recorder()
    assert go(out, matrix, record) == (True, Counter({DONE: 4}))
    assert record.calls == [configuration for _, configuration in matrix.order()]
    expected = {f"recordings/{n:04d}.wgprof": f"recording {n} of {c.label()}" for n, c in enumerate(record.calls, 1)}
    assert contents(out) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["it.sweep"], "the folder is gone"


def test_what_fails_once_is_tried_again_and_is_then_done(tmp_path: Path) -> None:
    watch, record = Quiet(), Recorder({2: MachineError("the emulator fell over")})
    whole, found = go(tmp_path / "it.sweep", small(), record, watch)
    assert whole and found == {DONE: 4} and len(record.calls) == 5
    assert record.calls[1] == record.calls[2]
    assert watch.reasons == ["the emulator fell over"]
    assert [run.attempts for run in watch.ends] == [1, 2, 1, 1]


def test_what_fails_twice_is_noted_with_its_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    out, matrix = tmp_path / "it.sweep", small()
    bad = matrix.configurations[0]
    record = Recorder(bad=bad)
    whole, found = go(out, matrix, record)
    assert whole and found == {DONE: 2, FAILED: 2} and record.calls.count(bad) == 4
    with SweepFile(out) as opened:
        failed = opened.sweep.in_state(FAILED)
    assert {run.configuration for run in failed} == {bad}
    assert [(run.reason, run.attempts) for run in failed] == [("it always fails", 2)] * 2
    # The next call has another try at those alone.
    again = Recorder()
    assert go(out, matrix, again) == (True, Counter({DONE: 4}))
    assert again.calls == [bad, bad]


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_interrupt_keeps_what_there_is_and_the_same_command_goes_on(tmp_path: Path, at: int) -> None:
    out, matrix = tmp_path / "it.sweep", small()
    first = Recorder({at: KeyboardInterrupt()})
    assert go(out, matrix, first)[0] is False
    before = contents(out)
    assert len(before) == at - 1
    assert complete_sweep(out, matrix) is None
    second = Recorder()
    assert go(out, matrix, second) == (True, Counter({DONE: 4}))
    assert second.calls == [c for _, c in matrix.order()][at - 1 :], "and nothing is recorded twice"
    assert before.items() <= contents(out).items()
    assert complete_sweep(out, matrix) is not None


def test_a_recorder_that_is_killed_loses_at_most_what_it_was_at(tmp_path: Path) -> None:
    out, matrix = tmp_path / "it.sweep", small()

    class Killed(BaseException):
        pass

    with pytest.raises(Killed), part_of(out, matrix) as part:
        run_sweep(part, Recorder({3: Killed()}), Quiet())
    assert not out.exists()
    (tmp_path / "it.sweep.part" / ".in-work.wgprof.junk").mkdir()
    record = Recorder()
    assert go(out, matrix, record) == (True, Counter({DONE: 4}))
    assert record.calls == [c for _, c in matrix.order()][2:]


def test_a_recording_that_was_made_but_not_noted_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, matrix = tmp_path / "it.sweep", small()

    class Killed(BaseException):
        pass

    def note(run: Run) -> None:
        if run.number == 2:
            raise Killed
        noted(run)

    with pytest.raises(Killed), part_of(out, matrix) as part:
        noted = part.note
        monkeypatch.setattr(part, "note", note)
        run_sweep(part, Recorder(), Quiet())
    record = Recorder()
    assert go(out, matrix, record) == (True, Counter({DONE: 4}))
    assert record.calls == [c for _, c in matrix.order()][2:]


def test_an_interrupt_before_the_note_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, matrix = tmp_path / "it.sweep", small()

    def note(run: Run) -> None:
        raise KeyboardInterrupt

    with part_of(out, matrix) as part:
        monkeypatch.setattr(part, "note", note)
        assert run_sweep(part, Recorder(), Quiet()) is False
        part.pack()
    assert list(contents(out)) == ["recordings/0001.wgprof"]


def test_an_interrupt_while_the_folder_is_removed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, matrix = tmp_path / "it.sweep", small()

    def rmtree(path: Path, **_: object) -> None:
        next(path.glob("recordings/*")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt), part_of(out, matrix) as part:
        run_sweep(part, Recorder(), Quiet())
        patched.setattr("shutil.rmtree", rmtree)
        part.pack()
    assert complete_sweep(out, matrix) is not None
    assert len(contents(out)) == 4


def test_a_full_disk_ends_the_sweep_with_everything_kept(tmp_path: Path) -> None:
    out, matrix = tmp_path / "it.sweep", small()
    with pytest.raises(DiskFull), part_of(out, matrix) as part:
        run_sweep(part, Recorder({3: DiskFull("the disk is full")}), Quiet())
    with part_of(out, matrix) as part:
        assert states(part) == {DONE: 2, WAITING: 2}


def test_a_crash_between_the_packing_and_the_end_changes_nothing(tmp_path: Path) -> None:
    out, matrix = tmp_path / "it.sweep", small()
    with part_of(out, matrix) as part:
        run_sweep(part, Recorder(), Quiet())
        swept(tmp_path / "other.sweep", matrix, Recorder())
        (tmp_path / "other.sweep").rename(out)  # the file is there, and the folder is too
    record = Recorder()
    assert go(out, matrix, record) == (True, Counter({DONE: 4}))
    assert record.calls == []


@pytest.mark.parametrize("finished", [True, False])
def test_another_matrix_is_refused_naming_what_differs(tmp_path: Path, finished: bool) -> None:
    out = tmp_path / "it.sweep"
    with part_of(out, small()) as part:
        if finished:
            run_sweep(part, Recorder(), Quiet())
            part.pack()
    with pytest.raises(UsageError) as refused, part_of(out, small(tunnels=[1, 4])):
        pass
    assert refused.value.sentence == f"{out} is another sweep: its tunnels is [1, 2], asked is [1, 4]"


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "it.sweep"
    with part_of(out, small()), pytest.raises(MachineError) as refused, part_of(out, small()):
        pass
    assert "is in use by process" in refused.value.sentence


def test_the_time_left_follows_what_recordings_took(tmp_path: Path) -> None:
    matrix, watch = small(), Quiet()
    # By this clock each recording takes 50 s, but for the second, which waited an hour for its lab.
    now = iter([0, 50, 50, 3700, 3700, 3750, 3750, 3800])
    with part_of(tmp_path / "it.sweep", matrix) as part:
        run_sweep(part, Recorder(), watch, lambda: float(next(now)))
        assert left_s(part.sweep) == 0
    assert watch.left[0] == pytest.approx(sum(expected_s(matrix, c) for _, c in matrix.order()))
    assert watch.left[-1] == pytest.approx(50, rel=0.05)
