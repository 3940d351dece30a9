"""A recording's session with a scripted agent: every way it can end, and what is kept then."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.support.documents import START_NS
from tests.support.frames import synthetic_frames
from tests.support.perf import perf_frames
from wgprof.agent.frames import Kind, encode_json, kind_of, read_raw
from wgprof.errors import MachineError, WgprofError
from wgprof.recording.finish import Finished
from wgprof.recording.part import DiskFull, PartWriter
from wgprof.recording.reader import open_recording
from wgprof.targets import session as sessions
from wgprof.targets.base import AgentProcess, RecordRequest
from wgprof.targets.session import Session, last_words


def agent_frames() -> list[bytes]:
    """HELLO, ticks, events and END; the REQUEST is the recorder's own."""
    stream = io.BytesIO(synthetic_frames(seconds=1.0))
    frames = []
    while (raw := read_raw(stream)) is not None:
        frames.append(raw)
    return frames[1:]


FRAMES = agent_frames()
BODY = FRAMES[:-1]


def log(message: str, t_ns: int, level: str = "warning") -> bytes:
    return encode_json(Kind.LOG, 1, {"t_ns": t_ns, "level": level, "topic": "interface", "message": message})


class Agent:
    """The script's side of the pipes."""

    def __init__(self, stdout: int, stdin: int) -> None:
        self._stdout, self._stdin = stdout, stdin

    def say(self, *frames: bytes) -> None:
        os.write(self._stdout, b"".join(frames))

    def hear(self) -> bytes:
        """What the recorder says next; empty when it has gone."""
        return os.read(self._stdin, 1000)


class Scripted:
    """A target whose agent is a function; implements wgprof.targets.base.Target."""

    name = "scripted"

    def __init__(self, script: Callable[[Agent], None], words: str = "") -> None:
        self._script = script
        self._words = words
        self._ends: list[IO[bytes]] = []
        self.began = self.sampled = self.asked_to_stop = self.closed = 0
        self._thread: threading.Thread | None = None

    def start(self, request: RecordRequest) -> AgentProcess:
        from_agent, to_recorder = os.pipe()
        from_recorder, to_agent = os.pipe()

        def run() -> None:
            try:
                self._script(Agent(to_recorder, from_recorder))
            finally:
                os.close(to_recorder)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        stdin = os.fdopen(to_agent, "wb")
        self._ends.append(stdin)
        return AgentProcess(os.fdopen(from_agent, "rb"), stdin, {"kind": self.name})

    def recording_started(self) -> None:
        self.began += 1

    def sampling_started(self) -> None:
        self.sampled += 1

    def stopping(self) -> None:
        self.asked_to_stop += 1

    def results(self) -> dict[str, object]:
        return {"goodput_bps": 7}

    def last_words(self) -> str:
        return self._words

    def never_recorded(self, sentence: str) -> MachineError:
        return MachineError(sentence, "doctor")

    def close(self) -> None:
        self.closed += 1
        for end in self._ends:
            end.close()


def make(
    tmp_path: Path, script: Callable[[Agent], None], words: str = "", seen: Callable[[str], None] = lambda phase: None
) -> tuple[Session, Scripted]:
    target = Scripted(script, words)
    request = RecordRequest(duration_s=1.0)
    return Session(target, request, tmp_path / "x.wgprof", lambda progress: seen(progress.phase), "0.1.0"), target


def record(tmp_path: Path, script: Callable[[Agent], None], words: str = "") -> tuple[Finished, Session, Scripted]:
    session, target = make(tmp_path, script, words)
    finished = session.run()
    assert target.closed == 1
    assert not session.part.exists(), "the .part is gone once the file is there"
    return finished, session, target


