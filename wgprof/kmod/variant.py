"""The variants: which of our rules and C files make which module."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import UsageError
from wgprof.resources import resource_dir

#: Where in kmod/ a variant's parts lie: `rules/*.cocci` and `*.c`, `*.h` of each folder.
_PARTS: dict[str, tuple[str, ...]] = {
    "vanilla": (),
    "steered": ("steered",),
    "inline": ("inline",),
}
#: Goes into every module, so that it can say what it is.
_ALWAYS = "common/wgprof_variant.c"
#: The lab's crypto dial, on top of any variant: such a module does not encrypt.
_LAB = "lab"
LAB_SUFFIX = "-lab-crypto"


@dataclass(frozen=True)
class Variant:
    """A module variant: its name, what it is for, its rules in order, and its own C files."""

    name: str
    summary: str
    rules: tuple[Path, ...]
    sources: tuple[Path, ...]

    @property
    def is_lab_only(self) -> bool:
        return self.name.endswith(LAB_SUFFIX)

    @property
    def objects(self) -> list[str]:
        """What the Makefile has to link, beside WireGuard's own objects."""
        return [path.with_suffix(".o").name for path in self.sources if path.suffix == ".c"]

    def patch_hash(self) -> str:
        """16 hexadecimal digits that change with any rule or file of ours."""
        digest = hashlib.sha256()
        for path in (*self.rules, *self.sources):
            data = path.read_bytes()
            digest.update(f"{path.name} {len(data)}\n".encode())
            digest.update(data)
        return digest.hexdigest()[:16]


_SUMMARIES = {
    "vanilla": "the distribution's WireGuard, unchanged, built the same way as the others",
    "steered": "where each task runs is a choice, per device and at run time",
    "inline": "run to completion: no rings, no workers, no hand-offs; for many tunnels",
}


def variant_names() -> list[str]:
    """The variants proper; lab builds are not among them."""
    return list(_PARTS)


def find_variant(name: str, folder: Path | None = None, lab_crypto: bool = False) -> Variant:
    """The variant of this name, or its lab build without encryption.  Raises UsageError for an unknown one."""
    if name not in _PARTS:
        raise UsageError(f"there is no variant {name!r}", f"There are {', '.join(_PARTS)}.")
    base = folder or resource_dir("kmod")
    parts = _PARTS[name]
    rules: list[Path] = []
    sources = [base / _ALWAYS]
    for part in parts:
        rules += sorted((base / part / "rules").glob("*.cocci"))
        sources += sorted(path for path in (base / part).iterdir() if path.suffix in {".c", ".h"})
    if parts:  # a variant with state of its own also needs its places in device and peer
        rules = sorted((base / "common" / "rules").glob("*.cocci")) + rules
    summary = _SUMMARIES[name]
    if lab_crypto:
        rules += sorted((base / _LAB / "rules").glob("*.cocci"))
        sources += sorted(path for path in (base / _LAB).iterdir() if path.suffix in {".c", ".h"})
        name, summary = name + LAB_SUFFIX, f"{summary} (lab only: does not encrypt)"
    return Variant(name, summary, tuple(rules), tuple(sources))
