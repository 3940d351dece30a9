"""What these tests stand on: a browser that is one, and a dashboard that says why it did not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import find_chromium
from tests.support.dashboard import serving


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo requires the chromium snap to be installed >&2; exit 1", False),
        ("echo 'Chromium: install the snap'; exit 1", False),
        ("echo Chromium 156.0", True),
    ],
)
def test_what_only_says_how_to_get_a_browser_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: bool
) -> None:
    stub = tmp_path / "chromium-browser"
    stub.write_text(f"#!/bin/sh\n{script}\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() == (str(stub) if found else None)


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not exist"), serving(tmp_path / "none.wgprof"):
        pass
