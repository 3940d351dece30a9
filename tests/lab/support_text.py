"""The support matrix as a document."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.support_row import Row, Verdicts

HEAD = """# Support matrix

Made by `make support-matrix` (`python -m tests.lab.support`) from recordings in the lab: one row a kernel, module,
number of tunnels and kind of NAPI, each recorded as a user would and judged by its own quality panel
([quality](quality.md)). Nothing here is written by hand. The machines are emulated, so counts and verdicts are
real and speed is not, which is why there is none in it.

- **points**: probes attached, of those in the attach plan; what is missing and why is below.
- **packets**: what left `tx.send` and `rx.deliver`, both ends of all tunnels together.
- **conservation, interface counters**: balances that hold, of all; in brackets the largest number of packets by which
  one is off, be it allowed or not.
- **Little's law**: queues that obey it, of those that could be judged; in brackets the largest residual.
- **recorder lost**: events, returns and runs of probes that the recorder missed, and sampled packets that lost a step.
- **packets lost**: by WireGuard, on the outer path and at UDP sockets, by cause. Traffic that overruns a queue loses
  packets; that is no fault of a recording.
"""
_COLUMNS = (
    "kernel",
    "module",
    "tunnels",
    "NAPI",
    "points",
    "packets",
    "conservation",
    "interface counters",
    "Little's law",
    "recorder lost",
    "packets lost",
)


def document(rows: Sequence[Row]) -> str:
    """The whole document."""
    lines = [HEAD, _line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *(_line(_cells(row)) for row in rows)]
    good = sum(row.good for row in rows)
    lines += ["", f"{good} of {len(rows)} rows agree with themselves and lost nothing.", ""]
    lines += ["## What is missing, and why", "", *(_missing(rows) or ["Nothing."]), ""]
    lines += ["## What failed", "", *(_failed(rows) or ["Nothing."])]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _cells(row: Row) -> list[str]:
    case = row.case
    napi = "threaded" if case.threaded else "softirq"
    seen = {0: "softirq", 1: "threaded"}
    others = [seen[way] for way in row.threaded if way in seen and seen[way] != napi]
    first = [row.release or case.kernel, case.module or "distribution", str(case.tunnels)]
    first.append(napi + (f" (found {', '.join(others)})" if others else ""))
    if row.error:
        return [*first, f"**no recording**: {row.error}", *[""] * (len(_COLUMNS) - len(first) - 1)]
    lost = dict(row.recorder_losses)
    if row.journeys.get("lost"):
        lost["journeys"] = row.journeys["lost"]
    return [
        *first,
        f"{row.attached} of {row.attached + len(row.missing)}",
        f"{row.packets.get('tx', 0):,} / {row.packets.get('rx', 0):,}",
        _verdicts(row.conservation, "{:.0f}"),
        _verdicts(row.interfaces, "{:.0f}"),
        _verdicts(row.little, "{:.1%}"),
        _causes(lost),
        _causes(row.packet_losses),
    ]


def _verdicts(verdicts: Verdicts, form: str) -> str:
    decided = verdicts.ok + verdicts.failed
    if not decided:
        return "none to judge"
    text = f"{verdicts.ok} of {decided}"
    if verdicts.failed:
        text = f"**{text}**"
    return text + ("" if verdicts.worst is None else f" ({form.format(verdicts.worst)})")


def _causes(counts: dict[str, int]) -> str:
    return ", ".join(f"{cause} {count:,}" for cause, count in counts.items()) or "0"


def _missing(rows: Sequence[Row]) -> list[str]:
    """Points by kernel and module, each once."""
    found = dict.fromkeys(
        f"- {row.release}, {row.case.module or 'distribution'}: {point}: {why}"
        for row in rows
        for point, why in row.missing.items()
    )
    return list(found)


def _failed(rows: Sequence[Row]) -> list[str]:
    return [f"- {row.case.name}: {words}" for row in rows for words in ([row.error] if row.error else row.failed)]
