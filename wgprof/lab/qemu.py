"""QEMU's command line, and what the host knows of its threads."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from wgprof.lab.own_qemu import qemu_words

#: Ports of the virtio-serial device, each a socket of this name in the machine's run folder.
PORTS = ("ctl", "agent-in", "agent-out")
TERMINAL = "terminal"

#: The drive with the payload, in the run folder.
PAYLOAD = "payload.tar"


@dataclass(frozen=True)
class MachineSettings:
    """What a machine is to be like."""

    cpus: int = 2
    memory_mb: int = 2048
    icount: bool = False  # virtual time counts instructions: costs repeat exactly, parallelism does not exist
    accel: str = "auto"  # "auto" uses KVM where a probe boot has proved it, "tcg" and "kvm" insist
    append: str = ""  # more words for the kernel's command line
    payload: tuple[tuple[Path, str], ...] = ()  # files and their names under /payload in the guest


def accelerator(accel: str, icount: bool) -> list[str]:
    """Command line words for how the guest's instructions are carried out."""
    if accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    # Nehalem: emulated wide SIMD is slow, and newer models have been seen to panic early.
    if icount:
        return ["-accel", "tcg,thread=single", "-icount", "shift=2,sleep=off", "-cpu", "Nehalem-v2"]
    return ["-accel", "tcg,thread=multi", "-cpu", "Nehalem-v2"]


def kernel_command_line(append: str = "") -> str:
    """`panic=-1` restarts at once on a panic, which QEMU turns into its end (-no-reboot)."""
    return f"console=ttyS0 root=/dev/vda panic=-1 quiet mitigations=off tsc=reliable {append}".strip()


@dataclass(frozen=True)
class Boot:
    """What is booted; without a disk the kernel gets as far as its first program."""

    kernel: Path
    initrd: Path
    disk: Path | None = None


def command_line(settings: MachineSettings, accel: str, boot: Boot, run_dir: Path) -> list[str]:
    """The whole command; the disk is never written to (snapshot)."""
    command = [*qemu_words(), "-name", "wgprof-lab,debug-threads=on", "-machine", "q35", "-nodefaults"]
    command += accelerator(accel, settings.icount and accel != "kvm")
    command += ["-smp", str(settings.cpus), "-m", str(settings.memory_mb)]
    command += ["-display", "none", "-no-reboot", "-nic", "none", "-serial", f"file:{run_dir / 'console.log'}"]
    command += [
        "-kernel",
        str(boot.kernel),
        "-initrd",
        str(boot.initrd),
        "-append",
        kernel_command_line(settings.append),
    ]
    command += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci,max_ports=8"]
    for number, port in enumerate(PORTS):
        command += ["-chardev", f"socket,id=port{number},path={run_dir / port}.sock,server=on,wait=off"]
        command += ["-device", f"virtserialport,chardev=port{number},name={port}"]
    command += ["-chardev", f"socket,id=tty,path={run_dir / TERMINAL}.sock,server=on,wait=off"]
    command += ["-device", "virtconsole,chardev=tty"]
    if boot.disk is not None:
        command += ["-drive", f"file={_option(boot.disk)},if=virtio,format=raw,snapshot=on"]
        command += ["-drive", f"file={_option(run_dir / PAYLOAD)},if=virtio,format=raw,readonly=on"]
    return tied_to_this_process(command)


def tied_to_this_process(command: list[str]) -> list[str]:
    """Make the kernel kill the command when the thread that starts it ends, even by SIGKILL."""
    if shutil.which("setpriv"):
        return ["setpriv", "--pdeathsig", "KILL", *command]
    return command  # the guest still powers itself off when the port `ctl` is closed


def _option(path: Path) -> str:
    return str(path).replace(",", ",,")  # QEMU's way to quote a comma


def vcpu_seconds(pid: int) -> float:
    """Host CPU time used by the threads that run the guest's CPUs.  Zero if the process is gone."""
    ticks = 0
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0.0
    for task in tasks:
        try:
            if is_vcpu_thread((task / "comm").read_text().strip()):
                ticks += thread_ticks((task / "stat").read_text())
        except OSError:
            continue  # the thread ended
    return ticks / os.sysconf("SC_CLK_TCK")


def is_vcpu_thread(comm: str) -> bool:
    """QEMU names them "CPU 0/TCG", "CPU 1/KVM", or "ALL CPUs/TCG"."""
    return comm.startswith(("CPU ", "ALL CPUs"))


def thread_ticks(stat: str) -> int:
    """User plus system time from a line of /proc/PID/task/TID/stat."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
