"""`wgprof dashboard`: the views of recordings, and the curves of sweeps, in a browser."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path

import click

from wgprof.errors import MachineError, RecordingError

_NEEDED = ("dash", "dash_ag_grid", "dash_mantine_components")


@click.command()
@click.argument("given", metavar="[FILE|DIR]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Follow a recording while it is written.")
@click.option("--port", type=click.IntRange(0, 65535), default=8050, show_default=True, help="0: any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; others need a token.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(given: tuple[Path, ...], live: bool, port: int, host: str, no_browser: bool) -> None:
    """Look at recordings in a browser: every view, filtered by time, direction and peer; at sweeps, their curves.

    Without FILE or DIR, those in the current folder.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MachineError(
            f"the dashboard needs {', '.join(missing).replace('_', '-')}, not installed here",
            "pip install 'wgprof[dashboard]'",
        )
    from rich.console import Console

    from wgprof.dashboard.guard import Guard
    from wgprof.dashboard.library import Library
    from wgprof.dashboard.recordings import Recordings
    from wgprof.dashboard.server import bind, serve
    from wgprof.dashboard.sweeps import Sweeps

    library, console = Library(given, live=live), Console(stderr=True)
    entries, swept = library.entries(), library.entries("sweep")
    if not entries and not swept and not live:
        where = ", ".join(map(str, given)) or "this folder"
        raise RecordingError(f"there is no recording and no sweep in {where}", "Make one: wgprof record --duration 30")
    guard = Guard.of(host)
    status = console.status("Reading")

    def progress(text: str) -> None:
        if not console.is_terminal:
            return
        status.update(text)
        if text:
            status.start()
        else:
            status.stop()

    recordings, sweeps = Recordings(progress), Sweeps(progress)
    prepare = recordings.prepare if entries else sweeps.prepare
    for first in (entries or swept)[:1]:  # while the browser is still starting
        threading.Thread(target=prepare, args=(first,), daemon=True).start()
    from wgprof.dashboard.app import make_app  # Dash takes half a second to import

    bound = bind(make_app(library, recordings, sweeps, guard, live=live), guard, port)
    if guard.token:
        click.echo(f"warning: listening at {host}: whoever has the address below can read these recordings.", err=True)
    serve(bound, browser=not no_browser, started=lambda: click.echo(f"Serving {bound.url} (Ctrl-C ends it)"))
