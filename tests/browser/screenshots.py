"""Pictures of every page: `python -m tests.browser.screenshots [--into build/screenshots] [RECORDING..]`.

The first recording is looked at, and compared with the second.  Small ones for the documentation go to docs/ with
--docs.
"""

from __future__ import annotations

from pathlib import Path

import click
from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, drawn
from tests.support.dashboard import CAPTURED, ROOT, serving
from wgprof.dashboard.pages import COMPARE, all_pages

#: Width, height, and how many pixels a CSS pixel has.
SCREENS = {"720p": (1280, 720, 1), "4k": (3840, 2160, 1)}
DEFAULT = (CAPTURED / "scenarios" / "serial-tx.wgprof", ROOT / "reports" / "example.wgprof")
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
    files = [path.resolve() for path in recordings] or list(DEFAULT)
    with serving(*files) as dashboard, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        if docs:
            for page, theme, name in DOCS:
                _shoot(browser, f"{dashboard.url}?page={page}&theme={theme}", ROOT / "docs" / f"{name}.png", "720p")
            return
        against = f"&against={files[1].stem}" if len(files) > 1 else ""
        for page in (p.name for p in all_pages() if not only or p.name in only):
            for screen in SCREENS:
                for theme in ("light", "dark") if screen == "720p" else ("light",):
                    query = f"?page={page}&theme={theme}{against if page == COMPARE else ''}"
                    for whole in (False, True) if screen == "720p" and theme == "light" else (False,):
                        name = f"{page}-{screen}-{theme}{'-whole' if whole else ''}.png"
                        _shoot(browser, dashboard.url + query, into / name, screen, whole=whole)
        browser.close()
    click.echo(f"Wrote {into}")


def _shoot(browser: Browser, url: str, out: Path, screen: str, *, whole: bool = False) -> None:
    width, height, scale = SCREENS[screen]
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
    page.goto(url)
    drawn(page)
    page.wait_for_function(
        "() => document.querySelectorAll('.ag-root-wrapper').length || !document.querySelector('.grid')"
    )
    page.screenshot(path=out, full_page=whole)
    page.close()


if __name__ == "__main__":
    main()
