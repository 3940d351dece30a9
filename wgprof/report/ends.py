"""One-way delays between the two ends of tunnels, as lines and tables."""

from __future__ import annotations

from collections.abc import Iterator

from wgprof.analysis import units
from wgprof.analysis.delay import NETWORK, RECEIVER, SENDER, Part, Split
from wgprof.analysis.ends import Direction, Ends
from wgprof.analysis.names import clean
from wgprof.analysis.offset import BENT, DECIDED, ClockWindow
from wgprof.report.sheets import Sheet

TITLE = "One-way delay, end to end"
_UNDECIDED = "not decidable"
#: What is cut at a moment of the other end's clock.
_BETWEEN = ("tx.send", NETWORK)


def lines(ends: Ends) -> list[str]:
    """What to know before the tables: which ends, which clocks, and where most of the time goes."""
    found = [TITLE, f"A is {clean(ends.first, 80)}, B is {clean(ends.second, 80)}."]
    found += _clocks(ends)
    for direction in _together(ends):
        whole = direction.split.whole
        if whole.mean_ns is not None:
            largest = max(direction.split.parts, key=lambda part: part.mean_ns or 0)
            found.append(
                f"{_way(direction)}: {units.duration(whole.mean_ns)} on average, the largest part {largest.step}"
                f" ({units.share(largest.share)}){_lost(direction)}."
            )
    return found


def _lost(direction: Direction) -> str:
    loss = direction.seen.loss
    return "" if not loss else f"; {units.share(loss)} of the packets were lost on the way"


def _clocks(ends: Ends) -> list[str]:
    if ends.same_clock:
        found = ["Both ends are in one recording, on one clock: the offset is 0, exactly."]
        if all(_network(direction).p99_ns == 0 for direction in _together(ends)):
            found.append(
                "99 % of packets or more were received while the sender's tx.send ran: the network's part is 0."
            )
        return found
    decided = [window for window in ends.windows if window.state == DECIDED]
    if not decided:
        return [_undecidable(window) for window in ends.windows[:3]]
    found = [
        "The clocks are compared by the packets themselves. Their offset is the middle of what these allow, right if"
        " the least delays of both directions are equal: that cannot be seen, so ± is half the least round trip."
    ]
    left = len(ends.windows) - len(decided)
    if left:
        found.append(
            f"In {left} of {len(ends.windows)} windows the offset is not decidable: their packets are left out."
        )
    both = [_between_ns(direction.split) for direction in _together(ends)]
    if len(both) == 2 and None not in both:
        total = sum(mean for mean in both if mean is not None)
        found.append(
            f"From the start of tx.send to the start of rx.receive, both directions together: {units.duration(total)}."
            " That does not depend on the offset."
        )
    return found


def _between_ns(split: Split) -> float | None:
    """Mean time in what the offset moves from one direction to the other."""
    means = [part.mean_ns for part in split.parts if part.step in _BETWEEN]
    known = [mean for mean in means if mean is not None]
    return sum(known) if len(known) == len(_BETWEEN) else None


def _network(direction: Direction) -> Part:
    return next(part for part in direction.split.parts if part.step == NETWORK)


def _undecidable(window: ClockWindow) -> str:
    if window.state == BENT:
        return "The offset of the clocks is not decidable: no straight line fits, so one of them was set or steered."
    bound, which = (window.at_most_ns, "at most") if window.at_most_ns is not None else (window.at_least_ns, "at least")
    return (
        f"The offset of the clocks is not decidable: traffic in one direction only; the bound is B − A {which}"
        f" {_seconds(bound)}. Times within each end are known, the network's are not."
    )


def ends_sheets(ends: Ends) -> list[Sheet]:
    """The split of each direction, the tunnels one by one, who saw which packets, and the clocks."""
    found = [_split_sheet(ends, direction) for direction in _together(ends)]
    if len(ends.tunnels) > 1:
        found.append(_tunnels_sheet(ends))
    found.append(_seen_sheet(ends))
    if ends.windows:  # none with one clock, nor if a damaged file's times are beyond all bounds
        found.append(_clock_sheet(ends))
    return found


def _together(ends: Ends) -> list[Direction]:
    return [direction for direction in ends.directions if direction.tunnel is None]


def _way(direction: Direction) -> str:
    return "A → B" if direction.to_second else "B → A"


