"""The loss ledger, and what the checks of the quality panel mean, as tables."""

from __future__ import annotations

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.summary import Analysis
from wgprof.report.sheets import Sheet

#: Where packets are lost, as a reader would say it.
_SCOPES = {"tunnel": "WireGuard", "outer": "outer path", "socket": "UDP sockets"}


def ledger_sheet(analysis: Analysis) -> Sheet:
    """Every loss by cause: of packets, and then the recorder's own."""
    columns = ("where", "cause", "of", "way", "the kernel told", "what happened", "packets")
    sheet = Sheet("Losses by cause", columns, left=6)
    for loss in analysis.ledger.losses:
        told = loss.told or "nobody"
        told += f" (also under {loss.among})" if loss.among else ""
        row = [_SCOPES[loss.scope], loss.cause, clean(loss.subject, 80), loss.direction, clean(told, 80), loss.meaning]
        sheet.add([*row, units.count(loss.packets)])
    for own in analysis.ledger.recorder:
        what = "missed by the recorder: no packet's fate"
        sheet.add(["recorder", clean(own.cause), clean(own.where), "", "", what, units.count(own.count)])
    return sheet


def meanings_sheet(analysis: Analysis) -> Sheet:
    """One line for each kind of check on the panel."""
    sheet = Sheet("What each check asks", ("check", "what must hold"), left=2)
    for name, meaning in dict.fromkeys((check.name, check.meaning) for check in analysis.checks):
        sheet.add([name, meaning])
    return sheet
