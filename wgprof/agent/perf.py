"""A window of its own in which the perf tool looks: counters, sampled stacks, latency of work items.

What perf prints is passed on as it is, in PERF frames; whoever reads the recording understands it
(wgprof/perf).  That perf is not there, or may not, is part of the outcome and no error.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from typing import IO, Any, Callable, Dict, List, NamedTuple, Optional

from wgprof.agent.stream import Stream

#: Neither a multiple nor a fraction of the kernel's tick.
SAMPLE_HZ = 499
COUNTERS = (
    "cycles",
    "instructions",
    "cache-references",
    "cache-misses",
    "branch-misses",
    "context-switches",
    "cpu-migrations",
    "page-faults",
    "task-clock",
)
#: perf kwork writes an event for each work item and softirq into a file first.
KWORK_S = 2.0
KWORK_FILE_MB = 64
#: What one part may print; a larger output is cut off.  64 CPUs print about 20 MB of stacks a second.
MAX_OUTPUT = 512 << 20
_CHUNK = 256 << 10
#: A frame at least so often, so that the reader does not take the agent for dead.
_HEARTBEAT_S = 1.0
#: Beyond its window; reading symbols takes a slow machine its time.
_PATIENCE_S = 60.0
_GO_S = 20.0
_ERRORS = 4000
_NO_PROGRAM = 127
_USAGE = 129
_KWORKS = "workqueue,softirq"


def environment() -> Dict[str, str]:
    """Numbers with points, and no settings of root's own."""
    return {**os.environ, "LC_ALL": "C", "PERF_CONFIG": "/dev/null"}


def stat_command(perf: str, seconds: float, as_json: bool) -> List[str]:
    form = ["-j"] if as_json else ["-x", ","]
    return [perf, "stat", "-a", "-A", *form, "--log-fd", "1", "-e", ",".join(COUNTERS), *_sleep(seconds)]


def record_command(perf: str, event: str, seconds: float) -> List[str]:
    """Samples of the kernel alone, as a stream."""
    sampling = ["-a", "-F", str(SAMPLE_HZ), "-e", f"{event}:k", "-g", "--kernel-callchains"]
    return [perf, "record", *sampling, "--no-buildid", "--no-buildid-cache", "-o", "-", *_sleep(seconds)]


def script_command(perf: str) -> List[str]:
    return [perf, "script", "-i", "-", "-F", "comm,tid,cpu,ip,sym,dso"]


def kwork_record_command(perf: str, seconds: float, path: str) -> List[str]:
    limit = f"--max-size={KWORK_FILE_MB}M"
    return [perf, "kwork", "-k", _KWORKS, "record", "-o", path, limit, *_sleep(seconds)]


def kwork_latency_command(perf: str, path: str) -> List[str]:
    return [perf, "kwork", "-k", _KWORKS, "latency", "-i", path]


def _sleep(seconds: float) -> List[str]:
    return ["--", "sleep", f"{seconds:g}"]


