"""A virtual machine of the lab: boots an image, runs commands, streams an agent's bytes, leaves nothing behind."""

from __future__ import annotations

import atexit
import os
import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from wgprof.errors import MachineError
from wgprof.lab import console, kvm, qemu
from wgprof.lab.channel import ChannelClosed, CommandResult, Job, connect
from wgprof.lab.emulator import SOCKET_S, Emulator
from wgprof.lab.image import LabImage
from wgprof.lab.lock import Notify, hold
from wgprof.lab.own_qemu import ensure_qemu
from wgprof.lab.paths import lab_lock_path
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.run_dir import remove_stale_run_dirs
from wgprof.lab.stream import AgentStreams

BOOT_ATTEMPTS = 3
#: About ten times what a boot takes on a quiet machine.
BOOT_TIMEOUT_S = 75.0
#: Counted instructions run on one thread; everything may take this much longer.
ICOUNT_PATIENCE = 3.0
#: After a command's own limit the guest must answer within this time, or the emulator hangs.
ANSWER_S = 20.0
LOCK_WAIT_S = 15.0
AGENT_ERRORS = "/run/agent.err"


class EmulatorFailure(MachineError):
    """The emulated machine did not boot, hung, or died: not a fault of what was measured in it."""


class NeverBooted(EmulatorFailure):
    """It did not boot, however often it was tried."""


