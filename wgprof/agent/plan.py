"""Decides where each logical point is attached: a pure function of the plan and of facts about a kernel.

The plan is `probes/plan.json`; the facts come from kallsyms, available_filter_functions, BTF and
what the installed bcc can do.  A point that cannot be attached is named with its reason, and with
the tables that suffer; it never stops the rest.  A point that exists in one variant of the module
alone is left out where that variant is not what is loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from wgprof.agent.btf import BtfError

#: Calls of a function that tasks may have under way at once: one for each device's worker on each CPU, and each peer's.
INSTANCES = 1024


@dataclass(frozen=True)
class Facts:
    """What is known of a kernel and of the installed bcc."""

    #: name -> every (address, module) it has in kallsyms; the module of the kernel itself is "".
    symbols: Dict[str, Tuple[Tuple[int, str], ...]]
    #: (name, module) of available_filter_functions; None if that file could not be read.
    traceable: Optional[FrozenSet[Tuple[str, str]]]
    #: BTF: module ("vmlinux" for the kernel itself), function -> number of arguments, None if it has none.
    arguments: Callable[[str, str], Optional[int]]
    #: BTF: module, function -> the function's number there, None if it has none.
    function_id: Callable[[str, str], Optional[int]]
    #: BTF: "structure.member" -> byte offset; raises BtfError.
    offset: Callable[[str], int]
    tracepoints: FrozenSet[str]
    module_fentry: bool  # fentry and fexit reach the module's functions
    kernel_fentry: bool  # and to the kernel's own
    kprobes: bool  # the kernel has kprobes
    #: The kernel may switch tasks in the middle of kernel code (preempt=full or lazy).
    preemptible: bool = False
    #: BTF ids of the function bpf_rdonly_cast and of a type for it; None where the kernel lacks it.
    cast: Optional[Tuple[int, int]] = None


@dataclass(frozen=True)
class Attachment:
    """One probe to attach."""

    point: str
    kind: str  # fentry, fexit, kprobe, kretprobe, tracepoint, perf
    symbol: str
    module: str
    program: str  # name of the BPF function
    source: str  # the line of C that makes it
    affects: str
    type_id: int = 0  # of the function in its module's type information, for fentry and fexit
    instances: Optional[int] = None  # a kretprobe's, see kprobes.py; 0: as many as the kernel thinks best


@dataclass(frozen=True)
class Missing:
    """A point that cannot be attached."""

    point: str
    error: str
    affects: str


@dataclass
class Resolved:
    attachments: List[Attachment] = field(default_factory=list)
    missing: List[Missing] = field(default_factory=list)
    defines: Dict[str, int] = field(default_factory=dict)


class PlanError(Exception):
    """Nothing can be measured on this kernel; the message says why."""


def load_plan(text: str, detail: bool = False) -> Dict[str, Any]:
    """The plan, with what is for --detail alone only if that is wanted."""
    plan = json.loads(text)
    assert isinstance(plan, dict)
    plan["detail"] = detail
    if not detail:
        plan["points"] = [point for point in plan["points"] if not point.get("detail")]
    return plan


def describe_detail(plan: Dict[str, Any], missing: Iterable[Missing]) -> Dict[str, Any]:
    """Which of the plan's further tables are measured, and why the others are not, or not in full."""
    planned = {point["point"] for point in plan["points"]}
    lacking = {item.point: item.error for item in missing}
    off = {}
    for table, points in plan["tables"].items():
        gone = [point for point in points if point in lacking]
        if not planned.issuperset(points):
            off[table] = "not asked for (--detail)"
        elif gone:
            off[table] = "; ".join(f"{point}: {lacking[point]}" for point in gone)
    return {"on": [table for table in plan["tables"] if table not in off], "off": off}


def parse_kallsyms(lines: "Any", wanted: Set[str]) -> Dict[str, Tuple[Tuple[int, str], ...]]:
    """The addresses of the wanted names, and of their compiler-made copies NAME.SUFFIX."""
    found: Dict[str, List[Tuple[int, str]]] = {}
    for line in lines:
        parts = line.split()
        if len(parts) < 3 or parts[2].split(".", 1)[0] not in wanted:
            continue
        module = parts[3].strip("[]") if len(parts) > 3 else ""
        found.setdefault(parts[2], []).append((int(parts[0], 16), module))
    return {name: tuple(places) for name, places in found.items()}


