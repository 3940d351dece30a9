"""What wgprof adds to a packet's cost, beside its peers: `python -m bench.overhead [--kernel 6.12] [--rounds 2]`.

One boot of a lab machine with one CPU under `-icount`: virtual time is then instructions executed, four
nanoseconds each, whatever else the host does, and the CPU has nothing to do but one transfer over TCP
through one tunnel, the tool that measures it, and the timer.  So time per packet is cost per packet, and
it repeats within half a percent.  In turn, round by round: nothing attached, wgprof, and what a user would
run instead.

What wgprof adds is split three ways: its agent (CPU time of the process), the probes (run time as the
kernel measures it, in a run of its own, since measuring costs time as well), and the rest: what the
kernel does to call them.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bench.tools import FUNCLATENCY, TOOLS, Tool, bpftrace_script, fetch_funclatency
from wgprof.errors import WgprofError
from wgprof.lab.image import ensure_image
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.workload import set_up_tunnels
from wgprof.targets.zipapp import build_agent

_HERE = Path(__file__).parent
_PORT = 5300
_STATISTICS = "sysctl -q kernel.bpf_stats_enabled="
AIM_ADDED, AIM_SHARE = 0.06, 1 / 3


@dataclass(frozen=True)
class Cost:
    """One transfer: virtual microseconds a packet, in all and of the tool's own process."""

    us: float
    tool_us: float
    packets: int


@dataclass(frozen=True)
class Probe:
    """A probe's share, a packet."""

    point: str
    kind: str
    runs: float
    us: float


def transfer(machine: Machine, megabytes: int, word: str) -> Cost:
    """Send once through the tunnel and say what a packet cost."""
    command = f"ip netns exec wga python3 /payload/transfer.py send 10.0.0.2 {_PORT} {megabytes} wg0 {word}"
    seen = json.loads(machine.check(command, 300))
    packets = seen["packets"]
    return Cost((seen["elapsed_ns"] - seen["idle_ns"]) / packets / 1e3, seen["tool_ns"] / packets / 1e3, packets)


def measure(machine: Machine, tool: Tool, megabytes: int, times: int) -> list[Cost]:
    with tool.attach(machine) as attached:
        transfer(machine, 2, attached.word)  # warm up
        return [transfer(machine, megabytes, attached.word) for _ in range(times)]


def measure_probes(machine: Machine, tool: Tool, megabytes: int) -> list[Probe]:
    """The probes' own run time, while the kernel measures it."""
    machine.check(_STATISTICS + "1")
    try:
        with tool.attach(machine) as attached:
            packets = transfer(machine, megabytes, attached.word).packets
    finally:
        machine.check(_STATISTICS + "0")
    return [_probe(row, packets) for row in sorted(attached.probes, key=lambda row: -int(row["run_ns"]))]


def _probe(row: dict[str, Any], packets: int) -> Probe:
    return Probe(row["point"], row["kind"], row["runs"] / packets, row["run_ns"] / packets / 1e3)


