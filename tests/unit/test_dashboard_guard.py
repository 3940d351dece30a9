"""Who gets an answer: nobody who reached the server by another name, nor without the token where one is needed."""

from __future__ import annotations

import time
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.dashboard import CAPTURED
from wgprof.dashboard.app import make_app
from wgprof.dashboard.guard import COOKIE, Guard, is_local
from wgprof.dashboard.library import Library
from wgprof.dashboard.recordings import Recordings
from wgprof.dashboard.sweeps import Sweeps

PATHS = ("/", "/_dash-layout", "/_dash-dependencies", "/assets/style.css", "/nothing")


def client(host: str, files: Path = CAPTURED) -> tuple[FlaskClient, Guard]:
    guard = Guard.of(host)
    return make_app(Library([files]), Recordings(), Sweeps(), guard, live=False).test_client(), guard


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8050", "localhost.evil.example", "10.0.0.7", ""]
)
def test_another_name_is_refused_before_anything_is_done(path: str, host: str) -> None:
    answer = client("127.0.0.1")[0].get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert answer.text.startswith("Refused: this address") and answer.text.count("\n") == 1


@pytest.mark.parametrize("host", ["localhost", "localhost:8050", "127.0.0.1:8050", "[::1]:8050", "LOCALHOST:1"])
def test_this_machine_is_let_in(host: str) -> None:
    answer = client("127.0.0.1")[0].get("/", headers={"Host": host})
    assert answer.status_code == 200 and "wgprof" in answer.text


def test_a_page_of_another_site_is_refused() -> None:
    browser, _ = client("127.0.0.1")
    headers = {"Host": "127.0.0.1:8050", "Origin": "https://evil.example"}
    assert browser.post("/_dash-update-component", headers=headers, json={}).status_code == 403
    assert browser.get("/", headers=headers | {"Origin": "null"}).status_code == 403
    for nonsense in ("http://[", "http://[::1", "http://", "", "//"):
        assert browser.get("/", headers=headers | {"Origin": nonsense}).status_code == 403, nonsense
    assert browser.get("/", headers=headers | {"Origin": "http://127.0.0.1:8050"}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_its_headers(path: str) -> None:
    answer = client("127.0.0.1")[0].get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe" not in scripts and "http" not in policy and "*" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_page_names_no_other_host() -> None:
    text = client("127.0.0.1")[0].get("/").text
    assert "http://" not in text and "https://" not in text and "//cdn" not in text


def test_beyond_this_machine_a_token_is_needed_and_becomes_a_cookie() -> None:
    browser, guard = client("0.0.0.0")
    assert len(guard.token) >= 40
    for path in PATHS:
        assert browser.get(path).status_code == 403
        assert browser.get(f"{path}?token=wrong").status_code == 403
    answer = browser.get(f"/?page=cores&token={guard.token}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?page=cores")
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "Strict"
    assert browser.get("/").status_code == 200
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 403
    other = browser.get(f"/?token={guard.token}", headers={"Host": "192.0.2.9:8050"})
    assert other.status_code == 303, "any address is this machine"


def test_a_ticket_lets_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, guard = client("0.0.0.0")
    ticket = guard.ticket()
    assert ticket not in (guard.token, guard.ticket()) and ticket not in repr(guard) and len(ticket) >= 40
    answer = browser.get(f"/?token={ticket}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert ticket not in answer.headers["Set-Cookie"]
    assert browser.get("/").status_code == 200, "by its cookie"
    other = browser.application.test_client()
    assert other.get(f"/?token={ticket}").status_code == 403
    late = guard.ticket()
    assert browser.get(f"/?token={late}").status_code == 303
    assert other.get(f"/?token={late}").status_code == 403, "used, though the cookie would have done"
    unused, now = guard.ticket(), time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 600)
    assert other.get(f"/?token={unused}").status_code == 403
    assert client("127.0.0.1")[1].ticket() == ""


def test_every_start_has_a_token_of_its_own() -> None:
    assert Guard.of("0.0.0.0").token != Guard.of("0.0.0.0").token
    assert Guard.of("127.0.0.1").token == ""


@pytest.mark.parametrize(
    ("host", "local"),
    [(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")]
    + [(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "gateway")],
)
def test_what_is_this_machine_alone(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_no_file_is_served(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    browser, _ = client("127.0.0.1", tmp_path)
    for path in (
        "/assets/../app.py",
        "/assets/%2e%2e/app.py",
        f"/{tmp_path}/secret.txt",
        "/secret.txt",
        "/assets//etc/passwd",
    ):
        answer = browser.get(path)
        assert "secret" not in answer.text and "root:" not in answer.text and "import" not in answer.text
