"""What this machine offers the probes: one finding a requirement, with its effect and remedy."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

from wgprof.agent import kernel, netns, perf
from wgprof.agent.btf import BtfError
from wgprof.agent.plan import Facts, PlanError, resolve

OK, DEGRADED, MISSING, UNKNOWN = "ok", "degraded", "missing", "unknown"


@dataclass(frozen=True)
class Finding:
    requirement: str
    state: str
    found: str
    effect: str = ""
    remedy: str = ""


def examine(plan: Dict[str, Any], bcc_remedy: str) -> List[Dict[str, str]]:
    """Every requirement of a recording on this machine, the decisive ones first."""
    bcc = _bcc(bcc_remedy)
    findings = [_privilege(), bcc, _btf(), _module(), _module_btf()]
    facts = _facts(plan)
    findings += [_attaching(facts), _plan(plan, facts), _jit(), _perf(), _interfaces()]
    return [asdict(finding) for finding in findings]


def _privilege() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", OK, "the agent runs as root")
    return Finding(
        "root", MISSING, f"the agent runs as user {os.geteuid()}", "no probe can be attached", "Use root or sudo."
    )


def _bcc(remedy: str) -> Finding:
    try:
        return Finding("bcc", OK, kernel.bcc_version())
    except ImportError as error:
        return Finding("bcc", MISSING, str(error), "no probe can be compiled", remedy)


def _btf() -> Finding:
    if os.path.exists("/sys/kernel/btf/vmlinux"):
        return Finding("kernel type information (BTF)", OK, "/sys/kernel/btf/vmlinux")
    return Finding(
        "kernel type information (BTF)",
        MISSING,
        "no /sys/kernel/btf/vmlinux",
        "the probes cannot know where things lie",
        "Use a kernel with CONFIG_DEBUG_INFO_BTF=y; distribution kernels since 5.15 have it.",
    )


def _module() -> Finding:
    facts = kernel.describe_wireguard()
    if facts["loaded"]:
        return Finding("wireguard module", OK, f"{facts['variant']}, version {facts['version'] or 'unknown'}")
    return Finding(
        "wireguard module",
        MISSING,
        "not loaded",
        "there is nothing to profile here",
        "Bring a WireGuard interface up, or use --target lab.",
    )


def _module_btf() -> Finding:
    if os.path.exists("/sys/kernel/btf/wireguard"):
        return Finding("module type information (BTF)", OK, "/sys/kernel/btf/wireguard")
    return Finding(
        "module type information (BTF)",
        MISSING,
        "no /sys/kernel/btf/wireguard",
        "the probes cannot know WireGuard's structures",
        "Load the distribution's module; a kernel without CONFIG_DEBUG_INFO_BTF_MODULES has none.",
    )


def _facts(plan: Dict[str, Any]) -> Optional[Facts]:
    try:
        return kernel.gather_facts(plan)
    except (OSError, BtfError):
        return None


def _attaching(facts: Optional[Facts]) -> Finding:
    name = "ways to attach"
    if facts is None:
        kprobes = "kprobes" if kernel.has_kprobes() else "no kprobes"
        return Finding(name, UNKNOWN, f"{kprobes}; fentry is only known with type information")
    ways = [way for way, there in (("fentry", facts.module_fentry), ("kprobes", facts.kprobes)) if there]
    if not ways:
        return Finding(
            name,
            MISSING,
            "neither fentry nor kprobes",
            "no stage can be measured",
            "Use a kernel with CONFIG_KPROBES=y, or with CONFIG_DEBUG_INFO_BTF_MODULES=y.",
        )
    if not facts.module_fentry:
        return Finding(
            name, DEGRADED, "kprobes", "each probe costs more than with fentry", "Kernels from 5.11 on have it."
        )
    return Finding(name, OK, ", ".join(ways))


def _plan(plan: Dict[str, Any], facts: Optional[Facts]) -> Finding:
    name = "probe points"
    if facts is None:
        return Finding(name, UNKNOWN, f"not resolved for want of the above; the plan has {len(plan['points'])}")
    try:
        resolved = resolve(plan, facts)
    except PlanError as error:
        return Finding(name, MISSING, str(error), "no probe can be attached", "Please report this kernel.")
    count = f"{len(resolved.attachments)} of {len(resolved.attachments) + len(resolved.missing)}"
    if not resolved.missing:
        return Finding(name, OK, count)
    return Finding(
        name,
        DEGRADED,
        f"{count}; missing: " + ", ".join(f"{m.point} ({m.error})" for m in resolved.missing),
        "incomplete: " + "; ".join(dict.fromkeys(m.affects for m in resolved.missing)),
        "The rest is recorded; the recording says what is incomplete.",
    )


def _jit() -> Finding:
    value = kernel.read_text("/proc/sys/net/core/bpf_jit_enable").strip()
    if value == "0":
        return Finding(
            "BPF compiler",
            DEGRADED,
            "net.core.bpf_jit_enable=0",
            "probes are interpreted and cost several times more",
            "sysctl net.core.bpf_jit_enable=1",
        )
    return Finding("BPF compiler", OK if value else UNKNOWN, f"net.core.bpf_jit_enable={value or 'unreadable'}")


def _perf() -> Finding:
    tool = shutil.which("perf")
    version = perf.ask(tool, "--version") if tool else None
    if tool is None or version is None or version.returncode:
        return Finding(
            "perf",
            DEGRADED,
            "not installed" if tool is None else "does not run with this kernel",
            "--stacks records nothing",
            "Install it: apt install linux-perf (Debian), linux-tools-$(uname -r) (Ubuntu), perf (Fedora).",
        )
    found = version.stdout.strip()
    if os.geteuid() == 0:  # others may not look
        counted = perf.sampling_event(tool) == "cycles"
        found += ", hardware counters" if counted else ", no hardware counters: samples by the clock"
    return Finding("perf", OK, found)


def _interfaces() -> Finding:
    found = netns.wireguard_interfaces()
    if not found:
        return Finding(
            "WireGuard interfaces",
            MISSING,
            "none",
            "there is nothing to profile here",
            "Bring one up (wg-quick up NAME), or use --target lab.",
        )
    words = []
    for interface in found:
        place = f" in namespace {interface.namespace.name}" if interface.namespace.name else ""
        peers = "peers unknown" if interface.peers < 0 else f"{interface.peers} peer(s)"
        words.append(f"{interface.name}{place}: {peers}")
    return Finding("WireGuard interfaces", OK, "; ".join(words))
