"""The outer path as tables."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.summary import Analysis
from wgprof.report.sheets import Sheet

_UNTOLD = "not told"
_MOST_CPUS = 8


def outer_sheets(analysis: Analysis) -> list[Sheet]:
    """The interfaces that carry tunnels, and each CPU's receive softirq; nothing of a recording without them."""
    return [_interfaces(analysis), _softnet(analysis)]


def _interfaces(analysis: Analysis) -> Sheet:
    columns = ("interface", "carries", "driver", "RSS of outer UDP", "interrupts on", "RPS", "queues", "in/s", "out/s")
    sheet = Sheet("Outer path: the interfaces that carry the tunnels", columns, left=6)
    for row in analysis.outer.interfaces:
        carries = ", ".join(row.carries[:3]) + ("…" if len(row.carries) > 3 else "")
        fields = list(dict.fromkeys(row.rss_hash.values()))
        cpus = ",".join(map(str, row.irq_cpus[:_MOST_CPUS])) + ("…" if len(row.irq_cpus) > _MOST_CPUS else "")
        words = [row.label, carries, row.driver, " / ".join(fields) or _UNTOLD, cpus or "none of its own"]
        figures = [f"{row.rx_queues}/{row.tx_queues}", units.digits(row.rx_pps, 4), units.digits(row.tx_pps, 4)]
        sheet.add([*(clean(word, 80) for word in words), "on" if row.rps else "off", *figures])
    return sheet


def _softnet(analysis: Analysis) -> Sheet:
    columns = ("CPU", "packets/s", "share", "backlog full", "squeezed", "woken by RPS/s")
    sheet = Sheet("Receive softirq of each CPU, all interfaces", columns)
    for row in analysis.outer.softnet:
        counts = [units.count(row.dropped), units.count(row.squeezed), units.digits(row.rps_per_s)]
        sheet.add([str(row.cpu), units.digits(row.processed_pps, 4), units.share(row.share), *counts])
    return sheet
