"""Putting a variant in the place of the distribution's module, and back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from wgprof.errors import MachineError, WgprofError
from wgprof.kmod.runner import Runner

#: Every network namespace that a process or a name keeps alive, by inode: its WireGuard interfaces.
_INTERFACES = r"""
seen=" "
for ns in /proc/self/ns/net /run/netns/* /proc/[0-9]*/ns/net; do
  inode=$(stat -L -c %i "$ns" 2>/dev/null) || continue
  case "$seen" in *" $inode "*) continue;; esac
  seen="$seen$inode "
  nsenter --net="$ns" ip -o link show type wireguard 2>/dev/null | awk -v ns="$ns" '{sub(":", "", $2); print ns, $2}'
done
"""

_PARAMETERS = "/sys/module/wireguard/parameters"


class LoadError(WgprofError):
    """The module could not be exchanged."""


@dataclass(frozen=True)
class Interface:
    """A WireGuard interface and a path of its network namespace."""

    netns: str
    name: str
    settings: tuple[tuple[str, str], ...] = ()  # what the variant lets one choose, from sysfs


@dataclass(frozen=True)
class Status:
    """What is loaded.  `variant` is "none", "distribution" or one of ours."""

    variant: str
    patch_hash: str
    source_version: str
    interfaces: tuple[Interface, ...]


def status(runner: Runner) -> Status:
    """Look at what is loaded.  Needs root to see all network namespaces."""
    if runner.run("test -d /sys/module/wireguard").code:
        return Status("none", "", "", ())
    facts = [runner.run(f"cat {_PARAMETERS}/wgprof_{name} 2>/dev/null").output.strip() for name in _FACTS]
    return Status(facts[0] or "distribution", facts[1], facts[2], interfaces(runner))


_FACTS = ("variant", "patch", "source")


def interfaces(runner: Runner) -> tuple[Interface, ...]:
    """All WireGuard interfaces of the machine with their wgprof settings."""
    found = []
    for line in runner.run(_INTERFACES).output.splitlines():
        netns, _, name = line.partition(" ")
        if name:
            found.append(Interface(netns, name, _settings(runner, netns, name)))
    return tuple(found)


def _settings(runner: Runner, netns: str, name: str) -> tuple[tuple[str, str], ...]:
    # sysfs shows the interfaces of the namespace it was mounted in: mount one for the question.
    folder = f"/sys/class/net/{name}/wgprof"
    script = f"mount -t sysfs sysfs /sys && cd {shlex.quote(folder)} 2>/dev/null && grep -H . *"
    result = runner.run(f"nsenter --net={shlex.quote(netns)} unshare --mount sh -c {shlex.quote(script)}")
    if result.code:
        return ()
    pairs = (line.partition(":")[::2] for line in result.output.splitlines())
    return tuple((key, value) for key, value in pairs)


def load(runner: Runner, path: str, depends: str, take_down: bool = False, parameters: str = "") -> None:
    """Load the module at `path` (as the runner's machine sees it) in place of what is loaded.

    `depends` is the module's own list of the modules it needs.  Raises MachineError while there are
    WireGuard interfaces, unless `take_down`: unloading would remove them with all their settings.
    """
    remove(runner, take_down)
    for name in filter(None, depends.split(",")):
        _must(runner, f"modprobe {shlex.quote(name)}", f"the module {name}, which WireGuard needs, cannot be loaded")
    _must(runner, f"insmod {shlex.quote(path)} {parameters}".strip(), "the module cannot be loaded")


def unload(runner: Runner, take_down: bool = False) -> None:
    """Go back to the distribution's module.  Raises as `load`."""
    remove(runner, take_down)
    _must(runner, "modprobe wireguard", "the distribution's module cannot be loaded")


def remove(runner: Runner, take_down: bool) -> None:
    """Take the loaded module out, if there is one."""
    if runner.run("test -d /sys/module/wireguard").code:
        return
    present = interfaces(runner)
    if present and not take_down:
        names = ", ".join(interface.name for interface in present)
        raise MachineError(
            f"there are WireGuard interfaces ({names}), which would vanish with the module",
            "Take them down first, or say --take-down; their settings are not kept.",
        )
    for interface in present:
        runner.run(f"nsenter --net={shlex.quote(interface.netns)} ip link del {shlex.quote(interface.name)}")
    _must(runner, "rmmod wireguard", "the loaded module cannot be removed")


def _must(runner: Runner, command: str, sentence: str) -> None:
    outcome = runner.run(command)
    if outcome.code == 0:
        return
    remedy = "The kernel's log (dmesg) may say more."
    if "Key was rejected" in outcome.output or "Operation not permitted" in outcome.output:
        remedy = "This machine takes signed modules only (Secure Boot); use the lab, or sign the module."
    if "Invalid module format" in outcome.output:
        remedy = "It was built for another kernel; build it again for the one that runs."
    raise LoadError(f"{sentence}: {outcome.last_line}", remedy)
