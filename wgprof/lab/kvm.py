"""Whether KVM works here.  The device node proves nothing: only a machine that boots does."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from wgprof.lab import console
from wgprof.lab.image import LabImage
from wgprof.lab.initramfs import overlay_archive
from wgprof.lab.lock import Notify
from wgprof.lab.own_qemu import qemu_words, version_of
from wgprof.lab.paths import cache_dir
from wgprof.lab.qemu import Boot, MachineSettings, command_line
from wgprof.lab.run_dir import RunDir

DEVICE = Path("/dev/kvm")
#: guest/early.sh prints this and powers off when the kernel's command line has the word below.
PROOF = "wgprof lab: this kernel runs"
PROBE_WORD = "wgprof_probe"

#: A kernel that runs prints its first line within a fraction of a second.
FIRST_LINE_S = 5.0
WHOLE_S = 20.0


def usable(image: LabImage, notify: Notify) -> bool:
    """Whether the image's kernel boots under KVM.  The answer is kept until the host is restarted."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    path = cache_dir() / "kvm.json"
    known = _recall(path)
    version = ".".join(map(str, version_of(qemu_words())))
    circumstances = f"{image.release} on {os.uname().release} by QEMU {version}"
    if circumstances not in known:
        notify("lab: trying whether KVM works (once after each restart of this machine)")
        known[circumstances] = probe(image)
        path.write_text(json.dumps({"boot": _boot_id(), "works": known}))
        works = known[circumstances]
        notify("lab: KVM works" if works else "lab: /dev/kvm is there but a kernel does not boot with it; emulating")
    return known[circumstances]


def probe(image: LabImage) -> bool:
    """Boot the kernel under KVM as far as its first program."""
    with RunDir() as run_dir:
        initrd = run_dir / "initrd"
        initrd.write_bytes(image.initrd.read_bytes() + overlay_archive())
        settings = MachineSettings(append=f"{PROBE_WORD} earlyprintk=serial ignore_loglevel")
        command = command_line(settings, "kvm", Boot(image.vmlinuz, initrd), run_dir)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return _watch(process, run_dir / "console.log")
        finally:
            process.kill()
            process.wait()


def _watch(process: subprocess.Popen[bytes], log: Path) -> bool:
    started = time.monotonic()
    while True:
        ended = process.poll() is not None
        lines = console.tail(log, 2000)
        if any(PROOF in line for line in lines):
            return True
        elapsed = time.monotonic() - started
        mute = not any("Linux version" in line for line in lines)
        if ended or elapsed > WHOLE_S or (mute and elapsed > FIRST_LINE_S):
            return False
        time.sleep(0.1)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _recall(path: Path) -> dict[str, bool]:
    """The answers found since the host was started, by guest and host kernel."""
    try:
        value = json.loads(path.read_text())
        return {str(key): bool(works) for key, works in value["works"].items()} if value["boot"] == _boot_id() else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
