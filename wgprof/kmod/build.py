"""From the distribution's source to a module that says which variant it is."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from wgprof.errors import MachineError, WgprofError
from wgprof.kmod.btf import ensure_btf
from wgprof.kmod.chroot import Progress
from wgprof.kmod.elf import has_btf, module_info
from wgprof.kmod.environment import Environment, chroot_environment, host_environment
from wgprof.kmod.paths import cache_dir, module_dir, modules_dir
from wgprof.kmod.rule import apply_rules
from wgprof.kmod.source import take_source
from wgprof.kmod.suite import find_suite
from wgprof.kmod.variant import Variant, find_variant

MODULE = "wireguard.ko"
FACTS = "build.json"
#: The field of a module that does not encrypt (kmod/lab).
LAB_ONLY = "wgprof_lab_only"

#: `--kernel` for the kernel this machine runs.
RUNNING = "running"


class BuildError(WgprofError):
    """The module did not compile, or is not what it should be."""


@dataclass(frozen=True)
class Module:
    """A finished module and where it comes from; the recording's manifest carries these."""

    variant: str
    release: str
    source_version: str
    patch_hash: str
    rules: tuple[str, ...]
    path: str


def build(
    variant_name: str, kernel: str, progress: Progress, source: Path | None = None, lab_crypto: bool = False
) -> Module:
    """Build a variant for a kernel series, or for the running kernel, unless exactly this build is there already.

    Raises UsageError, MachineError, RuleError (naming the rule that does not fit) and BuildError.
    """
    variant = find_variant(variant_name, lab_crypto=lab_crypto)
    environment = host_environment() if kernel == RUNNING else chroot_environment(find_suite(kernel), progress)
    ready = find_built(variant, environment.release)
    if ready and source is None:
        return ready
    if not environment.is_host and os.geteuid():
        raise MachineError("building in a chroot needs root", "Run the same command with sudo.")
    environment.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"wgprof-{variant.name}-", dir=environment.work))
    try:
        return _build_in(work, variant, environment, progress, source)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def find_built(variant: Variant, release: str) -> Module | None:
    """The finished module for a kernel, or None if there is none or our rules and files have changed since."""
    folder = module_dir(release, variant.name, variant.patch_hash())
    try:
        facts = json.loads((folder / FACTS).read_text())
        module = Module(**{**facts, "rules": tuple(facts["rules"]), "path": str(folder / MODULE)})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    current = module.patch_hash == variant.patch_hash() and Path(module.path).is_file()
    return module if current else None


def built_modules(variant: Variant) -> list[Module]:
    """The finished modules of a variant, whatever the kernel."""
    releases = cache_dir() / "modules"
    if not releases.is_dir():
        return []
    found = (find_built(variant, path.name) for path in sorted(releases.iterdir()) if path.is_dir())
    return [module for module in found if module is not None]


def _build_in(
    work: Path, variant: Variant, environment: Environment, progress: Progress, folder: Path | None
) -> Module:
    progress(f"taking WireGuard's source for {environment.release}")
    source = take_source(environment, work, folder)
    progress(f"applying {len(variant.rules)} rules of {variant.name}")
    rules = apply_rules(environment, variant.rules, work)
    for path in variant.sources:
        shutil.copyfile(path, work / path.name)
    extend_makefile(work / "Makefile", variant, source.version)
    progress(f"compiling {variant.name} for {environment.release}")
    compile_module(environment, work)
    ensure_btf(environment, work / MODULE)
    check_module(work / MODULE, variant, environment.release)
    target = module_dir(environment.release, variant.name, variant.patch_hash(), folder.name if folder else "")
    module = Module(
        variant.name,
        environment.release,
        source.version,
        variant.patch_hash(),
        tuple(rules),
        str(target / MODULE),
    )
    _keep(work / MODULE, module)
    return module


def extend_makefile(makefile: Path, variant: Variant, source_version: str) -> None:
    """Link our objects and tell them what they are part of."""
    facts = {"VARIANT": variant.name, "PATCH_HASH": variant.patch_hash(), "SOURCE": source_version}
    flags = " ".join(f"-DWGPROF_{name}='\"{value}\"'" for name, value in facts.items())
    with makefile.open("a") as stream:
        stream.write(f"\nwireguard-y += {' '.join(variant.objects)}\nccflags-y += {flags}\n")


def compile_module(environment: Environment, work: Path) -> None:
    """Raises BuildError with the compiler's first error; the whole log is kept beside the modules."""
    jobs = len(os.sched_getaffinity(0))
    result = environment.run(
        ["make", "-C", str(environment.headers), f"M={environment.inside(work)}", f"-j{jobs}", "modules"]
    )
    if result.returncode == 0 and (work / MODULE).is_file():
        return
    log = modules_dir(environment.release) / "failed.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(result.stdout + result.stderr)
    lines = result.stderr.splitlines()
    said = next((line for line in lines if "error:" in line.lower()), lines[-1] if lines else "make said nothing")
    raise BuildError(f"the module does not compile: {said.strip()}", f"The whole log is {log}.")


def check_module(path: Path, variant: Variant, release: str) -> None:
    """A module that silently is something else must never leave the build.  Raises BuildError."""
    info = module_info(path)
    expected = {"wgprof_variant": variant.name, "wgprof_patch": variant.patch_hash()}
    for key, value in expected.items():
        if info.get(key) != value:
            raise BuildError(f"the module says {key}={info.get(key)!r} where it should say {value!r}")
    if (LAB_ONLY in info) != variant.is_lab_only:
        raise BuildError(f"the module says {LAB_ONLY}={info.get(LAB_ONLY)!r}, which {variant.name} must not say")
    if info.get("vermagic", "").split(" ")[0] != release:
        raise BuildError(f"the module is for kernel {info.get('vermagic')!r}, not for {release}")
    if not has_btf(path):
        raise BuildError("the module carries no type information")


def _keep(built: Path, module: Module) -> None:
    target = Path(module.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    shutil.copyfile(built, part)
    part.replace(target)
    facts = {key: value for key, value in asdict(module).items() if key != "path"}
    (target.parent / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
