"""What the recorder itself lost, and what became of the sampled packets."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from wgprof.analysis.checks.check import FAIL, OK, UNKNOWN, Check
from wgprof.analysis.journeys import JourneyCounts
from wgprof.analysis.ledger import Ledger, unexplained
from wgprof.analysis.names import clean
from wgprof.analysis.tables import Tables, ints

#: As many causes are named in a line.
_MOST_CAUSES = 4


def ledger_checks(ledger: Ledger) -> list[Check]:
    """What was lost of packets, by cause; stated, not judged: a loss is the network's, not the recording's."""
    rows = []
    for scope, subject in (("tunnel", "inside WireGuard"), ("outer", "outer path"), ("socket", "UDP sockets")):
        if scope != "tunnel" and not ledger.outer_known:
            detail = "not counted in this recording"
            rows.append(Check("packet losses", subject, None, None, "packets", UNKNOWN, detail, ("losses",)))
            continue
        causes: dict[str, int] = {}
        for loss in ledger.losses:
            if loss.scope == scope and not loss.among:
                causes[loss.cause] = causes.get(loss.cause, 0) + loss.packets
        worst = sorted(causes.items(), key=lambda cause: -cause[1])
        detail = ", ".join(f"{cause} {packets:,}" for cause, packets in worst[:_MOST_CAUSES]) or "none"
        if causes:
            detail += f"; {ledger.total(scope, silent=True):,} silent, {ledger.total(scope, silent=False):,} told"
        if causes and scope == "socket":
            own = sum(loss.packets for loss in ledger.losses if loss.cause == "wireguard-socket")
            detail += f"; of all UDP in the namespaces, {own:,} of them seen at WireGuard's own sockets"
        rows.append(Check("packet losses", subject, ledger.total(scope), None, "packets", OK, detail))
    return rows


def loss_checks(recording: Tables, counts: Sequence[JourneyCounts], ledger: Ledger) -> list[Check]:
    """Every kind of loss: events, returns, probe runs, whole probes, journeys without an end, the file's end."""
    rows = []
    for row in only_positive(recording.table("losses"), "count").to_dict("records"):
        cause, where = clean(row["cause"]), clean(row["where"])
        count = int(row["count"])
        rows.append(Check("losses", where, count, 0, "events", FAIL, f"{cause}: {count:,}", _tainted_by(cause)))
    if not rows:
        rows.append(Check("losses", "all causes", 0, 0, "events", OK, "nothing was lost"))
    rows += _probe_checks(recording.table("probes"))
    for ended in counts:
        detail = f"{ended.journeys:,} sampled, {ended.complete:,} complete, {ended.failed:,} dropped by WireGuard"
        detail += f", {ended.cut:,} cut by an edge or a change of the sampling, {ended.lost:,} lost"
        lost = unexplained(ended, ledger.undelivered)
        if lost < ended.lost:
            detail += f", of which {ended.lost - lost:,} may be packets that a poll dropped as replayed"
        verdict = FAIL if lost else OK if ended.complete and not ended.lost else UNKNOWN
        rows.append(Check("journeys", ended.direction, ended.lost, 0, "journeys", verdict, detail, ("waits",)))
    if not recording.manifest.get("complete", True):
        reason = clean(recording.manifest.get("end_reason", "")) or "unknown"
        detail = f"the recording has no proper end ({reason}): losses at its end are not known"
        rows.append(Check("complete", "recording", None, None, "", UNKNOWN, detail, ("losses",)))
    return rows


def only_positive(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows with something in `column`."""
    return frame[ints(frame, column) > 0]


def _tainted_by(cause: str) -> tuple[str, ...]:
    return ("waits",) if "ring" in cause else ("packets", "service times")


def _probe_checks(probes: pd.DataFrame) -> list[Check]:
    rows = []
    lesser = 0
    untold: dict[str, tuple[str, ...]] = {}
    for row in probes.to_dict("records"):
        point, affects = clean(row["point"]), clean(row["affects"], 120)
        taints = tuple(part.strip() for part in affects.split(",") if part.strip())
        if str(row["kind"]) == "missing":
            detail = f"not attached: {clean(row['error'], 120) or 'no symbol fits'}; incomplete: {affects or 'nothing'}"
            rows.append(Check("probes", point, None, None, "", UNKNOWN, detail, taints))
        elif int(row["misses"]) > 0:
            skipped = f"the kernel skipped {int(row['misses']):,} runs of {clean(row['symbol'])}"
            detail = f"{skipped}; incomplete: {affects or 'nothing'}"
            rows.append(Check("probes", point, float(row["misses"]), 0, "runs", FAIL, detail, taints))
        elif int(row["misses"]) < 0:
            untold[point] = taints
        lesser += bool(row["error"]) and str(row["kind"]) != "missing"
    if untold:
        more = f" and {len(untold) - _MOST_CAUSES} more" if len(untold) > _MOST_CAUSES else ""
        detail = f"not known whether the kernel skipped runs of {', '.join([*untold][:_MOST_CAUSES])}{more}"
        doubtful = tuple(dict.fromkeys(taint for taints in untold.values() for taint in taints))
        rows.append(Check("probes", f"{len(untold)} kprobes", None, 0, "runs", UNKNOWN, detail, doubtful))
    if not rows and len(probes):
        detail = f"{len(probes)} attached, none missed a run"
        detail += f"; {lesser} not in the way that was planned (table of probes)" if lesser else ""
        rows.append(Check("probes", "all probes", 0, 0, "runs", OK, detail))
    return rows
