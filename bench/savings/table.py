"""What was measured, as text."""

from __future__ import annotations

from bench.savings.compare import Case, cases, cipher, instructions_of, paired, switches
from bench.savings.costs import BOTH, BURST, INSTRUCTIONS_PER_STEP, KNOWN_STEPS, SHAPES, TUNNELS, Sample
from bench.savings.dial import Point
from bench.savings.implied import NATIVE, parts, ratio_for
from bench.savings.place import INLINE, VANILLA, WAYS
from bench.savings.spread import text
from bench.savings.stages import CRYPTO_STAGES, MODULES, StageCost, StageCpus

#: Full-size packets, which the native figures are of; both sides, whose ratio is surer than that of one.
_IMPLIED = ("1420 bytes, single", "1420 bytes, bursts", "TCP, full size")
_PAPERS_GAIN = 2.0


def costs_text(samples: list[Sample], known_work: list[float]) -> list[str]:
    """Costs without the cipher, with it, and the cipher itself."""
    lines = [
        f"Instructions a packet under -icount, both ends in a machine of 2 CPUs; datagrams single or {BURST} at once.",
        "Median (lowest..highest) of the boots; 'saved' and 'ratio' are vanilla against inline within a boot.",
    ]
    if known_work:
        known = (KNOWN_STEPS - 1) * INSTRUCTIONS_PER_STEP
        lines.append(f"Check: work of {known:,} instructions was measured as {text(known_work)}.")
    for has_cipher, title in ((False, "Without the crypto"), (True, "With the real cipher")):
        rows = [_cost_row(samples, case) for case in cases(has_cipher)]
        head = ["tunnels", "packets", "side", *(way.name for way in WAYS), "saved", "ratio", "switches/packet"]
        lines += ["", f"{title}:", *grid(head, [row for row in rows if row])]
    return [
        *lines,
        "",
        "The cipher at both ends (with it, less without it), by the way it was measured on:",
        *_cipher(samples),
    ]


def _cost_row(samples: list[Sample], case: Case) -> list[str]:
    by_way = {way.name: instructions_of(samples, case, way.name) for way in WAYS}
    if not any(by_way.values()):
        return []
    pairs = paired(by_way[VANILLA.name], by_way[INLINE.name])
    moved = [_middle(switches(samples, case, way.name)) for way in WAYS]
    return [
        str(case.tunnels),
        case.shape,
        case.side,
        *(text(list(by_way[way.name].values())) for way in WAYS),
        text([vanilla - inline for vanilla, inline in pairs]),
        text([vanilla / inline for vanilla, inline in pairs], 2),
        " / ".join(moved) if case.side == BOTH else "",
    ]


def _cipher(samples: list[Sample]) -> list[str]:
    rows = [
        [str(tunnels), shape.name, *(text(cipher(samples, tunnels, shape.name, way.name)) for way in WAYS)]
        for tunnels in TUNNELS
        for shape in SHAPES
    ]
    return grid(["tunnels", "packets", *(way.name for way in WAYS)], rows)


def dial_text(points: list[Point]) -> list[str]:
    """Goodput and busy CPUs over the dial."""
    loads = sorted({round(point.load_average, 1) for point in points})
    lines = [
        "Goodput at the receiver over the crypto dial, TCP, 2 CPUs in parallel (no -icount).  CE: CPUs busy for the",
        "guest (and what the host gave them); us/packet: host CPU time, all CPUs, both ends.",
        f"Median (lowest..highest) of the repeats; the host's load average was {loads[0]:.1f} to {loads[-1]:.1f}.",
    ]
    rows = []
    for share in sorted({point.share for point in points}, key=lambda share: share or 1.0):
        for tunnels in sorted({point.tunnels for point in points}):
            mine = [point for point in points if point.share == share and point.tunnels == tunnels]
            vanilla = {point.repeat: point for point in mine if point.way == VANILLA.name}
            inline = {point.repeat: point for point in mine if point.way == INLINE.name}
            both = [(vanilla[repeat], inline[repeat]) for repeat in vanilla if repeat in inline]
            rows.append(
                [
                    f"{share:.0%} ({mine[0].steps} steps)" if share else "real cipher",
                    str(tunnels),
                    *_goodput(list(vanilla.values())),
                    *_goodput(list(inline.values())),
                    text([one.goodput_bps and other.goodput_bps / one.goodput_bps for one, other in both], 2),
                    text([one.us_per_packet / other.us_per_packet for one, other in both if other.us_per_packet], 2),
                ]
            )
    head = [
        "crypto",
        "tunnels",
        "vanilla Mbit/s",
        "CE",
        "us/packet",
        "inline Mbit/s",
        "CE",
        "us/packet",
        "goodput x",
        "CPU time x",
    ]
    return [*lines, *grid(head, rows)]


