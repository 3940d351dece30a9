"""`make papers`: the model against the published results, with one machine description.

Barone, Miola, Parola, Risso: Achieving Linear CPU Scaling in WireGuard with an Efficient Multi-tunnel Architecture,
Netdev 0x18, 2024; Revisiting WireGuard for Line-rate, Scalable Tunneling, IEEE HPSR 2025; kernel commit db9ae3b6b43c.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from wgprof.model.machine import read_machine
from wgprof.model.machines import shipped
from wgprof.model.predict import Architecture, Ask, Point, predict

#: Within this a figure is reproduced.
TOLERANCE = 0.15
VANILLA, THREADED = Architecture("vanilla"), Architecture("vanilla", True)
STEERED, INLINE = Architecture("steered"), Architecture("inline")
#: The published texts do not say how many tunnels the inline figures are of; with one outer flow each, RSS needs more
#: of them than cores to reach most cores.
INLINE_TUNNELS = 64
CORES, TUNNELS = 32, 16

Points = dict[tuple[Architecture, int], Point]


@dataclass(frozen=True)
class Claim:
    """A published figure and its counterpart."""

    what: str
    published: float
    unit: str
    source: str
    model: Callable[[Points], float]
    below: bool = False  # the published figure is an upper bound

    def holds(self, value: float) -> bool:
        """Whether the model reproduces it."""
        if self.below:
            return value < self.published
        return abs(value / self.published - 1) <= TOLERANCE


def _gbit(architecture: Architecture, tunnels: int) -> Callable[[Points], float]:
    return lambda p: p[architecture, tunnels].gbit_s


def _ratio(over: tuple[Architecture, int], under: tuple[Architecture, int]) -> Callable[[Points], float]:
    return lambda p: p[over].gbit_s / p[under].gbit_s


def _cpu(architecture: Architecture, tunnels: int) -> Callable[[Points], float]:
    return lambda p: 100 * p[architecture, tunnels].cpu_share


ONE, SIXTEEN, MANY = (VANILLA, 1), (VANILLA, TUNNELS), (THREADED, TUNNELS)
INLINE_MANY = (INLINE, INLINE_TUNNELS)
CLAIMS = (
    Claim("one tunnel (fitted: `send`)", 4.8, "Gbit/s", "derived: 4.3 to 5.3", _gbit(*ONE)),
    Claim("one tunnel, threaded / not", 1.0, "x", "commit", _ratio((THREADED, 1), ONE)),
    Claim("16 tunnels / one", 3.0, "x", "paper: below", _ratio(SIXTEEN, ONE), below=True),
    Claim("16 tunnels", 13.0, "Gbit/s", "commit", _gbit(*SIXTEEN)),
    Claim("16 tunnels, receiver's CPU", 20.0, "%", "commit", _cpu(*SIXTEEN)),
    Claim("16 tunnels, threaded", 48.0, "Gbit/s", "commit", _gbit(*MANY)),
    Claim("16 tunnels, threaded / not", 4.0, "x", "commit: about", _ratio(MANY, SIXTEEN)),
    Claim("16 tunnels, threaded, receiver's CPU", 100.0, "%", "commit", _cpu(*MANY)),
    Claim("inline / 16 tunnels, threaded", 2.0, "x", "paper: almost", _ratio(INLINE_MANY, MANY)),
    Claim("inline / one tunnel", 18.0, "x", "paper", _ratio(INLINE_MANY, ONE)),
)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="simulated, a run")
    options = parser.parse_args()
    machine = read_machine(shipped("papers-gateway"))
    asked = ((VANILLA, THREADED, STEERED, INLINE), (1, TUNNELS)), ((INLINE,), (INLINE_TUNNELS,))
    points: Points = {}
    for architectures, tunnels in asked:
        ask = Ask(
            machine, (CORES,), tunnels, architectures, seeds=options.seeds, seconds=options.seconds, effect_seconds=1.0
        )
        points |= {(p.architecture, p.tunnels): p for p in predict(ask).points}
    console = Console(width=150, highlight=False)
    console.print(f"{machine.name}: {CORES} cores, {options.seeds} seeds of {options.seconds:g} s")
    console.print(_claims(points))
    console.print(_details(points))


def _claims(points: Points) -> Table:
    table = Table("published", "figure", "model", "off", "within 15 %", "source", box=None, pad_edge=False)
    for claim in CLAIMS:
        value = claim.model(points)
        sign = "<" if claim.below else ""
        table.add_row(
            claim.what,
            f"{sign}{claim.published:g} {claim.unit}",
            f"{value:.3g} {claim.unit}",
            f"{100 * (value / claim.published - 1):+.0f} %",
            "yes" if claim.holds(value) else "NO",
            claim.source,
        )
    return table


def _details(points: Points) -> Table:
    columns = ("architecture", "tunnels", "Gbit/s", "band", "CPU", "polling CPUs", "limit", "dominated by")
    table = Table(*columns, box=None, pad_edge=False)
    for (architecture, tunnels), p in points.items():
        dominant = p.dominant
        table.add_row(
            architecture.label,
            str(tunnels),
            f"{p.gbit_s:.1f}",
            f"{p.low_gbit_s:.1f}..{p.high_gbit_s:.1f}",
            f"{100 * p.cpu_share:.0f} %",
            f"{p.delivering_cpus:.1f}",
            f"{p.limit.server} ({100 * p.limit.utilisation:.0f} %)",
            f"{dominant.parameter} ({100 * dominant.at_low:+.0f}..{100 * dominant.at_high:+.0f} %)"
            if dominant
            else "–",
        )
    return table


if __name__ == "__main__":
    main()
