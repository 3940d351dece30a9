"""One QEMU process: its run folder, its boot, its console, its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab import console, qemu
from wgprof.lab.channel import ChannelClosed, ControlChannel, connect
from wgprof.lab.image import LabImage
from wgprof.lab.initramfs import overlay_archive
from wgprof.lab.paths import cache_dir, guest_dir
from wgprof.lab.qemu import Boot, MachineSettings
from wgprof.lab.run_dir import RunDir

CONSOLE_LOG = "console.log"
QEMU_LOG = "qemu.log"
SOCKET_S = 10.0
KEPT_LOGS = 10


class Emulator:
    """A started QEMU.  `wait_ready` must say that the guest is up before `control` is used."""

    def __init__(self, image: LabImage, settings: MachineSettings, accel: str) -> None:
        """Start it.  Raises MachineError when QEMU or a file of the payload is missing."""
        self.control: ControlChannel | None = None
        self._folder = RunDir()
        self.run_dir = self._folder.path
        try:
            initrd = self.run_dir / "initrd"
            initrd.write_bytes(image.initrd.read_bytes() + overlay_archive())
            write_payload(self.run_dir / qemu.PAYLOAD, settings.payload)
            command = qemu.command_line(settings, accel, Boot(image.vmlinuz, initrd, image.disk), self.run_dir)
            with (self.run_dir / QEMU_LOG).open("wb") as log:
                # Its own session: Ctrl-C is for wgprof, which then ends the recording properly.
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except BaseException:
            self._folder.remove()
            raise

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self, timeout: float) -> str:
        """Wait for the guest's greeting; returns why there will be none, or an empty string."""
        deadline = time.monotonic() + timeout
        try:
            self.control = ControlChannel(connect(self.socket("ctl"), SOCKET_S, lambda: self.alive))
        except (ChannelClosed, TimeoutError) as error:
            return self._said() or str(error)
        while not self.control.wait_ready(0.25):
            panic = self.panic()
            if panic:
                return panic
            if not self.alive:
                return f"QEMU ended ({self._said() or 'without a word'})"
            if time.monotonic() > deadline:
                return f"nothing heard for {timeout:.0f} s"
        return ""

    def stop(self) -> None:
        """Kill it and remove its files."""
        self.process.kill()
        self.process.wait()
        if self.control is not None:
            self.control.close()
        self._folder.remove()

    def socket(self, port: str) -> Path:
        return self.run_dir / f"{port}.sock"

    def console_tail(self, count: int = 12) -> list[str]:
        return console.telling_tail(self.run_dir / CONSOLE_LOG, count)

    def panic(self) -> str:
        """The guest kernel's reason if it died, else an empty string."""
        return console.panic_line(self.run_dir / CONSOLE_LOG)

    def keep_log(self, occasion: str) -> Path | None:
        """Copy the console's log to the cache, where the newest KEPT_LOGS stay; None if that fails."""
        logs = cache_dir() / "logs"
        try:
            logs.mkdir(parents=True, exist_ok=True)
            target = logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{occasion}.log"
            shutil.copyfile(self.run_dir / CONSOLE_LOG, target)
            for old in sorted(logs.glob("*.log"))[:-KEPT_LOGS]:
                old.unlink(missing_ok=True)
        except OSError:
            return None  # an unwritable cache must not hide the failure itself
        return target

    def last_words(self, occasion: str) -> str:
        """The console's last lines, and where the whole log is kept."""
        log = self.keep_log(occasion)
        lines = self.console_tail()
        if not lines:
            return "Its console was silent. Run it again."
        kept = [f"The whole log: {log}"] if log else []
        return "\n".join(["Its console's last lines:", *(f"  | {line}" for line in lines), *kept])

    def _said(self) -> str:
        """QEMU's own last line."""
        return "".join(console.tail(self.run_dir / QEMU_LOG, 1))


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
