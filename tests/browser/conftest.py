"""Tests in a real browser: Debian's Chromium, driven by Playwright.

Whatever a test looks at, no page may log an error or ask another host for anything: the fixture
`watched` fails the test that let it.  Nothing waits for a time, only for what is to come.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.dashboard import CAPTURED, ROOT, Served, serving

#: --no-sandbox: tests run as root in containers; the rest keeps the browser itself from asking anybody anything.
_QUIET = ("background-networking", "component-update", "sync", "default-apps", "domain-reliability")
FLAGS = ["--no-sandbox", "--disable-gpu", *(f"--disable-{part}" for part in _QUIET)]
#: What the browser says of a page is wrong with it; other warnings are about the browser and its machine.
_WRONG = ("Content Security Policy", "Content-Security-Policy")
#: For machines that are slow and busy with something else.
PATIENCE_MS = 30_000

Open = Callable[..., Page]


def find_chromium() -> str | None:
    """The browser, if there is one: what Ubuntu calls chromium-browser may only say how to get it."""
    for name in ("chromium", "chromium-browser"):
        path = shutil.which(name)
        if path and _names_itself(path):
            return path
    return None


def _names_itself(path: str) -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        limit_s = PATIENCE_MS / 1000
        said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True, timeout=limit_s)
        return "Chromium" in said.stdout
    return False


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserContext]:
    executable = find_chromium()
    if executable is None:
        why = "there is no Chromium here that starts; to run the browser's tests: apt install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        # One for all, so that it has the scripts already.
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        context.set_default_timeout(PATIENCE_MS)
        yield context
        browser.close()


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Recordings of real kernels, the first with a planted bottleneck."""
    planted = CAPTURED / "scenarios" / "serial-tx.wgprof"
    with serving(planted, ROOT / "reports" / "example.wgprof", CAPTURED / "idle-6.12.wgprof") as dashboard:
        yield dashboard


@pytest.fixture
def opened(chromium: BrowserContext) -> Iterator[Open]:
    """Opens an address in a new page and waits until it is drawn; afterwards nothing may have gone wrong."""
    problems: list[str] = []
    pages: list[Page] = []

    def on_console(message: ConsoleMessage) -> None:
        said = f"console {message.type}: {message.text}"
        if message.type == "error" or any(words in message.text for words in _WRONG):
            problems.append(said)
        elif message.type == "warning":
            print(said)

    def open_page(url: str, *, scheme: Literal["light", "dark"] = "light") -> Page:
        page = chromium.new_page()
        pages.append(page)
        host = urlsplit(url).netloc

        def on_request(request: Request) -> None:
            asked = urlsplit(request.url)
            if asked.scheme not in ("data", "blob") and asked.netloc != host:
                problems.append(f"asked another host: {request.url}")

        page.on("console", on_console)
        page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
        page.on("request", on_request)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(url)
        return drawn(page)

    yield open_page
    for page in pages:
        page.close()
    assert not problems, problems


def drawn(page: Page) -> Page:
    """Wait until what the address says is on the screen."""
    page.wait_for_function(
        """() => document.documentElement.dataset.shown === location.search
            && document.documentElement.dataset.drawn === location.search
            && !document.querySelector('.plot:not(:has(.main-svg)), .grid:not(:has(.ag-row))')"""
    )
    return page
