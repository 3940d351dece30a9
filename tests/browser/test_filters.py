"""One selection filters every view, and the address holds all of it."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, drawn
from tests.support.dashboard import Served


def figures(page: Page) -> Any:
    """What is drawn, as Plotly holds it."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].map(p => JSON.parse(JSON.stringify(
            p._fullData.map(t => ({type: t.type, name: t.name, x: t.x && [...t.x], y: t.y && [...t.y]})))))"""
    )


def times(page: Page) -> list[float]:
    """Where the maps of the cores lie on the axis of time."""
    return [float(x) for x in figures(page)[0][0]["x"]]


def test_a_direction_is_all_that_is_drawn(opened: Open, served: Served) -> None:
    page = opened(served.url)
    diagram = page.locator("#figure-pipeline")
    expect(diagram).to_contain_text("rx.deliver")
    page.get_by_text("Transmit", exact=True).first.click()
    page.wait_for_url("**dir=tx*")
    drawn(page)
    expect(diagram).to_contain_text("tx.send")
    expect(diagram).not_to_contain_text("rx.deliver")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(diagram).to_contain_text("rx.deliver")
    assert "dir" not in page.url


def test_a_time_range_is_chosen_with_the_keyboard(opened: Open, served: Served) -> None:
    page = opened(f"{served.url}?page=cores")
    whole = times(page)
    start = page.get_by_role("slider").first
    start.focus()
    for start_s in ("0.1", "0.2", "0.3"):
        page.keyboard.press("ArrowRight")
        page.wait_for_url(re.compile(rf"from={re.escape(start_s)}(&|$)"))
        drawn(page)
    expect(page.locator("#range-text")).to_contain_text("0.3 s to")
    assert min(whole) < 0.3 <= min(times(page)) and max(times(page)) == max(whole)


def test_a_peer_is_chosen_by_its_name(opened: Open, served: Served) -> None:
    page = opened(f"{served.url}?page=queues")
    figure = page.locator("#figure-queues")
    expect(figure).to_contain_text("wg0@wgb")
    page.get_by_role("combobox", name="Peers").or_(page.locator("#peers")).first.click()
    page.get_by_role("option").filter(has_text="wg0@wga").first.click()
    page.wait_for_url("**peers=*")
    drawn(page)
    expect(figure).to_contain_text("wg0@wga")
    expect(figure).not_to_contain_text("wg0@wgb")


def test_a_link_reproduces_what_was_seen(opened: Open, served: Served) -> None:
    query = "?page=cores&from=1&to=5.5&dir=tx&theme=dark"
    first = opened(served.url + query)
    expect(first.locator("#range-text")).to_have_text("1.0 s to 5.5 s")
    expect(first.locator("input[value='tx']")).to_be_checked()
    expect(first.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    second = opened(first.url)
    assert figures(second) == figures(first)
    whole = opened(f"{served.url}?page=cores")
    assert figures(whole) != figures(first)
    # From page to page the selection stays.
    first.get_by_role("link", name="Queues", exact=True).click()
    drawn(first)
    assert all(part in first.url for part in ("page=queues", "from=1", "to=5.5", "dir=tx", "theme=dark"))


def test_back_and_forward(opened: Open, served: Served) -> None:
    page = opened(served.url)
    page.get_by_role("link", name="Cores", exact=True).click()
    expect(page.locator("h1")).to_have_text("Cores")
    page.get_by_text("Receive", exact=True).first.click()
    page.wait_for_url("**dir=rx*")
    drawn(page)
    page.go_back()
    drawn(page)
    expect(page.locator("#direction input[value='']")).to_be_checked()
    page.go_back()
    expect(page.locator("h1")).to_have_text("Pipeline")
    page.go_forward()
    page.go_forward()
    drawn(page)
    expect(page.locator("h1")).to_have_text("Cores")
    expect(page.locator("#direction input[value='rx']")).to_be_checked()


def test_another_recording_is_chosen_and_compared(opened: Open, served: Served) -> None:
    page = opened(served.url)
    page.get_by_role("combobox", name="Recording").or_(page.locator("input#file")).first.click()
    page.get_by_role("option", name="example").click()
    page.wait_for_url("**file=example*")
    drawn(page)
    expect(page.locator("#verdict")).not_to_contain_text("S3 serial-tx")
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.locator("h1")).to_have_text("Compare")
    page.get_by_label("From example to").first.click()
    page.get_by_role("option", name="serial-tx").click()
    page.wait_for_url("**against=serial-tx*")
    drawn(page)
    expect(page.locator(".card").first).to_contain_text("Throughput:")
    assert page.locator(".plot").count() >= 2


def test_everything_works_with_the_keyboard(opened: Open, served: Served) -> None:
    page = opened(served.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.goto(served.url)
    drawn(page)
    met = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
            return [e.tagName, e.getAttribute('aria-label') || e.textContent.trim() || e.value || e.id,
                    s.outlineStyle !== 'none' || s.boxShadow !== 'none' || e.matches('input')]; }"""
        )
        met.append((seen[0], seen[1]))
        assert seen[2], f"the focus on {seen} cannot be seen"
        if seen[1] == "Reset":
            break
    names = [name for _, name in met]
    assert "Findings" in names and "Reset" in names, names
    assert any("From, in seconds" in name for name in names), names
    page.get_by_role("link", name="Findings", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Findings")
    expect(page.locator("#announce")).to_contain_text("Findings")


def test_figures_and_tables_stay_where_they_are_and_take_what_is_new(opened: Open, served: Served) -> None:
    page = opened(f"{served.url}?file=example&page=queues")
    expect(page.locator(".grid .ag-row").first).to_be_visible()
    page.evaluate("document.querySelectorAll('.plot, .ag-root').forEach((part) => { part.mine = true; })")
    titles, rows = (
        page.locator("#figure-queues .annotation-text"),
        page.locator(".grid .ag-center-cols-container .ag-row"),
    )
    before, many = titles.count(), rows.count()
    page.locator("#direction").get_by_text("Transmit", exact=True).click()
    page.wait_for_function("() => location.search.includes('dir=tx')")
    drawn(page)
    assert page.evaluate("[...document.querySelectorAll('.plot')].every((part) => part.mine)")
    assert 0 < titles.count() < before
    page.wait_for_function(
        "(many) => document.querySelectorAll('.grid .ag-center-cols-container .ag-row').length < many", arg=many
    )
    assert page.evaluate("[...document.querySelectorAll('.ag-root')].every((part) => part.mine)")
