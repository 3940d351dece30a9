"""A recording that is being written is followed, from before its first frame until it is finished."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, Request, Route, expect

from tests.browser.conftest import Open, drawn
from tests.support.dashboard import Growing, serving
from tests.support.frames import synthetic_frames
from wgprof.recording.finish import finish_part, output_of


def seconds_shown(page: Page) -> float:
    found = re.fullmatch(r"the last (\d+\.\d) s", page.locator("#range-text").inner_text())
    assert found, page.locator("#range-text").inner_text()
    return float(found[1])


def version(page: Page) -> int:
    return int(page.evaluate("document.documentElement.dataset.version"))


def wait_for_version(page: Page, least: int) -> None:
    page.wait_for_function(f"() => Number(document.documentElement.dataset.version) >= {least}")


def test_live_follows_a_recording_from_nothing_to_its_end(opened: Open, tmp_path: Path) -> None:
    part = Growing(tmp_path / "now.wgprof.part", synthetic_frames(seconds=6.0))
    with serving(tmp_path, "--live") as dashboard:
        page = opened(dashboard.url)
        expect(page.locator(".card.empty")).to_contain_text("no recording here yet")
        part.grow(12)
        expect(page.locator("#live")).to_be_visible()
        expect(page.locator("#verdict")).to_contain_text("packets/s")
        wait_for_version(page, 12)
        drawn(page)
        before = seconds_shown(page)
        part.grow(20)
        wait_for_version(page, 32)
        expect(page.locator("#range-text")).not_to_have_text(f"the last {before:.1f} s")
        assert seconds_shown(page) > before
        # The address of another page is live as well, and a filter holds.
        page.get_by_role("link", name="Cores", exact=True).click()
        expect(page.locator("h1")).to_have_text("Cores")
        page.get_by_text("Transmit", exact=True).first.click()
        page.wait_for_url("**dir=tx*")
        last = version(page)
        part.grow(15)
        wait_for_version(page, last + 15)
        expect(page.locator("#figure-cores")).not_to_contain_text("rx.decrypt")
        part.grow(1000)
        finish_part(part.path, output_of(part.path))
        expect(page.locator("#live")).to_be_hidden()
        expect(page.locator("#range-text")).to_have_text("all 6.0 s")


def test_live_goes_on_after_an_answer_that_never_came(opened: Open, tmp_path: Path) -> None:
    part = Growing(tmp_path / "now.wgprof.part", synthetic_frames(seconds=6.0))
    part.grow(12)
    with serving(tmp_path, "--live") as dashboard:
        page = opened(dashboard.url)
        wait_for_version(page, 12)
        lost: list[Route] = []

        def draws(request: Request) -> bool:
            return "answered.data" in (request.post_data or "")

        def lose(route: Route) -> None:
            if lost or not draws(route.request):
                route.continue_()
            else:
                lost.append(route)

        page.route(re.compile("_dash-update-component"), lose)
        page.wait_for_event("request", draws)
        part.grow(3)
        wait_for_version(page, 15)
        assert len(lost) == 1
        page.close()  # or it asks a server that is gone