def report(costs: dict[str, list[Cost]], probes: list[Probe]) -> list[str]:
    """The tables, as lines."""
    base = statistics.median(cost.us for cost in costs["none"])
    lines = [f"{'attached':12} {'us/packet':>10} {'added':>8} {'spread':>17} {'its process':>12} {'in the kernel':>14}"]
    added: dict[str, float] = {}
    for name, runs in costs.items():
        us, tool = (
            statistics.median(values) for values in zip(*[(cost.us, cost.tool_us) for cost in runs], strict=True)
        )
        added[name] = us / base - 1
        low, high = (pick(cost.us for cost in runs) / base - 1 for pick in (min, max))
        lines.append(
            f"{name:12} {us:10.1f} {added[name]:8.1%} {low:+8.1%}..{high:+7.1%} {tool / base:12.1%} "
            f"{(us - base - tool) / base:14.1%}"
        )
    run_us = sum(probe.us for probe in probes)
    agent_us = statistics.median(cost.tool_us for cost in costs["wgprof"])
    calls_us = added["wgprof"] * base - agent_us - run_us
    lines += ["", f"{'of wgprof':20} {'':10} {'runs/packet':>12} {'ns/run':>8} {'us/packet':>10} {'of a packet':>12}"]
    lines += [
        f"{probe.point:20} {probe.kind:10} {probe.runs:12.3f} {probe.us / probe.runs * 1e3:8.0f} {probe.us:10.2f} "
        f"{probe.us / base:12.2%}"
        for probe in probes
        if probe.runs
    ]
    runs = sum(probe.runs for probe in probes)
    lines.append(f"{'all probes':31} {runs:12.3f} {run_us / runs * 1e3:8.0f} {run_us:10.2f} {run_us / base:12.2%}")
    lines.append(f"{'calling them':31} {'':12} {calls_us / runs * 1e3:8.0f} {calls_us:10.2f} {calls_us / base:12.2%}")
    lines.append(f"{'the agent':31} {'':12} {'':8} {agent_us:10.2f} {agent_us / base:12.2%}")
    lines += ["", f"wgprof adds {added['wgprof']:.1%} to a packet (aim: at most {AIM_ADDED:.0%})"]
    peers = {name: share for name, share in added.items() if name not in ("none", "wgprof")}
    if peers:
        name = min(peers, key=lambda peer: peers[peer])
        share = added["wgprof"] / peers[name]
        lines.append(f"that is {share:.2f} of what {name} adds, the cheapest peer (aim: at most {AIM_SHARE:.2f})")
    return lines


@click.command()
@click.option("--kernel", default="6.12", show_default=True)
@click.option("--rounds", default=2, show_default=True, help="Each attaches every tool once.")
@click.option("--transfers", default=3, show_default=True, help="How many while it is attached.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Beside what a user would run instead.")
@click.option("--megabytes", default=24, show_default=True, help="Size of a transfer.")
def main(kernel: str, rounds: int, transfers: int, peers: bool, megabytes: int) -> None:
    """Print what a packet costs with nothing, with wgprof and with its peers attached."""
    try:
        image = ensure_image(kernel, progress=lambda line, done: click.echo(line, err=True))
        with TemporaryDirectory() as folder:
            payload = [(build_agent(Path(folder) / "agent.pyz"), "agent.pyz"), (_HERE / "transfer.py", "transfer.py")]
            script = Path(folder) / "stages.bt"
            script.write_text(bpftrace_script())
            payload.append((script, script.name))
            tool = fetch_funclatency(Path(folder)) if peers else None
            payload += [(tool, FUNCLATENCY)] if tool else []
            tools = [each for each in TOOLS if tool or each.name != FUNCLATENCY] if peers else list(TOOLS[:2])
            if peers and not tool:
                click.echo("no funclatency: the package bpfcc-tools cannot be had here", err=True)
            settings = MachineSettings(cpus=1, icount=True, payload=tuple(payload))
            with Machine(image, settings, lambda line: click.echo(line, err=True)) as machine:
                lines = _run(machine, tools, rounds, transfers, megabytes)
    except WgprofError as error:
        raise click.ClickException(f"{error.sentence} {error.remedy}") from error
    click.echo(
        "\n".join([f"kernel {image.release}, {rounds} rounds of {transfers} transfers of {megabytes} MB", *lines])
    )


def _run(machine: Machine, tools: list[Tool], rounds: int, transfers: int, megabytes: int) -> list[str]:
    # Measuring the probes' own run time would be measured as well.
    machine.check(_STATISTICS + "0")
    set_up_tunnels(machine, 1, threaded=False)
    machine.start(f"exec ip netns exec wgb python3 /payload/transfer.py receive {_PORT}")
    machine.check(f"until ip netns exec wgb ss -Hltn sport = {_PORT} | grep -q .; do sleep 0.1; done", 60)
    transfer(machine, megabytes, "")  # warm up
    costs: dict[str, list[Cost]] = {tool.name: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            found = measure(machine, tool, megabytes, transfers)
            click.echo(f"{tool.name:12} " + " ".join(f"{cost.us:.1f}" for cost in found) + " us/packet", err=True)
            costs[tool.name] += found
    wgprof = next(tool for tool in tools if tool.name == "wgprof")
    return report(costs, measure_probes(machine, wgprof, megabytes))


if __name__ == "__main__":
    main()
