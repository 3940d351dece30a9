"""The scaling curves of sweeps, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, drawn
from tests.browser.test_filters import figures
from tests.browser.test_pages import serious
from tests.support.dashboard import CAPTURED, serving
from tests.support.sweeps import Quiet, recorder, small, swept
from wgprof.errors import RecordingError
from wgprof.sweep.configuration import Configuration
from wgprof.sweep.part import part_of
from wgprof.sweep.running import run_sweep

NASTY = "<img src=x onerror=\"document.title='taken'\">\u202eright to left"


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of four numbers of tunnels, one in which everything is called something nasty, and a
    damaged one."""
    folder = tmp_path_factory.mktemp("sweeps")

    def fails(configuration: Configuration, out: Path) -> None:
        if configuration.tunnels > 1:
            raise RecordingError(NASTY, NASTY)
        recorder(lambda c, n: 10.0)(configuration, out)

    with part_of(folder / f"{NASTY}.sweep", small(repeats=1)) as part:
        run_sweep(part, fails, Quiet())
        part.pack()
    grown = recorder(lambda c, n: 100.0 * c.tunnels / (1 + 0.1 * (c.tunnels - 1)))
    mine = swept(folder / "mine.sweep", small(tunnels=[1, 2, 4, 8], repeats=1), grown)
    (folder / f"cut {NASTY}.sweep").write_bytes(mine.read_bytes()[:-4000])
    return folder


def choose(page: Page, name: str) -> None:
    """A sweep, by how its name begins."""
    before = page.url
    page.get_by_label("Sweep").or_(page.get_by_role("combobox", name="Sweep")).first.click()
    page.get_by_role("option").filter(has_text=re.compile("^" + re.escape(name))).click()
    page.wait_for_url(lambda url: url != before)
    drawn(page)


def harmless(page: Page) -> None:
    assert page.title() != "taken"
    assert page.locator("#content img, #content script, #content iframe, [onerror]").count() == 0
    assert not set("\u202e\x1b") & set(page.locator("body").inner_text() + page.title())
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_sweeps_curves_are_drawn_and_what_is_wrong_is_said(opened: Open, sweeps: Path) -> None:
    with serving(CAPTURED / "idle-6.12.wgprof", sweeps / "mine.sweep", sweeps) as dashboard:
        page = opened(f"{dashboard.url}?page=scaling")
        expect(page.locator("#verdict")).to_contain_text("4 configurations, 1 repeat of 1 s each")
        measured, law = figures(page)[0]
        assert measured["name"] == "distribution, measured" and measured["x"] == [1, 2, 4, 8]
        assert measured["y"][0] == pytest.approx(0.1) and "USL" in law["name"]
        ticks = page.locator("#figure-scaling1 .xtick text").all_text_contents()
        assert ticks == [str(number) for number in range(9)]
        expect(page.locator(".grid-title").first).to_have_text("Configurations: means over repeats")
        assert serious(page) == []
        harmless(page)
        choose(page, "<img src=x")
        expect(page.locator("#content")).to_contain_text("There is no curve")
        expect(page.locator("#verdict")).to_contain_text("1 of 2 recordings could not be made")
        expect(page.locator("#tables, #page").first).to_contain_text("Recordings that could not be made")
        harmless(page)
        choose(page, "cut <img")
        expect(page.get_by_role("alert")).to_contain_text("is damaged")
        expect(page.locator("#verdict")).to_be_hidden()
        harmless(page)
        page.get_by_role("link", name="Pipeline", exact=True).click()
        expect(page.locator("#verdict")).to_contain_text("Nothing flowed")
        page.close()  # before its server, which it may be asking for something


def test_only_sweeps_are_enough(opened: Open, sweeps: Path) -> None:
    with serving(sweeps / "mine.sweep") as dashboard:
        page = opened(dashboard.url)
        expect(page).to_have_title("Scaling · mine · wgprof")
        expect(page.locator("#page")).to_contain_text("There is no recording here")
        assert page.locator(".plot .main-svg").count() > 0
        page.get_by_text("Dark", exact=True).click()
        page.wait_for_url("**theme=dark*")
        drawn(page)
        page.wait_for_function("() => document.documentElement.dataset.shownScheme === 'dark'")
        assert serious(page) == []
        page.close()
