"""`wgprof kmod`: build, load and unload the module variants."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import click

from wgprof.errors import MachineError
from wgprof.kmod.build import RUNNING, build, built_modules, find_built
from wgprof.kmod.elf import module_info
from wgprof.kmod.load import Status, load, status, unload
from wgprof.kmod.runner import LocalRunner
from wgprof.kmod.suite import SUITES
from wgprof.kmod.variant import find_variant, variant_names


def _note(line: str) -> None:
    click.echo(line, err=True)


def _require_root() -> None:
    if os.geteuid():
        raise MachineError("exchanging kernel modules needs root", "Run the same command with sudo.")


@click.group()
def command() -> None:
    """WireGuard module variants: vanilla, steered and inline."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """The variants, and for which kernels they are built."""
    variants = [find_variant(name, lab_crypto=lab) for name in variant_names() for lab in (False, True)]
    if as_json:
        rows = [
            {
                "variant": variant.name,
                "summary": variant.summary,
                "patch_hash": variant.patch_hash(),
                "built": [asdict(module) for module in built_modules(variant)],
            }
            for variant in variants
        ]
        click.echo(json.dumps({"version": 1, "variants": rows}, indent=1))
        return
    for variant in variants:
        modules = built_modules(variant)
        if variant.is_lab_only and not modules:
            continue
        click.echo(f"{variant.name:8}  {variant.summary}")
        for module in modules:
            click.echo(f"          built for {module.release} from {module.source_version}: {module.path}")


@command.command("build")
@click.argument("variant", type=click.Choice(variant_names()))
@click.option(
    "--kernel",
    type=click.Choice([*SUITES, RUNNING]),
    default=RUNNING,
    show_default=True,
    help="A kernel series (built in a chroot of its distribution), or the one this machine runs.",
)
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take WireGuard's source from this folder instead of the distribution's linux-source.",
)
@click.option(
    "--lab-crypto",
    is_flag=True,
    help="A build for the lab alone: work of a chosen cost in the place of the cipher. IT DOES NOT ENCRYPT.",
)
def build_command(variant: str, kernel: str, source: Path | None, lab_crypto: bool) -> None:
    """Build VARIANT from the distribution's own source."""
    module = build(variant, kernel, _note, source, lab_crypto)
    path = Path(module.path)
    click.echo(f"{module.variant} for {module.release}: {len(module.rules)} rules on {module.source_version}", err=True)
    click.echo(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


@command.command("load")
@click.argument("variant", type=click.Choice(variant_names()))
@click.option("--take-down", is_flag=True, help="Remove existing WireGuard interfaces, with all their settings.")
def load_command(variant: str, take_down: bool) -> None:
    """Load VARIANT on this machine in place of the WireGuard that is loaded."""
    _require_root()
    release = platform.release()
    module = find_built(find_variant(variant), release)
    if module is None:
        raise MachineError(
            f"{variant} is not built for this machine's kernel {release}", f"Run: wgprof kmod build {variant}"
        )
    load(LocalRunner(), module.path, module_info(Path(module.path)).get("depends", ""), take_down)
    click.echo(f"loaded {variant}")


@command.command("unload")
@click.option("--take-down", is_flag=True, help="Remove existing WireGuard interfaces, with all their settings.")
def unload_command(take_down: bool) -> None:
    """Go back to the distribution's WireGuard."""
    _require_root()
    unload(LocalRunner(), take_down)
    click.echo("loaded the distribution's module")


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status_command(as_json: bool) -> None:
    """Which WireGuard is loaded on this machine, and the settings of its interfaces."""
    now = status(LocalRunner())
    if as_json:
        click.echo(json.dumps({"version": 1, **asdict(now)}, indent=1))
        return
    for line in describe(now):
        click.echo(line)


def describe(now: Status) -> list[str]:
    """The status in lines for a person."""
    words = {"none": "WireGuard is not loaded", "distribution": "the distribution's WireGuard is loaded"}
    first = words.get(now.variant, f"{now.variant} is loaded (patch {now.patch_hash}, source {now.source_version})")
    lines = [first]
    for interface in now.interfaces:
        settings = ", ".join(f"{key} {value}" for key, value in interface.settings)
        lines.append(f"  {interface.name} in {interface.netns}" + (f": {settings}" if settings else ""))
    return lines
