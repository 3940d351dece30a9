"""Runs in a lab machine, with the agent's zipapp on sys.path: prints what the attach plan looks at, as JSON."""

import json
import sys

sys.path.insert(0, "/payload/agent.pyz")

from wgprof.agent import kernel
from wgprof.agent.btf import BtfError, read_btf
from wgprof.agent.main import read_plan, unpack_probes
from wgprof.agent.plan import wanted_symbols

sys.argv[0] = "/payload/agent.pyz"
plan = read_plan(unpack_probes("/tmp"), detail=True)
facts = kernel.gather_facts(plan)
btf = read_btf(plan["module"])


def offset(path: str) -> int | None:
    try:
        return btf.offset(path)
    except BtfError:
        return None


paths = [*plan["offsets"].values(), *plan["optional_offsets"].values()]
functions = sorted(wanted_symbols(plan))
print(
    json.dumps(
        {
            "kernel": kernel.describe_machine()["kernel"],
            "bcc": kernel.bcc_version(),
            # Addresses are of no interest, and nobody's business.
            "symbols": {
                name: [[0x1000 + i, module] for i, (_, module) in enumerate(places)]
                for name, places in sorted(facts.symbols.items())
            },
            "traceable": sorted(facts.traceable) if facts.traceable is not None else None,
            "arguments": {
                module: {f: facts.arguments(module, f) for f in functions if facts.arguments(module, f) is not None}
                for module in ("vmlinux", "wireguard")
            },
            "offsets": {path: offset(path) for path in sorted(paths)},
            "tracepoints": sorted(facts.tracepoints),
            "module_fentry": facts.module_fentry,
            "kernel_fentry": facts.kernel_fentry,
            "kprobes": facts.kprobes,
            "preemptible": facts.preemptible,
        },
        indent=1,
    )
)
