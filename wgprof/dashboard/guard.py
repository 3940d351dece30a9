"""Who may ask: the names the server is bound to, and, beyond this machine, who has the token.

A page of another site can make a browser on this machine send requests here.  It cannot read the
answers, unless its own name is made to resolve to this address (DNS rebinding): then the request's
Host header gives it away.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import flask

from wgprof.errors import UsageError

COOKIE, PARAMETER = "wgprof_token", "token"
#: How long a browser may take to start.
_TICKET_S = 120
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Guard:
    """What the server at `host` lets through; `token` is empty where only this machine can reach it.

    A ticket stands for the token once: it can be put on a command line, which others on this machine can read.
    """

    host: str
    token: str = ""
    names: frozenset[str] = field(default=_LOCAL)
    _tickets: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, host: str) -> Guard:
        """The guard of a server bound to `host`: with a new token unless that is this machine alone.

        Raises UsageError if `host` is empty, which would be every address and, as a name, a missing one.
        """
        if not host:
            raise UsageError("--host is empty", "Name an address of this machine; 0.0.0.0 is all of them.")
        if is_local(host):
            return cls(host, names=_LOCAL | {host.lower()})
        names = {*_LOCAL, host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(host, secrets.token_urlsafe(32), frozenset(names))

    def ticket(self) -> str:
        """A new ticket; empty where there is no token."""
        if not self.token:
            return ""
        ticket = secrets.token_urlsafe(32)
        self._tickets[ticket] = time.monotonic() + _TICKET_S
        return ticket

    def refusal(self, request: flask.Request) -> str:
        """Why the request is refused; empty if it is not."""
        origin = request.headers.get("Origin")
        if not self._known(_name(f"//{request.headers.get('Host', '')}")):
            return "Refused: this address is not one wgprof listens at. Open the address it printed."
        if origin is not None and not self._known(_name(origin)):
            return "Refused: the request came from a page of another site."
        if self.token and not self._has_token(request):
            return "Refused: the token is missing or wrong. Open the whole address that wgprof printed."
        return ""

    def _known(self, name: str) -> bool:
        if name in self.names:
            return True
        # Bound to every address: rebinding needs a name, so a bare address is this machine's own.
        return _is_address(self.host) and ipaddress.ip_address(self.host).is_unspecified and _is_address(name)

    def _has_token(self, request: flask.Request) -> bool:
        asked = request.args.get(PARAMETER, "")
        if self._tickets.pop(asked, 0.0) > time.monotonic():  # gone, whoever shows it
            return True
        shown = (request.cookies.get(COOKIE, ""), asked)
        return any(hmac.compare_digest(text.encode(), self.token.encode()) for text in shown)


def protect(server: flask.Flask, guard: Guard, policy: str) -> None:
    """Put the guard before every request; headers of safety and the Content-Security-Policy on every answer."""

    @server.before_request
    def check() -> flask.typing.ResponseReturnValue | None:
        why = guard.refusal(flask.request)
        if why:
            return flask.Response(f"{why}\n", 403, mimetype="text/plain")
        if guard.token and PARAMETER in flask.request.args:
            return _with_cookie(guard)
        return None

    @server.after_request
    def harden(response: flask.Response) -> flask.Response:
        response.headers.update({**_HEADERS, "Content-Security-Policy": policy})
        if not flask.request.path.startswith(("/_dash-component-suites/", "/assets/")):
            response.headers["Cache-Control"] = "no-store"
        return response


def _with_cookie(guard: Guard) -> flask.Response:
    """The token moves from the address, which is kept in histories, into a cookie that no script reads."""
    rest = [(key, value) for key, value in flask.request.args.items(multi=True) if key != PARAMETER]
    # Never to what the path says, which might name another host.
    response = flask.redirect("/" + (f"?{urlencode(rest)}" if rest else ""), 303)
    assert isinstance(response, flask.Response)
    response.set_cookie(COOKIE, guard.token, httponly=True, samesite="Strict", path="/")
    return response


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _name(address: str) -> str:
    """The name of the host in an address, without its port; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
