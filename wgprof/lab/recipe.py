"""What goes into a lab image: a distribution's suite and its packages, as data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from wgprof.errors import UsageError

#: Raise it when the way an image is made changes: older images are then built again.
RECIPE_VERSION = 1

PACKAGES = (
    "linux-image-amd64",
    "linux-headers-amd64",
    "python3-bpfcc",
    "wireguard-tools",
    "iproute2",
    "iperf3",
    "iputils-ping",
    "kmod",
    "procps",
    "ethtool",
    "bpftool",
    "bpftrace",
    "sudo",
    "nftables",
    "tcpdump",
    "linux-perf",  # for --stacks
    "busybox-static",  # the initramfs's own tools
)


@dataclass(frozen=True)
class Recipe:
    """One image: the kernel series it is named after, the Debian suite, and what to install."""

    kernel: str
    suite: str
    packages: tuple[str, ...] = PACKAGES
    apt_options: tuple[str, ...] = ()
    disk_bytes: int = 3 << 30
    version: int = RECIPE_VERSION

    def key(self) -> str:
        """Changes with anything that changes the image."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


RECIPES = {
    "6.1": Recipe("6.1", "bookworm"),
    "6.12": Recipe("6.12", "trixie"),
    # A development suite on a machine whose mirror is a snapshot: its Release file may be "expired".
    "7.2": Recipe("7.2", "sid", apt_options=('Acquire::Check-Valid-Until "false"',)),
}

DEFAULT_KERNEL = "6.12"


def recipe_for(kernel: str) -> Recipe:
    """The recipe of a kernel series.  Raises UsageError for one the lab does not know."""
    try:
        return RECIPES[kernel]
    except KeyError:
        raise UsageError(
            f"the lab has no kernel {kernel!r}", f"It has {', '.join(RECIPES)}; choose one with --kernel."
        ) from None
