"""A virtual machine of the lab: boots an image, runs commands, streams an agent's bytes, leaves nothing behind."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from wgprof.errors import MachineError
from wgprof.lab import console, kvm, qemu
from wgprof.lab.channel import ChannelClosed, CommandResult, ControlChannel, Job, connect
from wgprof.lab.image import LabImage
from wgprof.lab.initramfs import overlay_archive
from wgprof.lab.lock import Notify, hold
from wgprof.lab.paths import cache_dir, guest_dir, lab_lock_path
from wgprof.lab.qemu import Boot, MachineSettings
from wgprof.lab.stream import AgentStreams

BOOT_ATTEMPTS = 3
#: About eight times what a boot takes on a quiet machine.
BOOT_TIMEOUT_S = 75.0
#: Counted instructions run on one thread; everything may take this much longer.
ICOUNT_PATIENCE = 3.0
#: After a command's own limit the guest must answer within this time, or the emulator hangs.
ANSWER_S = 20.0
LOCK_WAIT_S = 15.0
KEPT_LOGS = 10
RUN_PREFIX = "wgprof-lab-"
AGENT_ERRORS = "/run/agent.err"


class EmulatorFailure(MachineError):
    """The emulated machine did not boot, hung, or died: not a fault of what was measured in it."""


class Machine:
    """One machine, from `boot` to `close`; a context manager.

    It must be booted by a thread that outlives it: QEMU is killed when that thread ends, so that
    not even a killed wgprof leaves it running.
    """

    def __init__(self, image: LabImage, settings: MachineSettings | None = None, notify: Notify = lambda line: None):
        self.image = image
        self.settings = settings or MachineSettings()
        self.notify = notify
        self.accel = ""
        self.boot_seconds = 0.0
        self.failed_boots: list[Path] = []  # console logs of attempts that failed
        self._resources = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._run_dir: Path | None = None
        self._control: ControlChannel | None = None
        self._agent: AgentStreams | None = None
        self._booted_at = 0.0

    def __enter__(self) -> Machine:
        if self._process is None:
            self.boot()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- life

    def boot(self) -> None:
        """Boot, with up to BOOT_ATTEMPTS attempts.

        Raises MachineError when another lab is running or QEMU is missing, EmulatorFailure, with
        the console's last lines, when the machine does not boot.
        """
        qemu.require_qemu()
        atexit.register(self.close)
        try:
            wait_s = lock_wait_s()
            self._resources.enter_context(
                hold(
                    lab_lock_path(),
                    "the lab",
                    wait_s,
                    self.notify,
                    "Wait until it has finished, or end it (set WGPROF_LAB_WAIT to wait longer, in seconds).",
                )
            )
            _remove_stale_run_dirs()
            self.accel = self._choose_accelerator()
            self._boot_with_retries()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the machine and remove its files.  May be called twice."""
        self._stop()
        self._resources.close()
        atexit.unregister(self.close)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # -- commands

    def start(self, command: str, limit_s: float = 0) -> Job:
        """Run a shell script in the guest in the background; a limit of 0 is none.  Raises EmulatorFailure."""
        if self._control is None:
            raise EmulatorFailure("the lab's machine is not running")
        try:
            return self._control.start(command, limit_s)
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
                self._console_words(self._keep_log("hung")),
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
        if self._agent is not None:
            self._agent.close()
            self.wait(self._agent.job, ANSWER_S)  # the guest's ports can be opened once at a time
        mark = secrets.token_hex(16)
        try:
            to_guest = connect(self._socket("agent-in"), 5.0, lambda: self.alive)
            from_guest = connect(self._socket("agent-out"), 5.0, lambda: self.alive)
            job = self.start(agent_script(command, mark))
            self._agent = AgentStreams(to_guest, from_guest, mark.encode(), job, ANSWER_S * self.patience)
        except TimeoutError as error:
            raise EmulatorFailure("the lab's machine does not open its agent's ports") from error
        except (OSError, ChannelClosed) as error:
            raise self._died() from error
        return self._agent

    def agent_errors(self) -> str:
        """The last of what the agent wrote to its standard error; empty if the machine is gone."""
        try:
            return self.run(f"tail -c 4000 {AGENT_ERRORS}", 10).stdout.strip()
        except MachineError:
            return ""

    # -- facts

    @property
    def patience(self) -> float:
        """The factor by which limits are longer with counted instructions."""
        return ICOUNT_PATIENCE if self.settings.icount else 1.0

    def console_tail(self, count: int = 12) -> list[str]:
        return console.tail(self._run_dir / "console.log", count) if self._run_dir else []

    def terminal_socket(self) -> Path:
        """The socket of the guest's terminal /dev/hvc0."""
        return self._socket(qemu.TERMINAL)

    def vcpu_seconds(self) -> float:
        """Host CPU time the guest's CPUs have used so far."""
        return qemu.vcpu_seconds(self._process.pid) if self._process else 0.0

    def describe(self) -> dict[str, object]:
        """For a recording's manifest."""
        return {
            "kernel": self.image.release,
            "cpus": self.settings.cpus,
            "memory_mb": self.settings.memory_mb,
            "accel": self.accel,
            "icount": self.settings.icount,
            "host_cores": len(os.sched_getaffinity(0)),
            "boot_s": round(self.boot_seconds, 1),
            "failed_boots": len(self.failed_boots),
        }

    # -- how a boot works

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
        reason = ""
        for attempt in range(1, BOOT_ATTEMPTS + 1):
            started = time.monotonic()
            reason = self._attempt()
            if not reason:
                self.boot_seconds = time.monotonic() - started
                self.notify(f"lab: kernel {self.image.release} is up after {self.boot_seconds:.0f} s")
                return
            log = self._keep_log(f"boot{attempt}")
            if log:
                self.failed_boots.append(log)
            words = self._console_words(log)
            self._stop()
            if attempt < BOOT_ATTEMPTS:
                self.notify(f"lab: the machine did not boot ({reason}); trying again")
        raise EmulatorFailure(f"the lab's machine did not boot in {BOOT_ATTEMPTS} attempts: {reason}", words)

    def _attempt(self) -> str:
        """Boot once; returns why it failed, or an empty string."""
        run_dir = self._run_dir = Path(tempfile.mkdtemp(prefix=RUN_PREFIX))
        initrd = run_dir / "initrd"
        initrd.write_bytes(self.image.initrd.read_bytes() + overlay_archive())
        write_payload(run_dir / "payload.tar", self.settings.payload)
        command = qemu.command_line(
            self.settings, self.accel, Boot(self.image.vmlinuz, initrd, self.image.disk), run_dir
        )
        with (run_dir / "qemu.log").open("wb") as log:
            # Its own session: Ctrl-C is for wgprof, which then ends the recording properly.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + BOOT_TIMEOUT_S * self.patience
        try:
            self._control = ControlChannel(connect(self._socket("ctl"), 10.0, lambda: self.alive))
        except (ChannelClosed, TimeoutError) as error:
            said = console.tail(run_dir / "qemu.log", 1)
            return said[0] if said else str(error)
        while not self._control.wait_ready(0.25):
            panic = console.panic_line(run_dir / "console.log")
            if panic:
                return panic
            if not self.alive:
                said = console.tail(run_dir / "qemu.log", 1)
                return f"QEMU ended ({said[0]})" if said else "QEMU ended"
            if time.monotonic() > deadline:
                return f"nothing heard for {BOOT_TIMEOUT_S * self.patience:.0f} s"
        return ""

    def _stop(self) -> None:
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir = None

    def _socket(self, port: str) -> Path:
        if self._run_dir is None:
            raise EmulatorFailure("the lab's machine is not running")
        return self._run_dir / f"{port}.sock"

    # -- what is said when it dies

    def _died(self) -> EmulatorFailure:
        path = self._run_dir / "console.log" if self._run_dir else None
        reason = console.panic_line(path) if path else ""
        sentence = "the lab's machine died" + (f": {reason}" if reason else "")
        return EmulatorFailure(sentence, self._console_words(self._keep_log("died")))

    def _console_words(self, log: Path | None) -> str:
        lines = self.console_tail()
        if not lines:
            return "Its console was silent. Run it again."
        kept = [f"The whole log: {log}"] if log else []
        return "\n".join(["Its console's last lines:", *(f"  | {line}" for line in lines), *kept])

    def _keep_log(self, occasion: str) -> Path | None:
        """Copy the console's log to the cache; only the newest KEPT_LOGS stay."""
        if self._run_dir is None:
            return None
        logs = cache_dir() / "logs"
        try:
            logs.mkdir(parents=True, exist_ok=True)
            target = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{occasion}.log"
            shutil.copyfile(self._run_dir / "console.log", target)
            for old in sorted(logs.glob("*.log"))[:-KEPT_LOGS]:
                old.unlink(missing_ok=True)
        except OSError:
            return None  # an unwritable cache must not hide the failure itself
        return target


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


def write_payload(path: Path, files: tuple[tuple[Path, str], ...]) -> None:
    """A tar of the guest's scripts and of `files`, as the drive that the guest unpacks to /payload."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for script in sorted(guest_dir().glob("*.sh")):
            archive.add(script, script.name)
        for source, name in files:
            try:
                archive.add(source, name)
            except OSError as error:
                raise MachineError(f"cannot take {source} into the lab: {error.strerror}") from error


def _remove_stale_run_dirs() -> None:
    """Folders of machines whose wgprof was killed; the lab's lock is held, so none is in use."""
    for leftover in Path(tempfile.gettempdir()).glob(f"{RUN_PREFIX}*"):
        if leftover.is_dir() and not leftover.is_symlink() and leftover.stat().st_uid == os.geteuid():
            shutil.rmtree(leftover, ignore_errors=True)