def _split_sheet(ends: Ends, direction: Direction) -> Sheet:
    split = direction.split
    tunnels = "" if len(ends.tunnels) == 1 else f", {len(ends.tunnels)} tunnels"
    title = f"{TITLE}: {_way(direction)}, {split.packets:,} sampled packets{tunnels}"
    sheet = Sheet(title, ("side", "step", "mean", "p50", "p99", "share", *(() if ends.same_clock else ("±",))), left=2)
    for part in (*split.parts, split.whole):
        kind = "wait" if part.step.endswith(".wait") else ""
        sheet.add([part.side, part.step, *_times(part), units.share(part.share), *_between(ends, part, split)], kind)
    return sheet


def _times(part: Part) -> list[str]:
    if part.mean_ns is None:
        return [_UNDECIDED, "", ""]
    return [units.duration(t) for t in (part.mean_ns, part.p50_ns, part.p99_ns)]


def _between(ends: Ends, part: Part, split: Split) -> list[str]:
    if ends.same_clock:
        return []
    crosses = not part.side or part.step in _BETWEEN
    return [units.duration(split.uncertainty_ns) if crosses and part.mean_ns is not None else ""]


def _tunnels_sheet(ends: Ends) -> Sheet:
    columns = ("", "from peer", "to peer", SENDER, NETWORK, RECEIVER, "mean", "p99", "packets", "lost")
    sheet = Sheet("One-way delay of each tunnel", columns, left=3)
    for direction in ends.directions:
        if direction.tunnel is not None:
            tunnel, split = ends.tunnels[direction.tunnel], direction.split
            peers = [tunnel.first_label, tunnel.second_label]
            sides = [units.duration(_side_ns(split, side)) for side in (SENDER, NETWORK, RECEIVER)]
            whole = [units.duration(split.whole.mean_ns), units.duration(split.whole.p99_ns)]
            cells = [*(peers if direction.to_second else peers[::-1]), *sides, *whole]
            sheet.add([_way(direction), *cells, units.count(split.packets), units.share(direction.seen.loss)])
    return sheet


def _side_ns(split: Split, side: str) -> float | None:
    means = [part.mean_ns for part in split.parts if part.side == side]
    known = [mean for mean in means if mean is not None]
    return sum(known) if len(known) == len(means) else None


def _seen_sheet(ends: Ends) -> Sheet:
    columns = ("", "seen by", "packets", "why not by the other")
    sheet = Sheet("Sampled packets by who saw them", columns, left=2)
    for direction in _together(ends):
        for who, count, why in _seen_rows(direction):
            if count:
                sheet.add([_way(direction), who, units.count(count), why])
    return sheet


def _seen_rows(direction: Direction) -> Iterator[tuple[str, int, str]]:
    seen = direction.seen
    yield "both", seen.both, ""
    for who, alone, missing, undecided in (
        (SENDER, seen.only_sender, "lost on the way", "lost, or lost as an event by its recorder"),
        (RECEIVER, seen.only_receiver, "the sender's event is missing", "lost as an event by its recorder"),
    ):
        yield who, alone.missing, missing
        yield who, alone.undecided, undecided
        yield who, alone.not_sampled, "not in its sampling, or close to a change of it"
        yield who, alone.outside, "its recording was not running, or within 1 s of an edge"


def _clock_sheet(ends: Ends) -> Sheet:
    columns = ("from", "to", "B − A", "±", "worst ±", "drift", "packets A → B", "B → A", "")
    sheet = Sheet("Clocks: B minus A, as the packets bound it; by windows of A's clock", columns, left=0)
    start_ns = ends.windows[0].start_ns
    for window in ends.windows:
        span = [f"{(t - start_ns) / 1e9:.1f} s" for t in (window.start_ns, window.end_ns)]
        known = [_seconds(window.offset_ns), units.duration(window.uncertainty_ns), units.duration(window.worst_ns)]
        counts = [units.count(window.packets_to_second), units.count(window.packets_to_first)]
        sheet.add([*span, *known, _drift(window), *counts, "" if window.state == DECIDED else window.state])
    if ends.wall_offset_ns is not None:
        sheet.add(["", "", _seconds(ends.wall_offset_ns), "", "", "", "", "", "by the wall clocks"])
    return sheet


def _seconds(ns: int | None) -> str:
    return "–" if ns is None else f"{ns // 10**9 if ns >= 0 else -(-ns // 10**9):,}.{abs(ns) % 10**9:09d} s"


def _drift(window: ClockWindow) -> str:
    if window.drift_ppm is None or window.drift_uncertainty_ppm is None:
        return "–"
    return f"{window.drift_ppm:+.2f} ± {window.drift_uncertainty_ppm:.2f} ppm"