def parse_traceable(lines: "Any", wanted: Set[str]) -> FrozenSet[Tuple[str, str]]:
    """(name, module) of the wanted functions of available_filter_functions."""
    found = set()
    for line in lines:
        parts = line.split()
        if parts and parts[0].split(".", 1)[0] in wanted:
            found.add((parts[0], parts[1].strip("[]") if len(parts) > 1 else ""))
    return frozenset(found)


def wanted_symbols(plan: Dict[str, Any]) -> Set[str]:
    names = {name for point in plan["points"] for name in point["functions"]}
    return names | set(plan["addresses"].values())


def resolve(plan: Dict[str, Any], facts: Facts, refused: FrozenSet[Tuple[str, str]] = frozenset()) -> Resolved:
    """Where each point goes.

    `refused` holds (point, kind) pairs that were tried and failed, for another round.
    Raises PlanError when offsets are missing, since then no probe can read anything.
    """
    resolved = Resolved(defines=_defines(plan, facts))
    # A handler that is called by fentry leaves to fexit what that sees as well: they come together.
    halves = {(point.replace(" end", " start"), "fentry") for point, kind in refused if kind == "fexit"}
    refused = refused | halves
    attached: Set[Tuple[str, str]] = set()
    for entry in plan["points"]:
        if not _exists(plan, entry, facts) or tuple(entry.get("unless", ())) in attached:
            continue
        module = entry.get("module", plan["module"])
        affects = "; ".join(entry["affects"])
        hidden = [name for name in entry.get("addresses", ()) if not resolved.defines[name]]
        if hidden:
            error = "the addresses of WireGuard's functions are hidden (kernel.kptr_restrict)"
            resolved.missing.append(Missing(entry["point"], error, affects))
            continue
        lacking = _lacking(plan, entry, facts)
        if lacking:
            error = "this kernel's type information lacks " + ", ".join(lacking)
            resolved.missing.append(Missing(entry["point"], error, affects))
            continue
        reasons: List[str] = []
        attachment = None
        for function in entry["functions"]:
            for kind in _kinds(entry, facts):
                if (entry["point"], kind) in refused:
                    reasons.append(f"{kind} was refused")
                    continue
                attachment, reason = _candidate(entry, kind, function, module, affects, facts)
                if attachment:
                    break
                reasons.append(reason)
            if attachment:
                break
        if attachment:
            resolved.attachments.append(attachment)
            attached.add((attachment.point, attachment.kind))
        else:
            resolved.missing.append(Missing(entry["point"], "; ".join(dict.fromkeys(reasons)), affects))
    return resolved


def _exists(plan: Dict[str, Any], entry: Dict[str, Any], facts: Facts) -> bool:
    """False for a point of another variant of the module than the one that is loaded: that has functions of its own.
    False as well for one that a kernel may do without, and this one does."""
    if entry.get("optional") and not any(facts.symbols.get(name) for name in entry["functions"]):
        return False
    variant = entry.get("only_in")
    names = (name for other in plan["points"] if other.get("only_in") == variant for name in other["functions"])
    places = (place for name in names for place in facts.symbols.get(name, ()))
    return variant is None or any(module == plan["module"] for _, module in places)


def _lacking(plan: Dict[str, Any], entry: Dict[str, Any], facts: Facts) -> List[str]:
    """The members of structures that the point needs and this kernel does not have."""
    return [plan["optional_offsets"][name] for name in entry.get("needs", ()) if _optional(plan, name, facts) is None]


def _optional(plan: Dict[str, Any], name: str, facts: Facts) -> Optional[int]:
    try:
        return facts.offset(plan["optional_offsets"][name])
    except BtfError:
        return None


