"""How fast the dashboard answers in a browser, and how much memory its server takes: `python -m bench.dashboard`.

Two recordings, made as for `bench.analysis`: a large one and one of 30 seconds.  The server has two CPUs, which the
browser shares.  `start` is from the command to the first page on the screen, with imports, reading and analysis;
`page` is opening a page of a recording that was read, or the first while it is read; a filter is from the click to what
it gives on the screen, `all` until the figures further down are drawn too.  Then a recording that is being written:
from a tick in the file to the screen, and the server's memory after 40 s and after 120 s of it.  With `--live-minutes`
that alone, for so long and at the pace of a recorder: the memory of the server and of the page by the minute.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from playwright.sync_api import Page, sync_playwright

from bench.analysis import ROOT, repeated
from tests.browser.conftest import FLAGS, drawn, find_chromium
from tests.support.dashboard import Growing, Served, serving
from tests.support.frames import synthetic_frames
from wgprof.views.catalogue import VIEWS

CPUS = 2
#: Seconds until the first page, milliseconds of a filter, bytes of the server.
LIMITS = {"large": (3.0, 300.0, 1.5e9), "of 30 s": (1.0, 100.0, 1.5e9)}
LIVE_TICKS, LIVE_MS = 20, 1000.0
#: When something was clicked or pressed, and when what it gave was on the screen.
_WATCH = """
    window.seen = {};
    for (const kind of ['click', 'keydown'])
        document.addEventListener(kind, () => { window.seen.asked = performance.now(); }, true);
    new MutationObserver(() => { window.seen.shown = performance.now(); })
        .observe(document.documentElement, {attributeFilter: ['data-shown']});
    new MutationObserver(() => { window.seen.all = performance.now(); })
        .observe(document.documentElement, {attributeFilter: ['data-drawn']});
