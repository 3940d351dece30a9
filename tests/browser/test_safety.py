"""What a stranger can do: with a recording's names, and with the address."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, drawn
from tests.support.dashboard import serving
from tests.unit.test_report import hostile, save
from tests.unit.test_rules_serving import serial_tx
from wgprof.dashboard.guard import COOKIE

NAMES = {
    "mixed": "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "<a href='javascript:alert(1)'>a</a>%{x}{{ 7 * 7 }}\u202eright to left\u2066\x1b[31mred\x00\x07",
    "markup": "<script>document.title='taken'</script>",  # as short as an interface's name
    "rtl": "\u202eright to left\u2066",
    "control": "\x1b[31mred\x00\x07",
    "long": "x" * 10_000,
}
_CONTROLS = "\x1b\x00\x07\u202e\u2066"


@pytest.fixture(scope="module")
def dangerous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings with a finding, in which everything is called something nasty."""
    folder = tmp_path_factory.mktemp("dangerous")
    for name, text in NAMES.items():
        save(hostile(serial_tx().recording(), text), folder / f"{name}.wgprof")
    return folder


def test_hostile_names_are_text(opened: Open, dangerous: Path) -> None:
    with serving(dangerous) as dashboard:
        for name in NAMES:
            # Wherever a name stands, and how long it is, in figures; what tables do with one they do with all.
            for where in ("pipeline", "findings", "queues", "recording") if name == "long" else ("findings",):
                page = opened(f"{dashboard.url}?file={name}&page={where}")
                expect(page.locator("#verdict")).to_contain_text("serial-tx")
                assert "taken" not in page.title()
                assert page.locator("#page img, #page script, #page iframe, [onerror]").count() == 0
                assert page.locator("a[href^='javascript']").count() == 0
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, where)
                text = page.locator("body").inner_text()
                found = [text[max(0, at - 30) : at + 30] for at, c in enumerate(text) if c in _CONTROLS]
                assert not found, (name, where, found)
                page.close()


def test_beyond_this_machine_only_the_token_opens_it(opened: Open, dangerous: Path) -> None:
    with serving(dangerous, "--host", "0.0.0.0") as dashboard:
        address, _, token = dashboard.url.partition("?token=")
        assert len(token) >= 32
        page = opened(f"{dashboard.url}&page=cores")
        assert token not in page.url
        expect(page.locator("h1")).to_have_text("Cores")
        (cookie,) = (c for c in page.context.cookies(address) if c["name"] == COOKIE)
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        page.goto(address)
        drawn(page)
        # What a page loads later would be refused, too.
        page.goto("about:blank")
        page.context.clear_cookies()
        refused = page.request.get(address)
        assert refused.status == 403 and "token" in refused.text()
        code, errors = dashboard.stop()
        assert code == 0 and "warning: listening at 0.0.0.0" in errors