def test_a_recording_runs_through_its_phases(tmp_path: Path) -> None:
    phases: list[str] = []
    session, target = make(tmp_path, lambda agent: agent.say(*FRAMES), seen=phases.append)
    finished = session.run()
    assert list(dict.fromkeys(phases)) == ["starting", "attaching", "recording", "finishing"]
    assert (finished.complete, finished.end_reason, session.messages) == (True, "duration", [])
    assert (target.began, target.closed) == (1, 1)
    manifest = open_recording(finished.path).manifest
    assert manifest["results"] == {"goodput_bps": 7}
    assert manifest["target"] == {"kind": "scripted"}


def test_a_recording_can_be_asked_to_be_anonymised(tmp_path: Path) -> None:
    """The finished file; the .part, which has everything, is gone."""
    target = Scripted(lambda agent: agent.say(*FRAMES))
    request = RecordRequest(duration_s=1.0, anonymize=True)
    session = Session(target, request, tmp_path / "x.wgprof", lambda progress: None, "0.1.0")
    with open_recording(session.run().path) as recording:
        peers = recording.table("objects").query("kind == 'peer'")
        assert recording.manifest["anonymized"] is True
        assert sorted(peers["public_key"]) == [f"peer-{number + 1}" for number in range(len(peers))]
        assert all(str(endpoint).startswith("addr-") for endpoint in peers["endpoint"])
    assert [path.name for path in tmp_path.iterdir()] == ["x.wgprof"]


def test_perf_has_a_phase_of_its_own_behind_the_recording(tmp_path: Path) -> None:
    phases: list[str] = []
    heard: list[bytes] = []
    begin, *rest = perf_frames(START_NS)

    def script(agent: Agent) -> None:
        agent.say(*BODY, begin)
        heard.append(agent.hear())
        agent.say(*rest, FRAMES[-1])

    session, target = make(tmp_path, script, seen=phases.append)
    finished = session.run()
    assert heard == [b'{"go": true}\n'], "once the target has seen to the traffic"
    assert list(dict.fromkeys(phases)) == ["starting", "attaching", "recording", "sampling", "finishing"]
    assert (target.began, target.sampled) == (1, 1)
    assert open_recording(finished.path).table("stacks")["samples"].sum() == 160


def test_what_the_agent_warns_of_is_told_with_its_time(tmp_path: Path) -> None:
    went = log("interface wg0 went away", START_NS + 3_240_000_000)
    _, session, _ = record(
        tmp_path, lambda agent: agent.say(*BODY, went, log("nothing of note", 1, level="info"), FRAMES[-1])
    )
    assert session.messages == ["after 3.2 s: interface wg0 went away"]


def test_a_refusal_is_the_agents_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    refusal = {"reason": "error", "message": "no bcc", "remedy": "apt install it", "exit_code": 3}
    session, target = make(
        tmp_path, lambda agent: agent.say(log("a word before", 0), encode_json(Kind.END, 1, refusal))
    )
    with pytest.raises(WgprofError) as caught:
        session.run()
    assert (caught.value.sentence, caught.value.remedy, caught.value.exit_code) == ("no bcc", "apt install it", 3)
    assert target.closed == 1
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_dies_at_once_leaves_its_words_and_no_file(tmp_path: Path) -> None:
    session, target = make(tmp_path, lambda agent: None, words="Segmentation fault\n")
    with pytest.raises(MachineError) as caught:
        session.run()
    assert caught.value.sentence == "the agent died; it said: Segmentation fault"
    assert "doctor" in caught.value.remedy
    assert target.closed == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tail", "why"), [(b"", "the agent died"), (FRAMES[1][:20], "broke off"), (b"x" * 100, "broke off")]
)
def test_an_agent_that_dies_later_leaves_what_it_recorded(tmp_path: Path, tail: bytes, why: str) -> None:
    finished, session, _ = record(tmp_path, lambda agent: agent.say(*BODY, tail), words="killed by signal 9 (Killed)")
    assert (finished.complete, finished.end_reason) == (False, "agent died")
    (message,) = session.messages
    assert message.startswith("after 0.") and why in message
    assert "it said: killed by signal 9 (Killed)" in message
    assert why in open_recording(finished.path).manifest["message"]