"""


@dataclass
class Times:
    """What was measured of one recording; filters in milliseconds, by the page and the filter."""

    start_s: float = 0.0
    first_s: float = 0.0  # from asking for the first page, the recording being read meanwhile
    page_ms: dict[str, float] = field(default_factory=dict)
    filter_ms: dict[str, float] = field(default_factory=dict)
    all_ms: list[float] = field(default_factory=list)
    bytes: int = 0


def measured(path: Path) -> Times:
    """Start a dashboard on the recording, look at every view of it through every filter."""
    times = Times()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce").new_page()
        page.set_default_timeout(120_000)
        began = time.perf_counter()
        with serving(path) as dashboard:
            listening = time.perf_counter()
            page.goto(dashboard.url)
            drawn(page)
            times.start_s, times.first_s = time.perf_counter() - began, time.perf_counter() - listening
            for view in (view for view in VIEWS if not view.whole):
                began = time.perf_counter()
                page.goto(f"{dashboard.url}?page={view.name}")
                drawn(page)
                times.page_ms[view.name] = (time.perf_counter() - began) * 1e3
                page.evaluate(_WATCH)
                for name, shown_ms, all_ms in _filters(page, view.name):
                    times.filter_ms[name] = shown_ms
                    times.all_ms.append(all_ms)
            times.bytes = _resident(dashboard, "VmHWM")
        browser.close()
    return times


def _filters(page: Page, view: str) -> Iterator[tuple[str, float, float]]:
    for label in ("Transmit", "Receive", "Both"):
        page.locator("#direction").get_by_text(label, exact=True).click()
        yield f"{view}, {label}", *_taken(page)
    page.get_by_role("slider").first.focus()
    for step in range(2):
        page.keyboard.press("ArrowRight")
        yield f"{view}, time {step}", *_taken(page)
    page.locator("#peers").click()
    page.get_by_role("option").first.click()
    yield f"{view}, peer", *_taken(page)


def _taken(page: Page) -> tuple[float, float]:
    """Until what can be seen was drawn, and until everything was."""
    page.wait_for_function("() => window.seen.shown > window.seen.asked && window.seen.all > window.seen.asked")
    drawn(page)
    shown_ms, all_ms = page.evaluate("['shown', 'all'].map((what) => window.seen[what] - window.seen.asked)")
    return float(shown_ms), float(all_ms)


def _resident(dashboard: Served, what: str) -> int:
    """VmRSS: now; VmHWM: the most there was."""
    for line in Path(f"/proc/{dashboard.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass
class Live:
    """What was measured of a recording being written."""

    tick_ms: list[float]
    bytes_early: int
    bytes_late: int


def measured_live(folder: Path) -> Live:
    """Write a recording tick by tick and look at it; every tick has to be seen before the next."""
    part = Growing(folder / "live.wgprof.part", synthetic_frames(seconds=121.0))
    part.grow(400)
    with sync_playwright() as playwright, serving(part.path, "--live") as dashboard:
        page = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS).new_page()
        page.goto(dashboard.url)
        seen = "(least) => Number(document.documentElement.dataset.version) >= least"
        page.wait_for_function(seen, arg=400, timeout=120_000)
        early, ticks = _resident(dashboard, "VmRSS"), []
        while part.ticks < 1200:
            for _ in range(LIVE_TICKS // 4):
                part.grow(1)
                written = time.perf_counter()
                page.wait_for_function(seen, arg=part.ticks)
                ticks.append((time.perf_counter() - written) * 1e3)
            part.grow(200)
            page.wait_for_function(seen, arg=part.ticks)
        return Live(ticks, early, _resident(dashboard, "VmRSS"))


def print_live(folder: Path, minutes: int) -> None:
    """Write a recording at the pace of a recorder and look at it: memory by the minute."""
    part = Growing(folder / "live.wgprof.part", synthetic_frames(seconds=60.0 * minutes + 1))
    part.grow(10)
    with sync_playwright() as playwright, serving(part.path, "--live") as dashboard:
        page = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS).new_page()
        page.goto(dashboard.url)
        began, seen = time.monotonic(), "(least) => Number(document.documentElement.dataset.version) >= least"
        devtools = page.context.new_cdp_session(page)
        for minute in range(1, minutes + 1):
            while time.monotonic() < began + 60 * minute:
                late = round((time.monotonic() - began) * 10) + 10 - part.ticks  # a tick is 100 ms
                part.grow(max(late, 0))
                page.wait_for_timeout(50)
            page.wait_for_function(seen, arg=part.ticks, timeout=120_000)
            devtools.send("HeapProfiler.collectGarbage")
            heap = devtools.send("Runtime.getHeapUsage")["usedSize"]
            nodes = page.evaluate("document.getElementsByTagName('*').length")
            server = _resident(dashboard, "VmRSS")
            click.echo(
                f"  {minute:3} min: server {server / 1e6:4.0f} MB; page {heap / 1e6:4.0f} MB, {nodes:,} elements"
            )


@click.command()
@click.option("--events", default=10_000_000, show_default=True, help="Journey events of the large recording.")
@click.option(
    "--like", type=click.Path(path_type=Path), default=ROOT / "reports" / "example.wgprof", help="What to repeat."
)
@click.option("--live-minutes", type=click.IntRange(1), help="Only follow a recording being written, for so long.")
def main(events: int, like: Path, live_minutes: int | None) -> None:
    """Build both recordings, look at each, print times and memory against the limits."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    with TemporaryDirectory() as folder:
        if live_minutes is not None:
            print_live(Path(folder), live_minutes)
            return
        for name, wanted in (("large", {"events": events}), ("of 30 s", {"seconds": 30.0})):
            path = Path(folder) / "recording.wgprof"
            count, seconds = repeated(like, path, **wanted)  # type: ignore[arg-type]
            click.echo(f"{name}: {count:,} journey events, {seconds:,.0f} s, {path.stat().st_size / 1e6:,.0f} MB")
            _print(measured(path), *LIMITS[name])
        live = measured_live(Path(folder))
        ticks = sorted(live.tick_ms)
        click.echo("being written: 100 ms a tick, the last 30 s on the screen")
        click.echo(f"  tick, half   {ticks[len(ticks) // 2]:6.0f} ms")
        click.echo(f"  tick, most   {ticks[-1]:6.0f} ms; limit {LIVE_MS:.0f} ms: {_kept(ticks[-1], LIVE_MS)}")
        click.echo(
            f"  memory       {live.bytes_early / 1e6:.0f} MB after 40 s, {live.bytes_late / 1e6:.0f} MB after 120 s"
        )


def _print(times: Times, most_s: float, most_ms: float, most_bytes: float) -> None:
    click.echo(f"  start        {times.start_s:6.2f} s")
    click.echo(f"  first page   {times.first_s:6.2f} s; limit {most_s:.0f} s: {_kept(times.first_s, most_s)}")
    slowest = max(times.page_ms, key=lambda name: times.page_ms[name])
    click.echo(f"  page, most   {times.page_ms[slowest] / 1e3:6.2f} s ({slowest})")
    ordered = sorted(times.filter_ms.values())
    click.echo(
        f"  filter, half {ordered[len(ordered) // 2]:6.0f} ms; all {sorted(times.all_ms)[len(ordered) // 2]:.0f} ms"
    )
    for name in sorted(times.filter_ms, key=lambda name: -times.filter_ms[name])[:4]:
        click.echo(f"  filter, most {times.filter_ms[name]:6.0f} ms ({name})")
    click.echo(f"               limit {most_ms:.0f} ms: {_kept(ordered[-1], most_ms)}")
    reached = _kept(times.bytes, most_bytes)
    click.echo(f"  memory       {times.bytes / 1e9:6.2f} GB; limit {most_bytes / 1e9:.1f} GB: {reached}")


def _kept(value: float, most: float) -> str:
    return "reached" if value <= most else "NOT reached"


if __name__ == "__main__":
    main()
