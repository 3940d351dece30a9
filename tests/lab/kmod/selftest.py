"""The kernel's own test of WireGuard, netns.sh: unmodified, from the source package a variant was built from.

It wants programs that the lab's images lack.  They are installed in the build environment of the same suite
and given to the machine as an archive.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.kmod.bed import booted, identity, load_talkative, troubles
from wgprof.errors import MachineError, WgprofError
from wgprof.kmod.chroot import Progress
from wgprof.kmod.environment import Environment, chroot_environment
from wgprof.kmod.lab import build_for
from wgprof.kmod.paths import cache_dir
from wgprof.kmod.source import take_selftest
from wgprof.kmod.suite import find_suite
from wgprof.lab.image import LabImage
from wgprof.lab.machine import EmulatorFailure

#: What it needs beside the image's programs, and what of it.
PACKAGES = ("ncat", "iptables")
PROGRAMS = ("/usr/bin/ncat", "/usr/sbin/xtables-nft-multi")
PLUGINS = "/usr/lib/x86_64-linux-gnu/xtables"

#: Its last line when all is well.
PASSED = "Objects that were created were also destroyed."

#: What it does on its way out, whatever the result.
CLEANUP = re.compile(r"NS\d: ip link del dev wg\d|ip netns del wg-test-\S+")

LIMIT_S = 900.0

#: Ncat 7.991 answers SIGTERM by killing its whole process group, which is netns.sh's (nmap issue 3489): it gets a
#: group of its own.  setsid keeps process number and name, by which netns.sh knows its listeners.
NCAT = "/usr/lib/wgprof/ncat"
NCAT_ALONE = f'#!/bin/sh\nexec setsid {NCAT} "$@"\n'

#: Standard input must neither end (netns.sh's pauses are reads with a time-out) nor ever have data: a pipe that is
#: open for writing, too.
COMMAND = (
    "tar -C / --skip-old-files -xf /payload/netns-tools.tar && "
    "ln -sf xtables-nft-multi /usr/sbin/iptables && ldconfig && "
    "mkfifo /run/silence && bash /payload/netns.sh <>/run/silence 2>&1"
)


@dataclass(frozen=True)
class SelftestResult:
    """How netns.sh ended.  `faults` is empty if all is well; `seconds` is its own time, without boot."""

    kernel: str
    variant: str
    last_line: str
    faults: tuple[str, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.faults


def run_selftest(image: LabImage, variant: str, logs: Path, progress: Progress) -> SelftestResult:
    """Run it on a variant in a fresh machine; its output and the kernel's log stay in `logs`.

    Raises EmulatorFailure, and MachineError if variant or tools cannot be had.
    """
    module = build_for(image, variant, progress)
    files = selftest_files(image.kernel, progress)
    with booted(image, module, files=files, notify=progress) as machine:
        load_talkative(machine, module)
        before = identity(machine)
        started = time.monotonic()
        result = machine.run(COMMAND, LIMIT_S)
        seconds = time.monotonic() - started
        after = identity(machine)
        log = machine.check("dmesg")
        removed = machine.run("rmmod wireguard")
    logs.mkdir(parents=True, exist_ok=True)
    (logs / f"{image.kernel}-{variant}.out").write_text(result.stdout)
    (logs / f"{image.kernel}-{variant}.dmesg").write_text(log)
    last = last_line(result.stdout)
    faults = []
    if before[0] != variant or after != before:
        faults.append(f"{before} was loaded before and {after} after")
    if result.exit_code or last != PASSED:
        faults.append("ran into the time limit" if result.exit_code == 124 else f"exit code {result.exit_code}")
    if " created" not in log:
        faults.append("the kernel did not say which objects it made")
    if removed.exit_code:
        faults.append("the module is still in use")
    faults += troubles(log)[:3]
    return SelftestResult(image.kernel, variant, last, tuple(faults), seconds)


def attempt_selftest(image: LabImage, variant: str, logs: Path, progress: Progress) -> SelftestResult:
    """As `run_selftest`, once more if the emulator failed; any error is a fault of the result."""
    started = time.monotonic()
    try:
        try:
            return run_selftest(image, variant, logs, progress)
        except EmulatorFailure as error:
            progress(f"the emulator failed, once more: {error.sentence}")
            started = time.monotonic()
            return run_selftest(image, variant, logs, progress)
    except WgprofError as error:
        return SelftestResult(image.kernel, variant, "", (error.sentence,), time.monotonic() - started)


def last_line(output: str) -> str:
    """The last line before it cleaned up, without colours and its own mark: what it was doing when it ended."""
    lines = [line.removeprefix("[+] ") for line in re.sub(r"\x1b\[[0-9;]*m", "", output).strip().splitlines()]
    while lines and CLEANUP.fullmatch(lines[-1]):
        lines.pop()
    return lines[-1] if lines else "it said nothing"


def selftest_files(kernel: str, progress: Progress) -> tuple[tuple[Path, str], ...]:
    """netns.sh and its tools for a kernel series, made first if they are missing.  Raises MachineError."""
    environment = chroot_environment(find_suite(kernel), progress)
    folder = cache_dir() / "selftest" / environment.release
    script, tools = folder / "netns.sh", folder / "netns-tools.tar"
    if not script.is_file():
        progress(f"taking netns.sh for {environment.release}")
        take_selftest(environment, folder)
    if not tools.is_file():
        progress(f"taking netns.sh's tools for {environment.release}")
        _install(environment)
        part = tools.with_suffix(".part")
        _pack(environment, part)
        part.rename(tools)
    return ((script, script.name), (tools, tools.name))


def _install(environment: Environment) -> None:
    if all((environment.root / program.lstrip("/")).exists() for program in PROGRAMS):
        return
    if os.geteuid():
        raise MachineError("installing netns.sh's tools needs root", "Run the same command with sudo.")
    # The environment has no package lists and runs no services.
    script = (
        "apt-get -q -o Acquire::Check-Valid-Until=false update && "
        f"apt-get -q -y --no-install-recommends install {' '.join(PACKAGES)}"
    )
    result = environment.run(["env", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", script])
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("E:")] or ["apt-get said nothing"]
        raise MachineError(f"netns.sh's tools cannot be installed: {errors[0]}", "Check the network.")
    shutil.rmtree(environment.root / "var/lib/apt/lists", ignore_errors=True)


def _pack(environment: Environment, archive: Path) -> None:
    """The programs, the libraries they load, and iptables' plugins, with paths as in the guest."""
    said = environment.run(["ldd", *PROGRAMS]).stdout
    libraries = re.findall(r"=> (/\S+)", said)
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in sorted({*PROGRAMS, *libraries}):
            # /lib and /bin are links to /usr: an archive must not replace them by folders.
            name = re.sub(r"^/(lib|bin|sbin|lib64)/", r"/usr/\1/", path).lstrip("/")
            tar.add((environment.root / name).resolve(), NCAT.lstrip("/") if name == "usr/bin/ncat" else name)
        tar.add(environment.root / PLUGINS.lstrip("/"), PLUGINS.lstrip("/"))
        alone = tarfile.TarInfo("usr/bin/ncat")
        alone.size, alone.mode = len(NCAT_ALONE), 0o755
        tar.addfile(alone, io.BytesIO(NCAT_ALONE.encode()))