def ask(perf: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """A short run of perf, for what it is and can."""
    try:
        return subprocess.run(
            [perf, *words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, _NO_PROGRAM, "", str(error))


def speaks_json(perf: str) -> bool:
    """perf stat has -j since Linux 5.19; an option it does not know ends in the usage."""
    return ask(perf, "stat", "-a", "-j", "-e", "cpu-clock", "--", "true").returncode != _USAGE


def sampling_event(perf: str) -> str:
    """What to sample by: cycles reach into code that holds interrupts off, where the machine counts them."""
    done = ask(perf, "stat", "-a", "-x", ",", "--log-fd", "1", "-e", "cycles", "--", "true")
    return "cycles" if done.stdout.partition(",")[0].isdecimal() else "cpu-clock"


class Job:
    """One part of the window: a command, or one that reads what the other writes."""

    def __init__(self, part: str, commands: List[List[str]]) -> None:
        self.part = part
        self.pending = b""
        self.passed_on = 0
        self.truncated = False
        self.stopped = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - until `end`
        self._processes: List[subprocess.Popen[bytes]] = []
        self._failure = ""
        source: Optional[IO[bytes]] = None
        try:
            for command in commands:
                process = subprocess.Popen(
                    command,
                    stdin=source or subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    env=environment(),
                    # A Ctrl-C at the agent's terminal is the agent's to handle.
                    start_new_session=True,
                )
                self._processes.append(process)
                if source is not None:
                    source.close()  # the reader's now
                source = process.stdout
        except OSError as error:
            self._failure = str(error)
            self.kill()
        self.output = source

    def stop(self) -> None:
        """Ask for an early end; what was measured is still printed."""
        self.stopped = True
        if self._processes:
            self._processes[0].send_signal(signal.SIGINT)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def end(self) -> Dict[str, Any]:
        """How it went, once the output has ended."""
        codes = []
        for process in self._processes:
            try:
                codes.append(process.wait(_PATIENCE_S))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        self._errors.seek(0)
        said = self._errors.read(_ERRORS).decode("utf-8", "replace")
        self._errors.close()
        if self.output is not None:
            self.output.close()
        return {
            "part": self.part,
            "exit_code": _NO_PROGRAM if self._failure else next((abs(code) for code in codes if code), 0),
            "stderr": self._failure or said,
            "stopped": self.stopped,
            "truncated": self.truncated,
        }


class Control(NamedTuple):
    """What the recorder wants: `read` is called when `fd` is readable, then `stopped` and `go` are true or not."""

    fd: int
    read: Callable[[], None]
    stopped: Callable[[], bool]
    go: Callable[[], bool]


class PerfWindow:
    """Runs perf for a while, from the recorder's word that there is something to see."""

    def __init__(self, stream: Stream, control: Control) -> None:
        self._stream = stream
        self._control = control
        self._outcomes: List[Dict[str, Any]] = []

    def run(self, seconds: float) -> None:
        """Look for so long at counters and stacks, and then a little at the latency of work items."""
        perf = shutil.which("perf") or ""
        version = ask(perf, "--version") if perf else None
        head: Dict[str, Any] = {"part": "begin", "seconds": seconds, "version": "", "event": "", "hz": SAMPLE_HZ}
        if version is None or version.returncode:
            said = version.stderr if version is not None else ""
            missing = {"exit_code": _NO_PROGRAM, "stderr": said, "stopped": False, "truncated": False}
            self._outcomes = [{"part": part, **missing} for part in ("stat", "stacks", "kwork")]
            self._stream.perf({**head, "t_ns": time.monotonic_ns()}, b"")
            self._stream.perf({"part": "end", "dt_ns": 0, "outcomes": self._outcomes}, b"")
            return
        event, as_json = sampling_event(perf), speaks_json(perf)
        head.update(version=version.stdout.strip(), event=event, t_ns=time.monotonic_ns())
        self._stream.perf(head, b"")
        self._await_go()
        began = time.monotonic_ns()
        stacks = [record_command(perf, event, seconds), script_command(perf)]
        self._follow(Job("stat", [stat_command(perf, seconds, as_json)]), Job("stacks", stacks), seconds=seconds)
        # perf takes its time to start and to end; it measured for as long as it slept, or was let.
        length = min(time.monotonic_ns() - began, int(seconds * 1e9))
        if not self._control.stopped():
            self._kwork(perf, min(seconds, KWORK_S))
        self._stream.perf({"part": "end", "dt_ns": length, "outcomes": self._outcomes}, b"")

    def _await_go(self) -> None:
        """Not for ever: a window without traffic is better than none."""
        give_up = time.monotonic() + _GO_S
        while not (self._control.go() or self._control.stopped()) and time.monotonic() < give_up:
            if select.select([self._control.fd], [], [], _HEARTBEAT_S)[0]:
                self._control.read()

    def _kwork(self, perf: str, seconds: float) -> None:
        with tempfile.TemporaryDirectory(prefix="wgprof-") as folder:
            path = os.path.join(folder, "kwork.data")
            self._follow(Job("kwork", [kwork_record_command(perf, seconds, path)]), seconds=seconds, passing=False)
            if self._outcomes[-1]["exit_code"] == 0 and not self._control.stopped():
                self._outcomes.pop()
                self._follow(Job("kwork", [kwork_latency_command(perf, path)]), seconds=0)

    def _follow(self, *jobs: Job, seconds: float, passing: bool = True) -> None:
        """Passes on what the jobs print until all have ended, and notes how they did."""
        running = {job.output.fileno(): job for job in jobs if job.output is not None}
        give_up = time.monotonic() + seconds + _PATIENCE_S
        last_frame = time.monotonic()
        while running:
            ready, _, _ = select.select([self._control.fd, *running], [], [], _HEARTBEAT_S)
            if self._control.fd in ready:
                self._control.read()
            for fd in [fd for fd in ready if fd in running]:
                if not self._read(fd, running[fd], passing):
                    del running[fd]
            now = time.monotonic()
            if now - last_frame >= _HEARTBEAT_S:
                last_frame = now
                for job in jobs:
                    if job.pending or job is jobs[0]:
                        self._send(job)
            if self._control.stopped():
                for job in jobs:
                    if not job.stopped:
                        job.stop()
                        give_up = now + _HEARTBEAT_S * 5
            if now > give_up:
                for job in jobs:
                    job.kill()
                break
        for job in jobs:
            if job.pending:
                self._send(job)
            self._outcomes.append(job.end())

    def _read(self, fd: int, job: Job, passing: bool) -> bool:
        """Takes what a job printed; False at its end."""
        data = os.read(fd, 1 << 16)
        room = MAX_OUTPUT - job.passed_on - len(job.pending) if passing else 0
        job.truncated = job.truncated or (passing and len(data) > room)
        job.pending += data[:room]
        if len(job.pending) >= _CHUNK:
            self._send(job)
        return bool(data)

    def _send(self, job: Job) -> None:
        self._stream.perf({"part": job.part}, job.pending)
        job.passed_on += len(job.pending)
        job.pending = b""
