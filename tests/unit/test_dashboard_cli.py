"""`wgprof dashboard` from the outside: how it begins, how it ends, and what it says when it cannot."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.dashboard import CAPTURED, ROOT, serving
from wgprof.cli import dashboard
from wgprof.dashboard.guard import Guard
from wgprof.dashboard.server import bind
from wgprof.errors import MachineError, RecordingError, UsageError, WgprofError

IDLE = CAPTURED / "idle-6.12.wgprof"


def error_of(*words: str | Path) -> WgprofError:
    result = CliRunner().invoke(dashboard.command, [*map(str, words), "--no-browser"])
    assert isinstance(result.exception, WgprofError), result.output
    assert result.exception.remedy
    return result.exception


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_address_serves_and_ends_cleanly(number: int) -> None:
    with serving(IDLE) as served:
        assert served.url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(served.url, timeout=30) as answer:
            assert answer.status == 200 and b"wgprof" in answer.read()
        code, errors = served.stop(number)
    assert (code, errors) == (0, ""), "no traceback, no log of requests"


def test_the_token_is_on_no_command_line(tmp_path: Path) -> None:
    """The browser gets an address that opens the dashboard once."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    os.mkfifo(opened)
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" >{opened}\n')
    browser.chmod(0o755)
    pipe = os.open(opened, os.O_RDWR | os.O_NONBLOCK)
    try:
        with serving(IDLE, "--host", "0.0.0.0", browser=f"{browser} %s") as served:
            assert select.select([pipe], [], [], 60)[0], "no browser was started"
            address = os.read(pipe, 4096).decode()
            own, printed = (url.partition("?token=") for url in (address, served.url))
            assert own[0] == printed[0] and len(own[2]) >= 40 and own[2] != printed[2]
            visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with visitor.open(address, timeout=30) as answer:
                assert answer.status == 200 and "token" not in answer.url
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address, timeout=30)
    finally:
        os.close(pipe)


def test_what_it_cannot_open_is_one_sentence(tmp_path: Path) -> None:
    assert "does not exist" in error_of(tmp_path / "none.wgprof").sentence
    nothing = error_of(tmp_path)
    assert isinstance(nothing, RecordingError) and "wgprof record" in nothing.remedy


def test_an_empty_host_is_refused() -> None:
    empty = error_of(IDLE, "--host", "")
    assert isinstance(empty, UsageError) and "--host is empty" in empty.sentence


def test_without_its_packages_it_says_which_and_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    missing = error_of(IDLE)
    assert isinstance(missing, MachineError) and "dash-ag-grid" in missing.sentence
    assert "wgprof[dashboard]" in missing.remedy


def test_a_port_in_use_and_an_address_of_another_machine(tmp_path: Path) -> None:
    import flask

    app = flask.Flask("test")
    first = bind(app, Guard.of("127.0.0.1"), 0)
    try:
        port = int(first.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(MachineError, match="in use"):
            bind(app, Guard.of("127.0.0.1"), port)
    finally:
        first.server.server_close()
    with pytest.raises(UsageError, match="no address of this machine"):
        bind(app, Guard.of("192.0.2.1"), 0)


def test_neither_dashboard_nor_report_needs_what_only_predictions_need() -> None:
    check = "import sys; import wgprof.dashboard.app; sys.exit(any(m in sys.modules for m in ('scipy', 'numba')))"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
