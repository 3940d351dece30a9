"""`wgprof doctor`: what this machine can and cannot do, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from wgprof.errors import MachineError, UsageError
from wgprof.targets.choose import NAMES
from wgprof.targets.doctor import Check, lab_checks, local_checks
from wgprof.targets.local import why_not

_JSON_VERSION = 1
_HEADINGS = {"local": "This machine as a target", "lab": "This machine as the lab's host"}
_STYLES = {"ok": "green", "degraded": "yellow", "missing": "red", "unknown": "dim"}


@click.command("doctor")
@click.option("--target", default="auto", show_default=True, help="auto (both), local or lab.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(target: str, as_json: bool) -> None:
    """Say what this machine can and cannot do.

    Each line is a requirement with its state: ok, degraded (it works, with the effect named), missing
    or unknown.  Exit code 3 if neither this machine nor the lab can be profiled.
    """
    if target not in NAMES:
        raise UsageError(f"doctor knows no target {target!r}", f"Targets are {', '.join(NAMES)}.")
    checks: list[Check] = []
    if target in ("auto", "local"):
        checks += local_checks()
    if target in ("auto", "lab"):
        checks += lab_checks()
    able = {name: _able(check for check in checks if check.target == name) for name in ("local", "lab")}
    reason = why_not()
    auto = "local" if reason is None else "lab"
    if as_json:
        values = {
            "version": _JSON_VERSION,
            "checks": [asdict(check) for check in checks],
            "can_record": {name: able[name] for name in sorted({check.target for check in checks})},
            "auto": {"target": auto, "reason": reason or "this machine has a WireGuard interface"},
        }
        click.echo(json.dumps(values, indent=1))
    else:
        _print(checks)
        click.echo(f"--target auto would take {auto}" + (f": {reason}." if reason else "."))
    if not any(able[check.target] for check in checks):
        raise MachineError("nothing can be recorded with this machine", "The lines marked missing say what to do.")


def _able(checks: Iterable[Check]) -> bool:
    return all(check.state != "missing" for check in checks)


def _print(checks: list[Check]) -> None:
    console = Console(highlight=False)
    for name in dict.fromkeys(check.target for check in checks):
        console.print(Text(_HEADINGS[name], style="bold"))
        for check in (check for check in checks if check.target == name):
            line = Text(f"  {check.state:9}", style=_STYLES.get(check.state, ""))
            line.append(f"{check.requirement}: {check.found}", style="default")
            console.print(line)
            for words in (check.effect, check.remedy):
                if words:
                    console.print(Text(f"{'':11}{words[0].upper()}{words[1:].rstrip('.')}.", style="dim"))
