"""Polls, heads, moves, preemptions, wake-ups, interrupts and locks as tables of text."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.mechanics import Mechanics
from wgprof.analysis.names import Names
from wgprof.analysis.summary import Analysis
from wgprof.analysis.wakeups import IPIS
from wgprof.report.sheets import Sheet

_MOST_CPUS = 8
#: A table that nobody asked for is not missing.
_NOT_ASKED = "not asked for"


def mechanics_sheets(analysis: Analysis) -> list[Sheet]:
    """One sheet for each table that was measured, and one for those that could not be."""
    mechanics, names = analysis.mechanics, analysis.names
    return [
        _polls(mechanics, names),
        _heads(mechanics, names),
        _moves(mechanics, names),
        _preemptions(mechanics, names),
        _wakeups(mechanics),
        _ipis(mechanics),
        _contention(mechanics, names),
        _wanting(mechanics),
    ]


def _of(names: Names, number: int | None) -> str:
    return "all" if number is None else names.label(number)


def _share(part: int, whole: int) -> str:
    return units.share(part / whole) if whole else ""


def _polls(mechanics: Mechanics, names: Names) -> Sheet:
    columns = ("server", "of", "runs", "productive", "empty", "head not ready", "wasted CE", "packets/run", "p99",
               "MISSED", "wasted", "nested", "wasted", "CE")  # fmt: skip
    title = "Polls: what runs of the servers that keep order found; nested: on top of a crypt worker"
    sheet = Sheet(title, columns, left=2)
    for row in mechanics.polls:
        runs = row.executions
        found = [_share(n, runs) for n in (row.productive, row.empty_queue, row.head_not_ready)]
        mean = "" if row.packets_mean is None else units.digits(row.packets_mean)
        missed = nested = ["", ""]
        if row.server == "rx.napi":
            missed = [_share(row.missed, runs), _share(row.missed_wasted, row.missed)]
            nested = [_share(row.nested, runs), _share(row.nested_wasted, row.nested)]
        nested_ce = f"{row.nested_wasted_ce:.3f}" if row.server == "rx.napi" else ""
        sheet.add([row.server, _of(names, row.object), units.count(runs), *found, f"{row.wasted_ce:.3f}", mean,
                   units.count(row.packets_p99), *missed, *nested, nested_ce],
                  "" if row.object is None else "wait")  # fmt: skip
    return sheet


def _heads(mechanics: Mechanics, names: Names) -> Sheet:
    columns = ("server", "of", "episodes", "blocked", "mean", "p50", "p99", "after it was ready")
    sheet = Sheet("Heads: standing before a packet that is not encrypted or decrypted yet", columns, left=2)
    for row in mechanics.heads:
        # Of all peers together it is a number of peers, not a share of the time.
        blocked = f"{row.blocked_share:.2f} peers" if row.object is None else units.share(row.blocked_share)
        times = [units.duration(t) for t in (row.mean_ns, row.p50_ns, row.p99_ns)]
        sheet.add([row.server, _of(names, row.object), units.count(row.episodes), blocked, *times,
                   units.share(row.ready_share)], "" if row.object is None else "wait")  # fmt: skip
    return sheet


def _moves(mechanics: Mechanics, names: Names) -> Sheet:
    sheet = Sheet("Places: on which CPU they ran", ("server", "of", "runs", "moves", "per s", "stay", "CPUs"), left=2)
    for row in mechanics.moves:
        cpus = " ".join(f"{cpu}:{units.share(share)}" for cpu, share in row.cpus[:_MOST_CPUS])
        cpus += " …" if len(row.cpus) > _MOST_CPUS else ""
        sheet.add([row.server, _of(names, row.object), units.count(row.executions), units.count(row.moves),
                   units.digits(row.moves_per_s), units.duration(row.stay_mean_ns), cpus],
                  "" if row.object is None else "wait")  # fmt: skip
    return sheet


def _preemptions(mechanics: Mechanics, names: Names) -> Sheet:
    columns = ("stage", "of", "calls", "interrupted", "", "for mean", "p99", "softirqs", "CE", "each", "NET_RX CE",
               "other tasks", "away", "lengthened by")  # fmt: skip
    sheet = Sheet(
        "Preemption: what ran on top of encryption and decryption, and of their workers between packets",
        columns,
        left=2,
    )
    for row in mechanics.preemptions:
        if row.object is not None and not row.calls:
            continue
        sheet.add([row.stage, _of(names, row.object), units.count(row.stage_calls), units.count(row.calls),
                   units.share(row.share), units.duration(row.on_top_mean_ns), units.duration(row.on_top_p99_ns),
                   units.count(row.softirqs), f"{row.softirq_ce:.3f}", units.duration(row.softirq_mean_ns),
                   f"{row.net_rx_ce:.3f}",
                   units.count(row.switches), f"{row.switched_s:.3f} s/s", units.share(row.lengthened)],
                  "" if row.object is None else "wait")  # fmt: skip
    return sheet


def _wakeups(mechanics: Mechanics) -> Sheet:
    columns = ("server", "packets", "runs", "runs/packet", "queued/packet", "queued to running", "threads woken",
               "per packet", "run queue", "p50", "p99")  # fmt: skip
    sheet = Sheet("Wake-ups: what it takes to get work running", columns)
    for row in mechanics.wakeups:
        ratios = ["" if ratio is None else units.digits(ratio)
                  for ratio in (row.executions_per_packet, row.scheduled_per_packet, row.woken_per_packet)]  # fmt: skip
        waits = [units.duration(t) for t in (row.runqueue_mean_ns, row.runqueue_p50_ns, row.runqueue_p99_ns)]
        sheet.add([row.server, units.count(row.packets), units.count(row.executions), *ratios[:2],
                   units.duration(row.delay_mean_ns), units.count(row.woken), ratios[2], *waits])  # fmt: skip
    return sheet


def _ipis(mechanics: Mechanics) -> Sheet:
    sheet = Sheet("Interrupts between CPUs", ("what", "number", "per s", "per packet", "by CPU"))
    for row in mechanics.ipis:
        cpus = " ".join(f"{cpu}:{units.count(number)}" for cpu, number in row.cpus[:_MOST_CPUS])
        cpus += " …" if len(row.cpus) > _MOST_CPUS else ""
        per_packet = "" if row.per_packet is None else units.digits(row.per_packet)
        sheet.add([IPIS[row.what], units.count(row.count), units.digits(row.per_s), per_packet, cpus])
    return sheet


def _contention(mechanics: Mechanics, names: Names) -> Sheet:
    columns = ("lock", "of", "waits", "per s", "per hand-off", "CE", "mean", "p50", "p99", "CPUs")
    sheet = Sheet("Contention: spinning on the locks of the rings", columns, left=2)
    for row in mechanics.contention:
        per_handoff = "" if row.per_handoff is None else units.digits(row.per_handoff)
        times = [units.duration(t) for t in (row.mean_ns, row.p50_ns, row.p99_ns)]
        sheet.add([row.lock, names.label(row.object), units.count(row.waits), units.digits(row.waits_per_s),
                   per_handoff, f"{row.spin_ce:.4f}", *times, ",".join(map(str, row.cpus[:_MOST_CPUS]))])  # fmt: skip
    if not mechanics.contention and "contention" in mechanics.measured:
        sheet.add(["all", "", "0", *[""] * (len(columns) - 3)])
    return sheet


def _wanting(mechanics: Mechanics) -> Sheet:
    sheet = Sheet("Not measured, or not in full", ("table", "why"), left=2)
    for table, why in mechanics.wanting.items():
        if not why.startswith(_NOT_ASKED):
            sheet.add([table, why])
    return sheet
