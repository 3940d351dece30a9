"""What this machine can do: as a target of its own, and as a host of the lab."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab import kvm, own_qemu
from wgprof.lab.image import find_tool, list_images
from wgprof.lab.paths import cache_dir
from wgprof.targets.local import python_with_bcc
from wgprof.targets.zipapp import build_agent

_AGENT_TIMEOUT_S = 60
#: An image, and the room to build it in.
_LAB_BYTES = 6 << 30
_TOOLS = (
    ("image builder", "mmdebstrap", "mmdebstrap"),
    ("file system maker", "mke2fs", "e2fsprogs"),
)


@dataclass(frozen=True)
class Check:
    """One requirement: state is ok, degraded, missing or unknown."""

    target: str
    requirement: str
    state: str
    found: str
    effect: str = ""
    remedy: str = ""


def local_checks() -> list[Check]:
    """This machine as a target; what only root can see is unknown to others."""
    become_root = [] if os.geteuid() == 0 else _silent_sudo()
    python = python_with_bcc() or "/usr/bin/python3"
    with tempfile.TemporaryDirectory(prefix="wgprof-agent-") as folder:
        agent = build_agent(Path(folder) / "agent.pyz")
        Path(folder).chmod(0o755)
        agent.chmod(0o644)
        try:
            done = subprocess.run(
                [*become_root, python, "-I", str(agent), "doctor"],
                check=True,
                capture_output=True,
                timeout=_AGENT_TIMEOUT_S,
            )
            found = json.loads(done.stdout)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            words = getattr(error, "stderr", None) or str(error).encode()
            last = words.decode("utf-8", "replace").strip().splitlines()[-1:]
            return [Check("local", "agent", "missing", " ".join(last), "this machine cannot be profiled", "")]
    return [Check(target="local", **row) for row in found]


def lab_checks() -> list[Check]:
    """This machine as the lab's host."""
    checks = [_qemu()]
    for name, tool, package in _TOOLS:
        path = find_tool(tool)
        if path:
            checks.append(Check("lab", name, "ok", str(path)))
        else:
            remedy = f"Install it: apt install {package}"
            checks.append(Check("lab", name, "missing", f"no {tool}", "the lab cannot run", remedy))
    return [*checks, _architecture(), _kvm(), _image(), _space()]


def _qemu() -> Check:
    try:
        host = own_qemu.host_qemu()
    except MachineError as error:
        return Check("lab", "QEMU", "missing", f"no {own_qemu.QEMU}", "the lab cannot run", error.remedy)
    version = ".".join(map(str, own_qemu.version_of([host]))) or "of unknown version"
    if own_qemu.is_sound([host]):
        return Check("lab", "QEMU", "ok", f"{host} {version}")
    own = own_qemu.version_of(own_qemu.own_words(own_qemu.own_dir()))
    if own:
        return Check("lab", "QEMU", "ok", f"the lab's own {'.'.join(map(str, own))}, as the host's is {version}")
    effect = "its guests crash now and then when probes are attached; the first lab recording fetches a newer one"
    return Check("lab", "QEMU", "degraded", f"{host} {version}", effect, "wgprof lab build")


def _architecture() -> Check:
    machine = platform.machine()
    if machine == "x86_64":
        return Check("lab", "architecture", "ok", machine)
    return Check(
        "lab", "architecture", "degraded", machine, "x86 is emulated on another processor: slower", "Nothing to do."
    )


def _kvm() -> Check:
    if not kvm.DEVICE.exists():
        return Check("lab", "KVM", "degraded", f"no {kvm.DEVICE}", "the lab is emulated: real counts, unreal speed", "")
    return Check(
        "lab",
        "KVM",
        "unknown",
        f"{kvm.DEVICE} exists; a short boot decides before the first use",
        "if no guest boots with it, the lab is emulated: real counts, unreal speed",
    )


def _image() -> Check:
    built = [state for state in list_images() if state.state == "ready"]
    if built:
        return Check("lab", "image", "ok", "kernels " + ", ".join(state.kernel for state in built))
    return Check("lab", "image", "degraded", "none yet", "the first lab recording builds one", "wgprof lab build")


def _space() -> Check:
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GiB free in {folder}"
    if free >= _LAB_BYTES:
        return Check("lab", "disk space", "ok", found)
    return Check(
        "lab", "disk space", "missing", found, "no image can be built", "Free some, or set WGPROF_CACHE elsewhere."
    )


def _silent_sudo() -> list[str]:
    """sudo, if it asks for no password; a doctor does not."""
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode == 0:
        return [sudo, "-n"]
    return []