def _defines(plan: Dict[str, Any], facts: Facts) -> Dict[str, int]:
    defines: Dict[str, int] = {}
    missing: List[str] = []
    for name, path in plan["offsets"].items():
        try:
            defines[name] = facts.offset(path)
        except BtfError:
            missing.append(path)
    if missing:
        raise PlanError("this kernel's type information lacks " + ", ".join(missing))
    # What needs one that is missing is compiled with 0 and not attached.
    defines.update({name: _optional(plan, name, facts) or 0 for name in plan["optional_offsets"]})
    defines["DETAIL"] = int(plan["detail"])
    for name, symbol in plan["addresses"].items():
        places = facts.symbols.get(symbol, ())
        # Hidden addresses read as 0; what compares with them is then not attached.
        defines[name] = places[0][0] if places else 0
    for entry in plan["points"]:
        if "only_in" in entry:
            name = entry["only_in"].upper() + "_PATH"
            defines[name] = max(defines.get(name, 0), int(_exists(plan, entry, facts)))
    return defines


def _kinds(entry: Dict[str, Any], facts: Facts) -> List[str]:
    """The kinds to try, best first.

    A BPF program that is interrupted inside fentry or fexit by another task that comes to the same
    program is skipped there (recursion_misses): on a preemptible kernel kprobes lose nothing.
    """
    kinds: List[str] = entry["kinds"]
    if facts.preemptible and entry.get("preemptible"):
        return sorted(kinds, key=lambda kind: kind in ("fentry", "fexit"))
    return kinds


def _candidate(
    entry: Dict[str, Any], kind: str, function: str, module: str, affects: str, facts: Facts
) -> Tuple[Optional[Attachment], str]:
    """The attachment, or why not."""
    handler = entry["handler"]
    program = "probe_" + entry["point"].replace(" ", "_").replace(".", "_").replace("-", "_")

    def made(symbol: str, program: str, source: str, type_id: int = 0) -> Tuple[Attachment, str]:
        instances = None if kind != "kretprobe" else INSTANCES if entry.get("preemptible") else 0
        return Attachment(entry["point"], kind, symbol, module, program, source, affects, type_id, instances), ""

    if kind == "perf":
        return made(function, program, f"CLOCK({program}, {handler})")
    if kind == "tracepoint":
        if function not in facts.tracepoints:
            return None, f"no tracepoint {function}"
        handler = entry.get("handler_tracepoint", handler)
        macro = ("TRACEPOINT", "TRACEPOINT_TWO")[len(entry["argument_index"]) - 1]
        return made(function, program, f"{macro}({', '.join([program, handler, *map(str, entry['argument_index'])])})")
    if kind in ("fentry", "fexit"):
        if not (facts.kernel_fentry if module == "vmlinux" else facts.module_fentry):
            return None, f"no {kind} on this kernel"
        count, type_id = facts.arguments(module, function), facts.function_id(module, function)
        if count is None or type_id is None:
            return None, f"{function} is not in the type information"
        if not _is_traceable(facts, function, module):
            return None, f"{function} cannot be traced"
        if kind == "fentry":
            program = f"kfunc__{module}__{function}"
            return made(function, program, f"FENTRY{entry['arguments']}({program}, {handler})", type_id)
        program = f"kretfunc__{module}__{function}"
        return made(function, program, f"{entry.get('macro', 'FEXIT')}({program}, {handler}, {count})", type_id)
    if not facts.kprobes:
        return None, "this kernel has no kprobes"
    symbol = _probe_symbol(facts, function, module)
    if symbol is None:
        return None, f"{function} is not in this kernel, inlined, or cannot be traced"
    if kind == "kprobe":
        return made(symbol, program, f"KPROBE{entry['arguments']}({program}, {handler})")
    return made(symbol, program, f"KRETPROBE({program}, {entry.get('handler_untyped', handler)})")


def _is_traceable(facts: Facts, name: str, module: str) -> bool:
    owner = "" if module == "vmlinux" else module
    return facts.traceable is None or (name, owner) in facts.traceable


def _probe_symbol(facts: Facts, function: str, module: str) -> Optional[str]:
    """The name a kprobe can use: the function itself, or its only compiler-made copy; never a .cold part."""
    owner = "" if module == "vmlinux" else module
    mine = [
        name
        for name, places in facts.symbols.items()
        if name.split(".", 1)[0] == function
        and any(place[1] == owner for place in places)
        and ".cold" not in name
        and _is_traceable(facts, name, module)
    ]
    if function in mine:
        return function
    return mine[0] if len(mine) == 1 else None