def test_a_silent_agent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "TICK_PATIENCE_S", 0.5)
    forever = threading.Event()

    def script(agent: Agent) -> None:
        agent.say(*BODY)
        forever.wait()

    finished, session, _ = record(tmp_path, script)
    assert "said nothing for 0 s" in session.messages[0]
    assert not finished.complete
    forever.set()


def test_an_interruption_asks_the_agent_to_stop_and_completes_the_file(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def script(agent: Agent) -> None:
        agent.say(*BODY)
        session.interrupt()
        heard.append(agent.hear())
        agent.say(encode_json(Kind.END, 99, {"reason": "stopped", "t_ns": START_NS, "probes": [], "losses": []}))

    session, target = make(tmp_path, script)
    finished = session.run()
    assert json.loads(heard[0]) == {"stop": True}
    assert (finished.complete, finished.end_reason, session.interrupted) == (True, "stopped", True)
    assert target.asked_to_stop == 1
    assert session.messages == [], "the user knows"
    assert open_recording(finished.path).manifest["interrupted"] is True


def test_an_agent_that_does_not_stop_is_given_up_though_it_goes_on_talking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "STOP_PATIENCE_S", 0.5)
    done = threading.Event()

    def script(agent: Agent) -> None:
        agent.say(*BODY)
        session.interrupt()
        while not done.wait(0.05):
            agent.say(log("still here", 0, level="info"))

    session, _ = make(tmp_path, script)
    finished = session.run()
    done.set()
    assert "the agent did not stop within" in session.messages[0]
    assert not finished.complete


def test_an_end_that_nobody_here_asked_for_is_told(tmp_path: Path) -> None:
    end = {"reason": "stopped", "t_ns": START_NS + 2_000_000_000, "probes": [], "losses": []}
    finished, session, _ = record(tmp_path, lambda agent: agent.say(*BODY, encode_json(Kind.END, 99, end)))
    assert session.messages == ["after 2.0 s: the agent ended the recording early (stopped)"]
    assert finished.complete


def test_a_full_disk_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = PartWriter.append

    def small(self: PartWriter, frame: bytes) -> None:
        if self.frames >= 5:
            raise DiskFull("the disk is full", "free some")
        append(self, frame)

    monkeypatch.setattr(PartWriter, "append", small)
    session, target = make(tmp_path, lambda agent: agent.say(*FRAMES))
    with pytest.raises(DiskFull):
        session.run()
    assert target.closed == 1
    assert session.part.stat().st_size > 0, "wgprof recover has something to work on"


def test_a_part_that_cannot_be_closed_still_ends_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: PartWriter) -> None:
        raise DiskFull("the disk is full", "free some")

    monkeypatch.setattr(PartWriter, "close", full)
    session, target = make(tmp_path, lambda agent: agent.say(*FRAMES))
    with pytest.raises(DiskFull):
        session.run()
    assert target.closed == 1


def test_an_unfinished_recording_is_not_overwritten(tmp_path: Path) -> None:
    session, _ = make(tmp_path, lambda agent: agent.say(*FRAMES))
    session.part.write_bytes(b"precious")
    with pytest.raises(WgprofError, match="an earlier recording was cut off") as caught:
        session.run()
    assert "wgprof recover" in caught.value.remedy
    assert session.part.read_bytes() == b"precious"


def test_a_traceback_is_told_by_its_last_line() -> None:
    text = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    f()\nKeyError: 3\n'
    assert last_words(text) == "KeyError: 3"
    assert last_words("one\n\ntwo \n") == "one; two"
    assert last_words("\n".join(str(n) for n in range(20))) == "14; 15; 16; 17; 18; 19"
    assert last_words("") == ""


def test_the_synthetic_agent_begins_with_hello() -> None:
    assert [kind_of(FRAMES[0]), kind_of(FRAMES[-1])] == [Kind.HELLO, Kind.END]
