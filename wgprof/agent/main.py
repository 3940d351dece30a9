"""Entry of the agent: `record` and `doctor`.

Everything the user has to know leaves as frames, so that any target can pass it on; what the
interpreter or bcc write to stderr are the agent's last words, should it die.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import zipfile
from typing import Any, Dict, List, NoReturn, Optional

from wgprof.agent import kernel, netns
from wgprof.agent.btf import BtfError
from wgprof.agent.frames import Kind
from wgprof.agent.maps import BLOCK_BYTES, DETAIL_BLOCK_BYTES
from wgprof.agent.outer import Outer
from wgprof.agent.plan import PlanError, describe_detail, load_plan
from wgprof.agent.recorder import Recorder, hello
from wgprof.agent.stream import Stream

#: When the interpreter came here.
BEGAN = time.monotonic()
EXIT_MACHINE = 3
EXIT_USAGE = 2


class Refusal(Exception):
    """The recording cannot be made: a sentence, a remedy and an exit code for the user."""

    def __init__(self, sentence: str, remedy: str, code: int = EXIT_MACHINE) -> None:
        super().__init__(sentence)
        self.remedy = remedy
        self.code = code


def unpack_probes(directory: str) -> str:
    """The folder `probes`, taken out of the zipapp: the compiler needs real files."""
    here = os.path.abspath(sys.argv[0])
    if zipfile.is_zipfile(here):
        with zipfile.ZipFile(here) as archive:
            for name in archive.namelist():
                if name.startswith("probes/"):
                    archive.extract(name, directory)
        return os.path.join(directory, "probes")
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "probes")


def read_plan(probes: str, detail: bool = False) -> Dict[str, Any]:
    with open(os.path.join(probes, "plan.json"), encoding="utf-8") as file:
        return load_plan(file.read(), detail)


def _bcc_remedy() -> str:
    release = kernel.read_text("/etc/os-release")
    if "fedora" in release or "rhel" in release:
        return "Install it: dnf install python3-bcc"
    if "arch" in release:
        return "Install it: pacman -S python-bcc"
    if "suse" in release:
        return "Install it: zypper install python3-bcc"
    return "Install it: apt install python3-bpfcc"


def check_machine(request: Dict[str, Any]) -> "tuple[str, List[netns.Interface]]":
    """bcc's version and the interfaces to profile.  Raises Refusal."""
    if os.geteuid() != 0:
        raise Refusal("the agent needs root", "Run wgprof as root or as a user who may use sudo.")
    try:
        bcc = kernel.bcc_version()
    except ImportError as error:
        raise Refusal(f"bcc for {sys.executable} is missing ({error})", _bcc_remedy()) from error
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise Refusal(
            "this kernel has no type information (BTF)",
            "Use a kernel with CONFIG_DEBUG_INFO_BTF=y; distribution kernels since 5.15 have it.",
        )
    if not os.path.isdir("/sys/module/wireguard"):
        raise Refusal("the wireguard module is not loaded", "Bring a WireGuard interface up, or use --target lab.")
    if not os.path.exists("/sys/kernel/btf/wireguard"):
        raise Refusal(
            "the wireguard module has no type information (BTF)",
            "Use the distribution's module, or build yours with `wgprof kmod build`, which adds it.",
        )
    interfaces = netns.wireguard_interfaces()
    if not interfaces:
        raise Refusal("there is no WireGuard interface", "Bring one up (wg-quick up NAME), or use --target lab.")
    wanted = [str(name) for name in request.get("interfaces", [])]
    known = sorted({interface.name for interface in interfaces})
    for name in wanted:
        if name not in known:
            raise Refusal(f"there is no WireGuard interface {name}", f"There are: {', '.join(known)}.", EXIT_USAGE)
    chosen = [interface for interface in interfaces if not wanted or interface.name in wanted]
    if all(interface.peers == 0 for interface in chosen):
        names = ", ".join(interface.name for interface in chosen)
        raise Refusal(f"{names} has no peers, so nothing can flow", "Add a peer: wg set NAME peer KEY ..")
    return bcc, chosen


def record(request: Dict[str, Any]) -> int:
    """Records as asked; frames go to stdout."""
    # Nothing else may write into the frames.
    out = os.dup(1)
    os.dup2(2, 1)
    stream = Stream(out, bool(request.get("compress")))
    try:
        return _record(request, stream)
    except Refusal as refusal:
        stream.json(
            Kind.END,
            {
                "reason": "error",
                "t_ns": 0,
                "message": str(refusal),
                "remedy": refusal.remedy,
                "exit_code": refusal.code,
                "losses": [],
                "probes": [],
                "bpf_stats_ns": 0,
                "events": 0,
            },
        )
        return refusal.code
    except BrokenPipeError:
        # The reader went away: the process ends, and with it every probe.
        return 1


def _record(request: Dict[str, Any], stream: Stream) -> int:
    bcc, interfaces = check_machine(request)
    with tempfile.TemporaryDirectory(prefix="wgprof-") as directory:
        probes_directory = unpack_probes(directory)
        from wgprof.agent.loader import LoadError, Probes, choose_slots

        detail = bool(request.get("detail"))
        plan = read_plan(probes_directory, detail)
        cpus = kernel.possible_cpus()
        wanted = [str(name) for name in request.get("interfaces", [])]
        try:
            facts = kernel.gather_facts(plan)
            if not facts.kprobes and not facts.module_fentry:
                raise Refusal(
                    "this kernel has no kprobes and cannot attach fentry to a module",
                    "Use a kernel with CONFIG_KPROBES=y, or with CONFIG_DEBUG_INFO_BTF_MODULES=y.",
                )
            slots = choose_slots(cpus, BLOCK_BYTES + DETAIL_BLOCK_BYTES * detail)
            probes = Probes(probes_directory, plan, facts, slots, cpus, wanted)
        except (OSError, BtfError, PlanError) as error:
            raise Refusal(f"the kernel's type information cannot be used: {error}", "Run wgprof doctor.") from error
        except LoadError as error:
            raise Refusal(f"the probes do not compile here: {error}", "Run wgprof doctor and report this.") from error
    try:
        if not probes.attached:
            raise Refusal("no probe could be attached", "Run wgprof doctor: it says what this kernel lacks.")
        outer = Outer(interfaces)
        probes.startup["start_s"] = round(time.monotonic() - BEGAN, 3)
        said = {**hello(probes, bcc, interfaces, outer), "detail": describe_detail(plan, probes.missing)}
        Recorder(request, stream, probes, 0).run(interfaces, said, outer)
    finally:
        probes.close()
    return 0


def examine() -> int:
    """Prints what this machine can and cannot do, as JSON."""
    from wgprof.agent import doctor

    with tempfile.TemporaryDirectory(prefix="wgprof-") as directory:
        plan = read_plan(unpack_probes(directory))
    print(json.dumps(doctor.examine(plan, _bcc_remedy())))
    return 0


def usage() -> NoReturn:
    sys.stderr.write("usage: agent record --request JSON | agent doctor\n")
    sys.exit(EXIT_USAGE)


def main(arguments: Optional[List[str]] = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) == 3 and arguments[:2] == ["record", "--request"]:
        return record(json.loads(arguments[2]))
    if arguments == ["doctor"]:
        return examine()
    usage()


if __name__ == "__main__":
    sys.exit(main())
