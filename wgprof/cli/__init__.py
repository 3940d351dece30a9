"""The command line: one file a subcommand, errors caught once, here."""

from __future__ import annotations

import importlib
import os
import sys

import click

from wgprof.errors import WgprofError

_COMMANDS = (
    "doctor",
    "record",
    "show",
    "report",
    "dashboard",
    "compare",
    "sweep",
    "predict",
    "export",
    "recover",
    "lab",
    "kmod",
)


class LazyGroup(click.Group):
    """Imports a subcommand's module only when it is needed: `--help` must not cost a pandas import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"wgprof.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="wgprof")
def cli() -> None:
    """Profile WireGuard tunnels: which stage, which core and which peer caps the throughput."""


def main() -> None:
    """Run the command line; a WgprofError becomes one sentence, a remedy and its exit code."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except WgprofError as error:
        click.echo(f"error: {error.sentence}", err=True)
        for line in error.remedy.splitlines():
            click.echo(f"  {line}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(4)
    except BrokenPipeError:
        # The reader of our output, `head` perhaps, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("WGPROF_DEBUG"):
            raise
        click.echo(f"error: wgprof failed: {type(error).__name__}: {error}", err=True)
        click.echo("  This is a bug. WGPROF_DEBUG=1 shows where; please report it.", err=True)
        sys.exit(1)
