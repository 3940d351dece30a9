"""Serves the dashboard until Ctrl-C."""

from __future__ import annotations

import errno
import ipaddress
import logging
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import flask
from werkzeug.serving import BaseWSGIServer, make_server

from wgprof.dashboard.guard import PARAMETER, Guard
from wgprof.errors import MachineError, UsageError


@dataclass(frozen=True)
class Bound:
    """A server that listens at `address`, a URL."""

    server: BaseWSGIServer
    guard: Guard
    address: str

    @property
    def url(self) -> str:
        """What to open, with the token if one is needed: for the terminal, and for nobody else to read."""
        return self._with(self.guard.token)

    def browser_url(self) -> str:
        """What to open, once: the command line of a browser can be read by every account of this machine."""
        return self._with(self.guard.ticket())

    def _with(self, secret: str) -> str:
        return self.address + (f"?{urlencode({PARAMETER: secret})}" if secret else "")


def bind(app: flask.Flask, guard: Guard, port: int) -> Bound:
    """Listen at the guard's host; port 0 takes a free one.  Raises MachineError if that is not possible."""
    # Requests are not logged: their addresses may hold the token.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        address = ipaddress.ip_address(guard.host)
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    try:
        listening = socket.create_server((guard.host, port), family=family, backlog=128)
    except OSError as error:
        raise _refused(guard.host, port, error) from error
    taken = int(listening.getsockname()[1])
    # werkzeug would print its own words about what goes wrong, and exit.
    server = make_server(guard.host, taken, app, threaded=True, fd=listening.detach())
    return Bound(server, guard, f"http://{_shown(guard.host)}:{taken}/")


def serve(bound: Bound, *, browser: bool, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM, which are a clean end."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts what it puts into the background without SIGINT
        signal.signal(number, signal.default_int_handler)
    started()
    if browser:
        threading.Thread(target=webbrowser.open, args=(bound.browser_url(),), daemon=True).start()
    try:
        bound.server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        bound.server.server_close()


def _shown(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if address.version == 6 else host


def _refused(host: str, port: int, error: OSError) -> MachineError | UsageError:
    if error.errno == errno.EADDRINUSE:
        return MachineError(
            f"port {port} of {host} is in use", "Name another one with --port; --port 0 takes a free one."
        )
    if error.errno == errno.EACCES:
        return MachineError(f"port {port} may only be used by root", "Name one from 1024 on with --port.")
    return UsageError(f"{host} is no address of this machine", "Leave out --host to listen on this machine alone.")
