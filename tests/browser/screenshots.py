"""Pictures of every page: `python -m tests.browser.screenshots [--into build/screenshots] [RECORDING..]`.

The first recording is looked at, and compared with the second.  Those of the documentation go to docs/images
with --docs.
"""

from __future__ import annotations

from pathlib import Path

import click
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import FLAGS, drawn, find_chromium
from tests.support.dashboard import CAPTURED, ROOT, serving
from wgprof.dashboard.pages import COMPARE, all_pages

SCREENS = {"720p": (1280, 720), "4k": (3840, 2160), "docs": (1280, 640)}
RECORDINGS = (CAPTURED / "scenarios" / "serial-tx.wgprof", ROOT / "reports" / "example.wgprof")
#: For docs/: page, colours, name.
DOCS = (("", "light", "dashboard"), ("cores", "dark", "dashboard-dark"))


@click.command()
@click.argument("recordings", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--into", type=click.Path(path_type=Path), default=ROOT / "build" / "screenshots", show_default=False)
@click.option("--docs", is_flag=True, help="Make those of docs/ instead.")
@click.option("--page", "only", multiple=True, help="Only these pages.")
def main(recordings: tuple[Path, ...], into: Path, docs: bool, only: tuple[str, ...]) -> None:
    """Every page, light and dark, on a small and on a large screen."""
    into.mkdir(parents=True, exist_ok=True)
    files = [path.resolve() for path in recordings] or list(RECORDINGS)
    with serving(*files) as dashboard, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_context(reduced_motion="reduce").new_page()
        if docs:
            for name, theme, picture in DOCS:
                _open(page, f"{dashboard.url}?page={name}&theme={theme}", "docs")
                page.screenshot(path=ROOT / "docs" / "images" / f"{picture}.png")
            return
        against = f"&against={files[1].stem}" if len(files) > 1 else ""
        for name in (p.name for p in all_pages() if not only or p.name in only):
            query = f"?page={name}{against if name == COMPARE else ''}"
            for screen, theme in (("720p", "light"), ("720p", "dark"), ("4k", "light")):
                _open(page, f"{dashboard.url}{query}&theme={theme}", screen)
                page.screenshot(path=into / f"{name}-{screen}-{theme}.png")
                if (screen, theme) == ("720p", "light"):
                    page.screenshot(path=into / f"{name}-whole.png", full_page=True)
        browser.close()
    click.echo(f"Wrote {into}")


def _open(page: Page, url: str, screen: str) -> None:
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    page.goto(url)
    drawn(page)


if __name__ == "__main__":
    main()
