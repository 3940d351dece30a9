"""Which module was recorded, and what a reader has to know of it before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wgprof.analysis import units
from wgprof.analysis.names import clean

DISTRIBUTION = "distribution"
_INLINE = "inline"
#: The end of the name of a module that does not encrypt (wgprof.kmod.variant).
_LAB_SUFFIX = "-lab-crypto"


@dataclass(frozen=True)
class Variant:
    """The module behind a recording: the distribution's own, or one that `wgprof kmod` built."""

    name: str = DISTRIBUTION
    patch_hash: str = ""
    source_version: str = ""
    crypto_permille: int = 0  # of a packet's cost, where crypto was replaced by work of a set cost
    crypto_ns: int = 0

    @property
    def encrypts(self) -> bool:
        """False for the lab's crypto dial."""
        return not (self.name.endswith(_LAB_SUFFIX) or self.crypto_permille)

    @property
    def is_inline(self) -> bool:
        """Whether packets can pass without rings, peer queues and workers."""
        return self.name.removesuffix(_LAB_SUFFIX) == _INLINE

    @property
    def warning(self) -> str:
        """What every view says first of a recording without encryption; empty for all others."""
        if self.encrypts:
            return ""
        cost = f"{self.crypto_permille / 10:g} % of a packet's" if self.crypto_permille else "an unknown share"
        time = f" ({units.duration(self.crypto_ns)})" if self.crypto_ns else ""
        return f"LAB CRYPTO DIAL: the packets were NOT encrypted; the cost of crypto was set to {cost}{time}."

    @property
    def note(self) -> str:
        """Which module it was, if not the distribution's own; else empty."""
        if self.name in ("", DISTRIBUTION):
            return ""
        made = f" (patch {self.patch_hash}, from source {self.source_version})" if self.patch_hash else ""
        return f"Recorded with the module variant {self.name}{made}, not with the distribution's module."


def variant_of(manifest: Mapping[str, Any]) -> Variant:
    """Read a manifest, whose strings are anybody's."""
    facts = manifest.get("wireguard")
    if not isinstance(facts, Mapping):
        return Variant()
    numbers = (facts.get(key) for key in ("crypto_permille", "crypto_ns"))
    permille, ns = (value if type(value) is int and value > 0 else 0 for value in numbers)
    texts = (clean(facts.get(key, "")) for key in ("variant", "patch_hash", "source_version"))
    name, patch_hash, source_version = texts
    return Variant(name or DISTRIBUTION, patch_hash, source_version, permille, ns)
