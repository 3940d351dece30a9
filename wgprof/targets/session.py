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
from typing import IO, Any

from wgprof.agent.frames import FrameError, Kind, encode_json, kind_of, open_frame, read_raw
from wgprof.errors import WgprofError
from wgprof.recording.finish import Finished, finish_part
from wgprof.recording.part import SUFFIX, PartWriter
from wgprof.targets.base import AgentProcess, RecordRequest, Target

#: An agent that says nothing for so long is stuck; attaching takes its time on a slow machine.
ATTACH_PATIENCE_S = 120.0
TICK_PATIENCE_S = 30.0
#: From being asked to stop until it has.
STOP_PATIENCE_S = 15.0
#: So soon a signal handler's word is heard.
_POLL_S = 0.2
_LAST_WORDS = 6


@dataclass(frozen=True)
class Progress:
    """What is going on, for the user."""

    phase: str  # "starting", "attaching", "recording", "sampling", "finishing"
    elapsed_s: float = 0.0


class Session:
    """Runs a recording.  `interrupt` may be called at any time, from a signal handler or a thread."""

    def __init__(
        self, target: Target, request: RecordRequest, out: Path, progress: Callable[[Progress], None], version: str
    ) -> None:
        self.messages: list[str] = []  # what went wrong, and when
        self.interrupted = False
        self.part = out.with_name(out.name + SUFFIX)
        self._target = target
        self._request = request
        self._out = out
        self._progress = progress
        self._version = version
        self._began = 0.0  # when HELLO came
        self._start_ns = 0  # the same moment on the agent's clock
        self._stop_by = 0.0  # an agent asked to stop has to have stopped by then
        self._death = ""
        self._sampling = False

    @property
    def _phase(self) -> str:
        return "sampling" if self._sampling else "recording"

    @property
    def recording(self) -> bool:
        """Whether there is anything to keep."""
        return self._began > 0

    def interrupt(self) -> None:
        """Ask for an early end; what was recorded is kept."""
        self.interrupted = True

    def run(self) -> Finished:
        """Record, and finish the file.

        Raises WgprofError: MachineError if the target cannot record; RecordingError, with what was kept,
        if the file could not be written.
        """
        writer = PartWriter(self.part)
        try:
            with writer:
                ended = self._record(writer)
            self._progress(Progress("finishing"))
            results = self._target.results()
        except BaseException:
            if not self.recording:
                self.part.unlink(missing_ok=True)
            raise
        finally:
            self._target.close()
        return finish_part(
            self.part,
            self._out,
            results,
            interrupted=self.interrupted,
            end_reason="" if ended else "agent died",
            message=self._death,
        )

    def _record(self, writer: PartWriter) -> bool:
        """Frames into the file until END; False if the agent died before."""
        self._progress(Progress("starting"))
        agent = self._target.start(self._request)
        writer.append(encode_json(Kind.REQUEST, 0, self._first_frame(agent)))
        frames: queue.Queue[bytes | FrameError | None] = queue.Queue(maxsize=256)
        threading.Thread(target=_pump, args=(agent.stdout, frames), daemon=True).start()
        self._progress(Progress("attaching"))
        while True:
            raw = self._next(agent, frames)
            if raw is None:
                self._mourn()
                return False
            kind = kind_of(raw)
            if kind == Kind.END and not self.recording:
                raise _refusal(open_frame(raw).json())
            writer.append(raw)
            if kind == Kind.HELLO:
                self._start_ns = int(open_frame(raw).json().get("start_ns", 0))
                self._began = time.monotonic()
                self._target.recording_started()
            elif kind == Kind.PERF and not self._sampling:
                self._sampling = True
                self._target.sampling_started()
                _tell(agent, {"go": True})
            elif kind == Kind.LOG:
                self._take_note(open_frame(raw).json())
            elif kind == Kind.END:
                self._take_leave(open_frame(raw).json())
                return True
            if self.recording:
                self._progress(Progress(self._phase, time.monotonic() - self._began))

    def _next(self, agent: AgentProcess, frames: queue.Queue[bytes | FrameError | None]) -> bytes | None:
        """The next frame; None when the agent has gone, or has to be given up."""
        since = time.monotonic()
        patience = TICK_PATIENCE_S if self.recording else ATTACH_PATIENCE_S
        while True:
            if self.interrupted and not self._stop_by:
                self._target.stopping()
                self._stop_by = time.monotonic() + STOP_PATIENCE_S
                _tell(agent, {"stop": True})
            try:
                item = frames.get(timeout=_POLL_S)
            except queue.Empty:
                item = b""
            if isinstance(item, FrameError):
                self._death = f"the agent's stream broke off: {item}"
                return None
            if item is None:
                self._death = "the agent died"
                return None
            now = time.monotonic()
            if self._stop_by and now > self._stop_by:
                self._death = f"the agent did not stop within {STOP_PATIENCE_S:.0f} s"
                return None
            if item:
                return item
            if now > since + patience:
                self._death = f"the agent said nothing for {patience:.0f} s"
                return None

    def _mourn(self) -> None:
        """Add the agent's last words to its death.  Raises MachineError if nothing was recorded."""
        words = last_words(self._target.last_words())
        self._death += f"; it said: {words}" if words else ""
        if not self.recording:
            raise self._target.never_recorded(self._death)
        self.messages.append(f"after {time.monotonic() - self._began:.1f} s: {self._death}")

    def _take_note(self, note: dict[str, Any]) -> None:
        if note.get("level") in ("warning", "error"):
            self._note(str(note.get("message", "")), int(note.get("t_ns", 0)))

    def _take_leave(self, end: dict[str, Any]) -> None:
        """Say why, if the agent ended before its time and nobody here asked it to."""
        if end.get("reason") != "duration" and not self.interrupted:
            reason = str(end.get("message") or end.get("reason", ""))
            self._note(f"the agent ended the recording early ({reason})", int(end.get("t_ns", 0)))

    def _note(self, message: str, t_ns: int) -> None:
        when = f"after {max(0, t_ns - self._start_ns) / 1e9:.1f} s: " if self._start_ns and t_ns else ""
        self.messages.append(when + message)

    def _first_frame(self, agent: AgentProcess) -> dict[str, object]:
        return {
            "writer_version": self._version,
            "created_unix_ns": time.time_ns(),
            "request": asdict(self._request),
            "target": agent.description,
        }


def last_words(text: str) -> str:
    """A dead agent's standard error on one line; of a Python traceback only what it says in the end."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if any(line.startswith("Traceback ") for line in lines):
        lines = [line for line in lines if not line.startswith((" ", "Traceback "))]
    return "; ".join(line.strip() for line in lines[-_LAST_WORDS:])


def _refusal(end: dict[str, Any]) -> WgprofError:
    """An END in place of a HELLO: why nothing can be recorded, in the agent's words."""
    error = WgprofError(str(end.get("message") or "the agent failed"), str(end.get("remedy", "")))
    error.exit_code = int(end.get("exit_code", 1))
    return error


def _tell(agent: AgentProcess, order: dict[str, bool]) -> None:
    with contextlib.suppress(OSError, ValueError):
        agent.stdin.write(json.dumps(order).encode() + b"\n")
        agent.stdin.flush()


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
