"""One recording from the first frame to the finished file: what `wgprof record` does with a target."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from wgprof.agent.frames import Frame, FrameError, Kind, encode_json, kind_of, open_frame, read_raw
from wgprof.errors import MachineError, WgprofError
from wgprof.recording.finish import Finished, finish_part
from wgprof.recording.part import SUFFIX, PartWriter
from wgprof.targets.base import AgentProcess, RecordRequest, Target

#: An agent that says nothing for so long is stuck; attaching takes its time on a slow machine.
ATTACH_PATIENCE_S = 120.0
TICK_PATIENCE_S = 30.0
#: After being asked to stop.
STOP_PATIENCE_S = 15.0
_LAST_WORDS = 6


@dataclass(frozen=True)
class Progress:
    """What is going on, for the user."""

    phase: str  # "attaching", "recording", "finishing"
    elapsed_s: float = 0.0


class Session:
    """Runs a recording.  `interrupt` may be called at any time, from a signal handler or a thread."""

    def __init__(
        self, target: Target, request: RecordRequest, out: Path, progress: Callable[[Progress], None], version: str
    ) -> None:
        self.messages: list[str] = []  # what the agent logged as a warning or error
        self.interrupted = False
        self._target = target
        self._request = request
        self._out = out
        self._part = out.with_name(out.name + SUFFIX)
        self._progress = progress
        self._version = version
        self._agent: AgentProcess | None = None

    def interrupt(self) -> None:
        """Ask for an early end; what was recorded is kept."""
        self.interrupted = True
        self._tell_agent_to_stop()

    def run(self) -> Finished:
        """Record, and finish the file.

        Raises WgprofError: MachineError if the target cannot record; RecordingError, with what was kept,
        if the file could not be written.
        """
        writer = PartWriter(self._part)
        try:
            end = self._record(writer)
        except BaseException:
            writer.close()
            if writer.frames <= 1:
                self._part.unlink(missing_ok=True)
            self._target.close()
            raise
        writer.close()
        try:
            self._progress(Progress("finishing"))
            results = self._target.results()
        finally:
            self._target.close()
        return finish_part(
            self._part,
            self._out,
            results,
            interrupted=self.interrupted,
            end_reason="" if end else "agent died",
            message="" if end else self._death,
        )

    def _record(self, writer: PartWriter) -> bool:
        """Frames into the file until END; False if the agent died before."""
        self._progress(Progress("starting"))
        self._agent = self._target.start(self._request)
        writer.append(encode_json(Kind.REQUEST, 0, self._first_frame(self._agent)))
        frames: queue.Queue[bytes | FrameError | None] = queue.Queue(maxsize=256)
        threading.Thread(target=_pump, args=(self._agent.stdout, frames), daemon=True).start()
        self._progress(Progress("attaching"))
        started = 0.0
        patience, asked_to_stop = ATTACH_PATIENCE_S, False
        if self.interrupted:
            raise KeyboardInterrupt
        while True:
            if self.interrupted and not asked_to_stop:
                if not started:
                    raise KeyboardInterrupt
                patience, asked_to_stop = STOP_PATIENCE_S, True
                self._tell_agent_to_stop()
            raw = self._next(frames, patience)
            if raw is None:
                return self._died(started > 0)
            writer_kind = kind_of(raw)
            if writer_kind == Kind.END:
                self._check_end(open_frame(raw), writer)
            writer.append(raw)
            if writer_kind == Kind.HELLO:
                started = time.monotonic()
                patience = TICK_PATIENCE_S
                self._target.recording_started()
            elif writer_kind == Kind.LOG:
                self._take_note(open_frame(raw))
            elif writer_kind == Kind.END:
                return True
            if started:
                self._progress(Progress("recording", time.monotonic() - started))

    def _next(self, frames: queue.Queue[bytes | FrameError | None], patience: float) -> bytes | None:
        """The next frame; None when the agent has gone, or has to be given up."""
        deadline = time.monotonic() + patience
        while True:
            try:
                # Short waits, so that a signal handler's word is heard.
                item = frames.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > deadline:
                    self._death = f"the agent said nothing for {patience:.0f} s"
                    return None
                if self.interrupted and patience != STOP_PATIENCE_S:
                    self._tell_agent_to_stop()
                    deadline = min(deadline, time.monotonic() + STOP_PATIENCE_S)
                    patience = STOP_PATIENCE_S
                continue
            if isinstance(item, FrameError):
                self._death = f"the agent's stream broke off: {item}"
                return None
            if item is None:
                self._death = "the agent died"
            return item

    def _died(self, recording: bool) -> bool:
        words = self._target.last_words().splitlines()[-_LAST_WORDS:]
        self._death = "; ".join([self._death, *(f"it said: {line.strip()}" for line in words if line.strip())])
        if not recording:
            raise MachineError(self._death, "Run `wgprof doctor`: it says what is missing.")
        self.messages.append(self._death)
        return False

    def _check_end(self, frame: Frame, writer: PartWriter) -> None:
        """An END that says the recording never began is an error for the user, not a recording."""
        end = frame.json()
        if end.get("reason") == "error":
            error = WgprofError(str(end.get("message", "the agent failed")), str(end.get("remedy", "")))
            error.exit_code = int(end.get("exit_code", 1))
            raise error

    def _take_note(self, frame: Frame) -> None:
        note = frame.json()
        if note.get("level") in ("warning", "error"):
            self.messages.append(str(note.get("message", "")))

    def _tell_agent_to_stop(self) -> None:
        if self._agent is not None:
            with contextlib.suppress(OSError, ValueError):
                self._agent.stdin.write(json.dumps({"stop": True}).encode() + b"\n")
                self._agent.stdin.flush()

    def _first_frame(self, agent: AgentProcess) -> dict[str, object]:
        return {
            "writer_version": self._version,
            "created_unix_ns": time.time_ns(),
            "request": asdict(self._request),
            "target": agent.description,
        }

    _death = ""


def _pump(stream: IO[bytes], frames: queue.Queue[bytes | FrameError | None]) -> None:
    """Frames from the agent into the queue, in a thread, so that waiting for them can end."""
    try:
        while True:
            raw = read_raw(stream)
            frames.put(raw)
            if raw is None:
                return
    except FrameError as error:
        frames.put(error)
    except (OSError, ValueError) as error:
        frames.put(FrameError(str(error)))


def default_name(kind: str) -> Path:
    """A name for a recording made now."""
    return Path(datetime.now(UTC).strftime(f"wgprof-{kind}-%Y%m%d-%H%M%S.wgprof"))
