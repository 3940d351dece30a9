"""Facts about the running kernel: for the attach plan, and for the recording's manifest."""

from __future__ import annotations

import contextlib
import os
import platform
from typing import Any, Dict, FrozenSet, List, Optional

from wgprof.agent.btf import Btf, BtfError, read_btf
from wgprof.agent.plan import Facts, parse_kallsyms, parse_traceable, wanted_symbols
from wgprof.agent.tracing import btf_descriptor

_TRACING = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_SYSCTLS = (
    "net.core.netdev_max_backlog",
    "net.core.netdev_budget",
    "net.core.netdev_budget_usecs",
    "net.core.rps_sock_flow_entries",
    "net.core.rmem_default",
    "net.core.rmem_max",
    "net.core.bpf_jit_enable",
    "net.ipv4.ip_forward",
    "kernel.sched_rt_runtime_us",
)


def read_text(path: str) -> str:
    """A small file's text, empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def tracing_directory() -> Optional[str]:
    for directory in _TRACING:
        if os.path.exists(os.path.join(directory, "available_filter_functions")):
            return directory
    return None


def parse_cpu_list(text: str) -> List[int]:
    """The CPUs of a kernel list such as `0-3,7`."""
    cpus: List[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def online_cpus() -> List[int]:
    return parse_cpu_list(read_text("/sys/devices/system/cpu/online")) or [0]


def possible_cpus() -> int:
    """Highest possible CPU number + 1."""
    return max(parse_cpu_list(read_text("/sys/devices/system/cpu/possible")) or [0]) + 1


def has_kprobes() -> bool:
    return os.path.isdir("/sys/bus/event_source/devices/kprobe") or any(
        os.path.exists(os.path.join(directory, "kprobe_events")) for directory in _TRACING
    )


def is_preemptible() -> bool:
    """Whether tasks can be switched inside the kernel.

    Of `none voluntary (full) lazy` the one in brackets holds; a kernel built without the choice says
    so in its version.  Unknown counts as no: what is lost by that is counted.
    """
    modes = read_text("/sys/kernel/debug/sched/preempt")
    if modes:
        return "(full)" in modes or "(lazy)" in modes
    words = platform.version().split()
    return "PREEMPT" in words or "PREEMPT_RT" in words or "PREEMPT_LAZY" in words


def bcc_version() -> str:
    """Raises ImportError, also for what is called bcc and is another package, or lacks its library."""
    try:
        import bcc
        from bcc import BPF
    except OSError as error:
        raise ImportError(str(error)) from error
    assert BPF
    return str(bcc.__version__)


def tracepoints(names: "set[str]") -> FrozenSet[str]:
    """Which of the tracepoints exist."""
    directory = next((d for d in _TRACING if os.path.exists(os.path.join(d, "available_events"))), None)
    if directory is None:
        # Without tracefs nothing is known; attaching decides.
        return frozenset(names)
    events = {line.strip().partition(":")[2] for line in read_text(directory + "/available_events").splitlines()}
    return frozenset(names & events)


def has_module_fentry(module: str) -> bool:
    """Whether the kernel hands out a module's type information: it attaches fentry to modules since it does."""
    fd = btf_descriptor(module)
    if fd is None:
        return False
    os.close(fd)
    return True


def gather_facts(plan: Dict[str, Any]) -> Facts:
    """Everything `resolve` needs to know.  Raises OSError, BtfError if there is no type information."""
    wanted = wanted_symbols(plan)
    btf = read_btf(plan["module"])
    with open("/proc/kallsyms", encoding="ascii", errors="replace") as stream:
        symbols = parse_kallsyms(stream, wanted)
    traceable = None
    directory = tracing_directory()
    if directory is not None:
        with contextlib.suppress(OSError), open(directory + "/available_filter_functions") as stream:
            traceable = parse_traceable(stream, wanted)

    def arguments(module: str, function: str) -> Optional[int]:
        section: Optional[Btf] = btf.base if module == "vmlinux" else btf
        return None if section is None else section.arguments(function)

    def function_id(module: str, function: str) -> Optional[int]:
        section: Optional[Btf] = btf.base if module == "vmlinux" else btf
        return None if section is None else section.function_id(function)

    names = {name for point in plan["points"] if "tracepoint" in point["kinds"] for name in point["functions"]}
    fentry = has_module_fentry(plan["module"])
    return Facts(
        symbols=symbols,
        traceable=traceable,
        arguments=arguments,
        function_id=function_id,
        offset=btf.offset,
        tracepoints=tracepoints(names),
        module_fentry=fentry,
        kernel_fentry=fentry,
        kprobes=has_kprobes(),
        preemptible=is_preemptible(),
        cast=find_cast(btf.base or btf),
    )


def find_cast(vmlinux: Btf) -> Optional["tuple[int, int]"]:
    """BTF ids of bpf_rdonly_cast and of a structure of 16 bytes of numbers: see probes/access.h.  None without them."""
    function = vmlinux.function_id("bpf_rdonly_cast")
    with contextlib.suppress(BtfError):
        return None if function is None else (function, vmlinux.struct_id("timespec64"))
    return None


def describe_machine() -> Dict[str, Any]:
    nodes = {}
    base = "/sys/devices/system/node"
    if os.path.isdir(base):
        for entry in sorted(os.listdir(base)):
            if entry.startswith("node") and entry[4:].isdigit():
                nodes[entry[4:]] = parse_cpu_list(read_text(f"{base}/{entry}/cpulist"))
    release = dict(line.split("=", 1) for line in read_text("/etc/os-release").splitlines() if "=" in line)
    memory = read_text("/proc/meminfo").split()
    return {
        "kernel": platform.release(),
        "arch": platform.machine(),
        "cpus_online": online_cpus(),
        "numa_nodes": nodes,
        "clock": "CLOCK_MONOTONIC",
        "clocksource": read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource").strip(),
        "user_hz": os.sysconf("SC_CLK_TCK"),
        "memory_bytes": int(memory[1]) * 1024 if len(memory) > 1 else 0,
        "virtualisation": "hypervisor" if "hypervisor" in read_text("/proc/cpuinfo") else "none",
        "distribution": release.get("PRETTY_NAME", "").strip('"'),
    }


def describe_wireguard() -> Dict[str, Any]:
    """The loaded module; one of ours says itself which variant it is (kmod/common, kmod/lab)."""
    base = "/sys/module/wireguard"

    def said(name: str) -> str:
        return read_text(f"{base}/parameters/wgprof_{name}").strip()

    def number(name: str) -> int:
        return int(said(name)) if said(name).isdigit() else 0

    return {
        "loaded": os.path.isdir(base),
        "version": read_text(base + "/version").strip(),
        "srcversion": read_text(base + "/srcversion").strip(),
        "variant": said("variant") or "distribution",
        "patch_hash": said("patch"),
        "source_version": said("source"),
        "crypto_permille": number("crypto_permille"),
        "crypto_ns": number("crypto_ns"),
        "crypto_steps": number("crypto_steps"),
        "has_btf": os.path.exists("/sys/kernel/btf/wireguard"),
    }


def describe_sysctls() -> Dict[str, str]:
    values = {name: read_text("/proc/sys/" + name.replace(".", "/")).strip() for name in _SYSCTLS}
    return {name: value for name, value in values.items() if value}


def describe_workqueues() -> Dict[str, str]:
    """The CPU mask unbound work items may use; WireGuard's crypt work is bound, its handshake work is not."""
    mask = read_text("/sys/devices/virtual/workqueue/cpumask").strip()
    return {"unbound_cpumask": mask} if mask else {}