class Machine:
    """One machine, from `boot` to `close`; a context manager.

    It must be booted by a thread that outlives it: QEMU is killed when that thread ends, so that
    not even a killed wgprof leaves it running.
    """

    def __init__(
        self, image: LabImage, settings: MachineSettings | None = None, notify: Notify = lambda line: None
    ) -> None:
        self.image = image
        self.settings = settings or MachineSettings()
        self.notify = notify
        self.accel = ""
        self.boot_seconds = 0.0
        self.failed_boots = 0
        self._resources = ExitStack()
        self._emulator: Emulator | None = None
        self._agent: AgentStreams | None = None

    def __enter__(self) -> Machine:
        if self._emulator is None:
            self.boot()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- life

    def boot(self) -> None:
        """Boot, with up to BOOT_ATTEMPTS attempts.

        Raises MachineError when another lab is running or QEMU is missing, NeverBooted, with
        the console's last lines, when the machine does not boot.
        """
        ensure_qemu(self.notify)
        atexit.register(self.close)
        remedy = "Wait until it has finished, or end it (WGPROF_LAB_WAIT=SECONDS waits longer)."
        try:
            self._resources.enter_context(hold(lab_lock_path(), "the lab", lock_wait_s(), self.notify, remedy))
            remove_stale_run_dirs()
            self.accel = self._choose_accelerator()
            self._boot_with_retries()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the machine and remove its files.  May be called twice."""
        if self._emulator is not None:
            self._emulator.stop()  # first, so that whoever reads from the agent is not left waiting
            self._emulator = None
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        self._resources.close()
        atexit.unregister(self.close)

    @property
    def alive(self) -> bool:
        return self._emulator is not None and self._emulator.alive

    @property
    def pid(self) -> int:
        """QEMU's process number.  Raises EmulatorFailure if it is not running."""
        return self._running().process.pid

    # -- commands

    def start(self, command: str, limit_s: float = 0) -> Job:
        """Run a shell script in the guest in the background; a limit of 0 is none.  Raises EmulatorFailure."""
        control = self._running().control
        assert control is not None, "a machine that has booted has a control channel"
        try:
            return control.start(command, limit_s)
        except ChannelClosed as error:
            raise self._died() from error

    def wait(self, job: Job, timeout: float) -> CommandResult:
        """A background command's result.  Raises EmulatorFailure if none comes within `timeout`."""
        try:
            return job.wait(timeout)
        except ChannelClosed as error:
            raise self._died() from error
        except TimeoutError as error:
            raise EmulatorFailure(
                f"the lab's machine gave no answer within {timeout:.0f} s to: {job.command.strip()[:100]}",
                self._running().last_words("hung"),
            ) from error

    def run(self, command: str, timeout: float = 60.0) -> CommandResult:
        """Run a shell script in the guest; it is ended after `timeout` seconds (exit code 124).

        Raises EmulatorFailure when the guest dies or does not answer.
        """
        limit = timeout * self.patience
        return self.wait(self.start(command, limit), limit + ANSWER_S * self.patience)

    def check(self, command: str, timeout: float = 60.0) -> str:
        """As `run`, and returns the standard output.  Raises MachineError if the command fails."""
        result = self.run(command, timeout)
        if result.exit_code:
            said = console.clean(result.stderr or result.stdout)[-3:]
            raise MachineError(
                f"in the lab's machine, `{command.strip()[:80]}` ended with exit code {result.exit_code}",
                " / ".join(said),
            )
        return result.stdout

    def open_agent(self, command: str) -> AgentStreams:
        """Run `command` in the guest with its standard input and output here, its errors in a file.

        One at a time.  Raises EmulatorFailure.
        """
        emulator = self._running()
        if self._agent is not None:
            self._agent.close()
            self.wait(self._agent.job, ANSWER_S)  # the guest's ports can be opened once at a time
        mark = secrets.token_hex(16)
        try:
            to_guest = connect(emulator.socket("agent-in"), SOCKET_S, lambda: self.alive)
            from_guest = connect(emulator.socket("agent-out"), SOCKET_S, lambda: self.alive)
            job = self.start(agent_script(command, mark))
            self._agent = AgentStreams(to_guest, from_guest, mark.encode(), job, ANSWER_S * self.patience)
        except TimeoutError as error:
            raise EmulatorFailure("the lab's machine does not open its agent's ports") from error
        except (OSError, ChannelClosed) as error:
            raise self._died() from error
        return self._agent

    def agent_errors(self) -> str:
        """The last of what the agent wrote to its standard error.  Raises EmulatorFailure if the machine is gone."""
        return self.run(f"tail -c 4000 {AGENT_ERRORS}", 10).stdout.strip()

    # -- facts

    @property
    def patience(self) -> float:
        """The factor by which limits are longer with counted instructions."""
        return ICOUNT_PATIENCE if self.settings.icount else 1.0

    def console_tail(self, count: int = 12) -> list[str]:
        return self._emulator.console_tail(count) if self._emulator else []

    def terminal_socket(self) -> Path:
        """The socket of the guest's terminal /dev/hvc0."""
        return self._running().socket(qemu.TERMINAL)

    def vcpu_seconds(self) -> float:
        """Host CPU time the guest's CPUs have used so far."""
        return qemu.vcpu_seconds(self.pid) if self.alive else 0.0

    def describe(self) -> dict[str, object]:
        """For a recording's manifest."""
        return {
            "kernel": self.image.release,
            "cpus": self.settings.cpus,
            "memory_mb": self.settings.memory_mb,
            "accel": self.accel,
            "icount": self.settings.icount,
            "host_cores": host_cores(),
            "boot_s": round(self.boot_seconds, 1),
            "failed_boots": self.failed_boots,
        }

    # -- how it boots and dies

    def _choose_accelerator(self) -> str:
        wanted = self.settings.accel
        if self.settings.icount or wanted == "tcg":
            return "tcg"
        if kvm.usable(self.image, self.notify):
            return "kvm"
        if wanted == "kvm":
            raise MachineError("KVM does not work on this machine", "Leave the choice to the lab: it emulates then.")
        return "tcg"

    def _boot_with_retries(self) -> None:
        reason = words = ""
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            started = time.monotonic()
            self._emulator = Emulator(self.image, self.settings, self.accel)
            reason = self._emulator.wait_ready(BOOT_TIMEOUT_S * self.patience)
            if not reason:
                self.boot_seconds = time.monotonic() - started
                self.notify(f"lab: kernel {self.image.release} is up after {self.boot_seconds:.0f} s")
                return
            self.failed_boots += 1
            words = self._emulator.last_words(f"boot{attempt}")
            self._emulator.stop()
            self._emulator = None
            if attempt < BOOT_ATTEMPTS:
                self.notify(f"lab: the machine did not boot ({reason}); trying again")
        raise NeverBooted(f"the lab's machine did not boot in {BOOT_ATTEMPTS} attempts: {reason}", words)

    def _running(self) -> Emulator:
        if self._emulator is None:
            raise EmulatorFailure("the lab's machine is not running")
        return self._emulator

    def _died(self) -> EmulatorFailure:
        emulator = self._running()
        reason = emulator.panic()
        sentence = "the lab's machine died" + (f": {reason}" if reason else "")
        return EmulatorFailure(sentence, emulator.last_words("died"))


def host_cores() -> int:
    """The cores this process may use: more busy guest CPUs than that wait for each other unseen."""
    return len(os.sched_getaffinity(0))


def lock_wait_s() -> float:
    """How long to wait for another lab: $WGPROF_LAB_WAIT, else LOCK_WAIT_S."""
    try:
        return float(os.environ["WGPROF_LAB_WAIT"])
    except (KeyError, ValueError):
        return LOCK_WAIT_S


def agent_script(command: str, mark: str) -> str:
    """The guest's side of `open_agent`.

    The mark is exchanged first: until the host is connected a port reads as an end of file, and until the
    guest has opened it, QEMU drops what a host that hung up has written.  The mark at the end stands for the
    end of file that a port cannot carry to the host.
    """
    return f"""
exec 4<>/dev/virtio-ports/agent-in 5<>/dev/virtio-ports/agent-out
tries=0
until IFS= read -r word <&4 && [ "$word" = {mark} ]; do
	tries=$((tries + 1)); [ $tries -lt 200 ] || exit 97; sleep 0.05
done
printf %s {mark} >&5
(
{command}
) <&4 >&5 2>{AGENT_ERRORS} 4<&- 5>&-
code=$?
printf %s {mark} >&5
exit $code
"""
