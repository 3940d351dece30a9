"""How fast the dashboard answers in a browser, and how much memory its server takes: `python -m bench.dashboard`.

Two recordings, made as for `bench.analysis`: a large one and one of 30 seconds.  The server has two CPUs, which the
browser shares.  `start` is from the command to the first page on the screen, with imports, reading and analysis;
`page` is opening another page of a recording that was read; a filter is from the click to what it gives on the screen.
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
from tests.browser.conftest import CHROMIUM, FLAGS, drawn
from tests.support.dashboard import Served, serving
from wgprof.views.catalogue import VIEWS

CPUS = 2
#: Seconds until the first page, milliseconds of a filter, bytes of the server.
LIMITS = {"large": (3.0, 300.0, 1.5e9), "of 30 s": (1.0, 100.0, 1.5e9)}
#: When something was clicked or pressed, and when what it gave was on the screen.
_WATCH = """
    window.seen = {};
    for (const kind of ['click', 'keydown'])
        document.addEventListener(kind, () => { window.seen.asked = performance.now(); }, true);
    new MutationObserver(() => { window.seen.shown = performance.now(); })
        .observe(document.documentElement, {attributeFilter: ['data-shown']});
"""


@dataclass
class Times:
    """What was measured of one recording; filters in milliseconds, by the page and the filter."""

    start_s: float = 0.0
    page_ms: dict[str, float] = field(default_factory=dict)
    filter_ms: dict[str, float] = field(default_factory=dict)
    bytes: int = 0


def measured(path: Path) -> Times:
    """Start a dashboard on the recording, look at every view of it through every filter."""
    times = Times()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce").new_page()
        page.set_default_timeout(120_000)
        began = time.perf_counter()
        with serving(path) as dashboard:
            page.goto(dashboard.url)
            drawn(page)
            times.start_s = time.perf_counter() - began
            for view in (view for view in VIEWS if not view.whole):
                began = time.perf_counter()
                page.goto(f"{dashboard.url}?page={view.name}")
                drawn(page)
                times.page_ms[view.name] = (time.perf_counter() - began) * 1e3
                page.evaluate(_WATCH)
                times.filter_ms |= dict(_filters(page, view.name))
            times.bytes = _most_resident(dashboard)
        browser.close()
    return times


def _filters(page: Page, view: str) -> Iterator[tuple[str, float]]:
    for label in ("Transmit", "Receive", "Both"):
        page.locator("#direction").get_by_text(label, exact=True).click()
        yield f"{view}, {label}", _taken(page)
    page.get_by_role("slider").first.focus()
    for step in range(2):
        page.keyboard.press("ArrowRight")
        yield f"{view}, time {step}", _taken(page)
    page.locator("#peers").click()
    page.get_by_role("option").first.click()
    yield f"{view}, peer", _taken(page)


def _taken(page: Page) -> float:
    page.wait_for_function("() => window.seen.shown > window.seen.asked")
    drawn(page)
    return float(page.evaluate("window.seen.shown - window.seen.asked"))


def _most_resident(dashboard: Served) -> int:
    for line in Path(f"/proc/{dashboard.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@click.command()
@click.option("--events", default=10_000_000, show_default=True, help="Journey events of the large recording.")
@click.option(
    "--like", type=click.Path(path_type=Path), default=ROOT / "reports" / "example.wgprof", help="What to repeat."
)
def main(events: int, like: Path) -> None:
    """Build both recordings, look at each, print times and memory against the limits."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    with TemporaryDirectory() as folder:
        for name, wanted in (("large", {"events": events}), ("of 30 s", {"seconds": 30.0})):
            path = Path(folder) / "recording.wgprof"
            count, seconds = repeated(like, path, **wanted)  # type: ignore[arg-type]
            click.echo(f"{name}: {count:,} journey events, {seconds:,.0f} s, {path.stat().st_size / 1e6:,.0f} MB")
            _print(measured(path), *LIMITS[name])


def _print(times: Times, most_s: float, most_ms: float, most_bytes: float) -> None:
    def kept(value: float, most: float) -> str:
        return "reached" if value <= most else "NOT reached"

    click.echo(f"  start        {times.start_s:6.2f} s; limit {most_s:.0f} s: {kept(times.start_s, most_s)}")
    slowest = max(times.page_ms, key=lambda name: times.page_ms[name])
    click.echo(f"  page, most   {times.page_ms[slowest] / 1e3:6.2f} s ({slowest})")
    ordered = sorted(times.filter_ms.values())
    click.echo(f"  filter, half {ordered[len(ordered) // 2]:6.0f} ms")
    for name in sorted(times.filter_ms, key=lambda name: -times.filter_ms[name])[:4]:
        click.echo(f"  filter, most {times.filter_ms[name]:6.0f} ms ({name})")
    click.echo(f"               limit {most_ms:.0f} ms: {kept(ordered[-1], most_ms)}")
    reached = kept(times.bytes, most_bytes)
    click.echo(f"  memory       {times.bytes / 1e9:6.2f} GB; limit {most_bytes / 1e9:.1f} GB: {reached}")


if __name__ == "__main__":
    main()
