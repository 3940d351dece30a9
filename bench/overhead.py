"""What wgprof adds to a packet's cost: `python -m bench.overhead [--kernel 6.12] [--rounds 3]`.

One lab machine under `-icount`, where virtual time is instructions executed, so that costs repeat on a
noisy host.  In turn, without and with wgprof: a TCP stream of a set size through one tunnel; the busy
time of all CPUs (the kernel's own account), divided by the packets the interfaces counted.  The agent's
own work (reading counters, writing frames) is in it.
"""

from __future__ import annotations

import json
import statistics
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from wgprof.agent.frames import Kind, kind_of, open_frame, read_raw
from wgprof.lab.image import ensure_image
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings
from wgprof.lab.workload import set_up_tunnels
from wgprof.targets.base import RecordRequest
from wgprof.targets.lab import agent_command
from wgprof.targets.zipapp import build_agent

#: Busy ticks of all CPUs, then packets of both ends of the tunnel, both ways.
_LOOK = (
    "awk '/^cpu /{print $2+$3+$4+$7+$8}' /proc/stat; "
    "for n in wga wgb; do ip netns exec $n cat /proc/net/dev | awk '/wg0:/{print $3+$11}'; done"
)
_TICK_US = 10_000


@dataclass(frozen=True)
class Cost:
    """One run: microseconds of virtual CPU time a packet, and how many packets."""

    variant: str
    us_per_packet: float
    packets: int


def _look(machine: Machine) -> tuple[float, int]:
    ticks, *packets = machine.check(_LOOK).split()
    return float(ticks), sum(int(count) for count in packets) // 2


def _send(machine: Machine, megabytes: int) -> tuple[float, int]:
    """Ticks and packets of a transfer."""
    machine.check("ip netns exec wgb iperf3 --server --one-off --daemon; sleep 1")
    address = machine.check("ip netns exec wgb ip -4 -o address show dev wg0 | awk '{print $4}' | cut -d/ -f1").strip()
    ticks, packets = _look(machine)
    machine.check(f"ip netns exec wga iperf3 --client {address} --bytes {megabytes}M >/dev/null", 300)
    after_ticks, after_packets = _look(machine)
    return after_ticks - ticks, after_packets - packets


def _measure(machine: Machine, variant: str, megabytes: int) -> Cost:
    if variant == "none":
        ticks, packets = _send(machine, megabytes)
        return Cost(variant, ticks * _TICK_US / packets, packets)
    streams = machine.open_agent(agent_command(RecordRequest(duration_s=3600)))
    ready = threading.Event()
    problems: list[str] = []

    def read() -> None:
        while (raw := read_raw(streams.stdout)) is not None:
            if kind_of(raw) == Kind.HELLO:
                ready.set()
            elif kind_of(raw) == Kind.END:
                problems.extend(str(loss) for loss in open_frame(raw).json()["losses"] if loss["count"])
        ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    if not ready.wait(300):
        raise click.ClickException("the agent did not attach: " + machine.agent_errors())
    ticks, packets = _send(machine, megabytes)
    streams.stdin.write(b'{"stop": true}\n')
    streams.stdin.flush()
    reader.join(60)
    if problems:
        raise click.ClickException(f"lossy: {problems}")
    return Cost(variant, ticks * _TICK_US / packets, packets)


@click.command()
@click.option("--kernel", default="6.12", show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Pairs of runs, none and wgprof in turn.")
@click.option("--megabytes", default=12, show_default=True, help="Size of a transfer.")
def main(kernel: str, rounds: int, megabytes: int) -> None:
    """Print the cost of a packet without and with wgprof, and the ratio pair by pair."""
    image = ensure_image(kernel, progress=lambda line, done: click.echo(line, err=True))
    costs: list[Cost] = []
    with TemporaryDirectory() as folder:
        agent = build_agent(Path(folder) / "agent.pyz")
        settings = MachineSettings(icount=True, payload=((agent, "agent.pyz"),))
        with Machine(image, settings, lambda line: click.echo(line, err=True)) as machine:
            # Measuring the probes' own run time would be measured as well.
            machine.check("sysctl -q kernel.bpf_stats_enabled=0")
            set_up_tunnels(machine, 1, threaded=False)
            _send(machine, 2)  # warm up
            for _ in range(rounds):
                for variant in ("none", "wgprof"):
                    cost = _measure(machine, variant, megabytes)
                    click.echo(f"{variant:8} {cost.us_per_packet:8.1f} us/packet  {cost.packets} packets", err=True)
                    costs.append(cost)
    pairs = zip(costs[::2], costs[1::2], strict=True)
    ratios = [with_.us_per_packet / without.us_per_packet - 1 for without, with_ in pairs]
    click.echo(json.dumps({"runs": [asdict(cost) for cost in costs], "added": ratios}, indent=1))
    click.echo(f"wgprof adds {statistics.median(ratios):.1%} (median of {rounds} pairs: "
               f"{min(ratios):.1%} to {max(ratios):.1%})")  # fmt: skip


if __name__ == "__main__":
    main()