def _goodput(points: list[Point]) -> list[str]:
    return [
        text([point.goodput_bps / 1e6 for point in points]),
        f"{_middle([point.ce for point in points])} ({_middle([point.host_ce for point in points])})",
        _middle([point.us_per_packet for point in points], 0),
    ]


def stages_text(costs: list[StageCost], samples: list[Sample]) -> list[str]:
    """Stage by stage, and what the crypto stages say of the cipher against what the totals say."""
    lines = [
        "Stage by stage: own instructions a packet in wgprof's recordings under -icount, one CPU, TCP, real cipher.",
        "The probes' own cost is inside.  Workers and NAPI: their own share, without the stages they run.",
    ]
    columns = sorted({(cost.tunnels, MODULES.index(cost.module), cost.module) for cost in costs})
    found = {(cost.name, cost.tunnels, cost.module): cost.instructions for cost in costs}
    names = list(dict.fromkeys(cost.name for cost in costs))
    rows = [[name, *(_count(found.get((name, tunnels, module))) for tunnels, _, module in columns)] for name in names]
    sums = {
        (tunnels, module): sum(cost.instructions for cost in costs if (cost.tunnels, cost.module) == (tunnels, module))
        for tunnels, _, module in columns
    }
    rows.append(["sum", *(_count(sums[tunnels, module]) for tunnels, _, module in columns)])
    crypto = {
        (tunnels, module): sum(found.get((stage, tunnels, module), 0.0) for stage in CRYPTO_STAGES)
        for tunnels, _, module in columns
    }
    rows.append(
        ["sum without " + ", ".join(CRYPTO_STAGES)]
        + [_count(sums[tunnels, module] - crypto[tunnels, module]) for tunnels, _, module in columns]
    )
    lines += grid(["stage", *(f"{module}, {tunnels}" for tunnels, _, module in columns)], rows)
    by_totals = [value for tunnels in TUNNELS for value in cipher(samples, tunnels, SHAPES[-1].name, VANILLA.name)]
    if by_totals:
        low, high = min(crypto.values()), max(crypto.values())
        lines.append(
            f"Crypto stages at both ends: {low:,.0f} to {high:,.0f}; the cipher by totals, above: {text(by_totals)}."
        )
    return lines


def cpus_text(cpus: list[StageCpus]) -> list[str]:
    """Which CPUs a single tunnel uses."""
    lines = [
        "One tunnel, 2 CPUs in parallel, TCP, wgprof's recordings: the share of a stage's packets that the busiest CPU",
        "of each 100 ms took, and (in brackets) each CPU's share of the whole recording, in which the sender may move.",
    ]
    rows = []
    for stage in dict.fromkeys(entry.stage for entry in cpus):
        of_stage = {entry.module: entry for entry in cpus if entry.stage == stage}
        rows.append([stage, *(_shares(of_stage.get(module)) for module in MODULES)])
    return [*lines, *grid(["stage", *MODULES], rows)]


def _shares(entry: StageCpus | None) -> str:
    whole = sum(entry.packets) if entry else 0
    if entry is None or not whole:
        return "-"
    return f"{entry.busiest:.0%} (" + " / ".join(f"{count / whole:.0%}" for count in entry.packets) + f" of {whole:,})"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def implied_text(samples: list[Sample]) -> list[str]:
    """What the saving means at native crypto costs."""
    lines = [
        "What the measured saving implies where the cipher has its native cost.  It rests on one assumption: that",
        "the ratio of instructions without the cipher, both sides, is the ratio of times of the receive side.  (Cache",
        "misses and interrupts of a hand-off between cores are not instructions: natively it is rather dearer.)",
    ]
    rows = []
    for shape in _IMPLIED:
        for tunnels in TUNNELS:
            case = Case(False, tunnels, shape, BOTH)
            pairs = paired(instructions_of(samples, case, VANILLA.name), instructions_of(samples, case, INLINE.name))
            ratios = [vanilla / inline for vanilla, inline in pairs]
            if ratios:
                gains = [text([parts(native, ratio).gain for ratio in ratios], 2) for native in NATIVE]
                rows.append([str(tunnels), shape, text(ratios, 2), *gains])
    needed = [ratio_for(native, _PAPERS_GAIN) for native in NATIVE]
    rows.append(["", f"needed for {_PAPERS_GAIN:g}x", "", *(f"{ratio:.1f}" if ratio else "never" for ratio in needed)])
    head = [
        "tunnels",
        "ratio of",
        "measured",
        *(f"{native.name} ({native.crypto_us:g}/{native.total_us:g} us)" for native in NATIVE),
    ]
    return [*lines, *grid(head, rows)]


def _middle(values: list[float], digits: int = 2) -> str:
    return text(values, digits).split(" (")[0]


def grid(head: list[str], rows: list[list[str]]) -> list[str]:
    """Columns of text."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
