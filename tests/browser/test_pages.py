"""Every page, in both colours: it loads, says what it is, and can be read by everybody."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, drawn
from tests.support.dashboard import CAPTURED, Served
from wgprof.dashboard.pages import all_pages

PAGES = [page.name for page in all_pages()]
_BAD = ("serious", "critical")


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps people from using the page."""
    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {v['help']}: {[n['html'][:200] for n in v['nodes'][:3]]}" for v in found if v["impact"] in _BAD
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_and_can_be_read_by_everybody(opened: Open, served: Served, name: str) -> None:
    page = opened(f"{served.url}?page={name}")
    title = next(p.title for p in all_pages() if p.name == name)
    expect(page.locator("h1")).to_have_text(title)
    expect(page).to_have_title(f"{title} · serial-tx · wgprof")
    for landmark in ("header", "nav", "main"):
        expect(page.locator(landmark)).to_have_count(1)
    expect(page.get_by_role("link", name=title, exact=True)).to_have_attribute("aria-current", "page")
    expect(page.locator("#verdict")).to_contain_text("S3 serial-tx")
    assert page.locator(".plot .main-svg, .ag-row, .card").count() > 0, "there is something on it"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"
    assert serious(page) == []
    page.get_by_text("Dark", exact=True).click()
    page.wait_for_url("**theme=dark*")
    drawn(page)
    page.wait_for_function("() => document.documentElement.dataset.shownScheme === 'dark'")
    assert serious(page) == []


def test_the_verdict_is_that_of_show(opened: Open, served: Served) -> None:
    from wgprof.analysis.summary import analyse
    from wgprof.recording.reader import open_recording
    from wgprof.rules.diagnose import diagnose
    from wgprof.rules.verdict import verdict

    recording = open_recording(CAPTURED / "scenarios" / "serial-tx.wgprof")
    analysis = analyse(recording)
    page = opened(served.url)
    assert page.locator("#verdict p").all_inner_texts() == verdict(analysis, diagnose(analysis, recording))


def test_an_idle_recording_says_what_is_missing(opened: Open, served: Served) -> None:
    page = opened(f"{served.url}?file=idle-6.12")
    expect(page.locator("#verdict")).to_contain_text("Nothing flowed")
    expect(page.locator(".card.empty")).to_contain_text("wgprof record")


def test_a_name_that_is_none_says_so(opened: Open, served: Served) -> None:
    page = opened(f"{served.url}?file=../../etc/passwd")
    expect(page.locator(".card.empty")).to_contain_text("no such recording")


def test_auto_follows_the_colours_of_the_system(opened: Open, served: Served) -> None:
    for scheme in ("dark", "light"):
        page = opened(served.url, scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", scheme)


def test_figures_grow_with_the_text_on_a_wide_screen(opened: Open, served: Served) -> None:
    page = opened(f"{served.url}?page=latency")
    small = page.locator("#figure-latency_where .ytick text").first.bounding_box()
    page.set_viewport_size({"width": 3840, "height": 2160})
    page.goto(f"{served.url}?page=latency")
    drawn(page)
    figure = page.locator("#figure-latency_where")
    large, plot = figure.locator(".ytick text").first.bounding_box(), figure.locator(".main-svg").first.bounding_box()
    about, bar = figure.locator("figcaption").bounding_box(), figure.locator(".bars .point path").nth(1).bounding_box()
    assert small and large and plot and about and bar
    assert large["height"] > 1.4 * small["height"]
    assert plot["y"] + plot["height"] <= about["y"] + 1 and plot["width"] > 3000, "nothing is cut off"
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    expect(figure.locator(".hovertext")).to_be_visible()
