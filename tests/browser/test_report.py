"""A report, opened as a file: its figures are drawn, and no script runs in it but its own."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from tests.browser.test_safety import NAMES
from tests.unit.test_report import hostile, save
from tests.unit.test_rules_serving import serial_tx
from wgprof.analysis.summary import analyse
from wgprof.recording.reader import open_recording
from wgprof.report.page import write_report

#: Whether a script that somebody put into the page was run.
INJECT = """() => {
    const script = document.createElement('script');
    script.textContent = 'window.injected = true';
    document.head.append(script);
    return Boolean(window.injected);
}"""


def test_a_report_draws_its_figures_and_runs_no_other_script(chromium: BrowserContext, tmp_path: Path) -> None:
    save(hostile(serial_tx().recording(), NAMES["mixed"]), tmp_path / "it.wgprof")
    with open_recording(tmp_path / "it.wgprof") as recording:
        write_report(recording, analyse(recording), "it.wgprof", tmp_path / "it.html")
    page = chromium.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request", lambda asked: problems.append(asked.url) if not asked.url.startswith(("file:", "blob:")) else None
    )
    page.goto((tmp_path / "it.html").as_uri())
    plots = page.locator(".plot")
    assert plots.count() > 5
    for number in range(plots.count()):
        plots.nth(number).scroll_into_view_if_needed()
        expect(plots.nth(number).locator(".main-svg").first).to_be_attached()
    assert "taken" not in page.title()
    assert not problems, problems
    assert page.evaluate(INJECT) is False
    assert "Content Security Policy" in problems[-1]
    page.close()
