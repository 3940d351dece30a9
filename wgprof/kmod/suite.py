"""The kernels a module can be built for: which suite of the distribution has them."""

from __future__ import annotations

from dataclasses import dataclass

from wgprof.errors import UsageError

#: What a build needs inside its chroot.  The image is there for its BTF and must match the headers.
PACKAGES = (
    "linux-image-amd64",
    "linux-headers-amd64",
    "linux-source",
    "gcc",
    "make",
    "dwarves",
    "coccinelle",
    "binutils",
    "xz-utils",
    "zstd",
)


@dataclass(frozen=True)
class Suite:
    """A kernel series and the Debian suite that has it as its own."""

    kernel: str
    name: str
    has_updates: bool = True


SUITES = {
    "6.1": Suite("6.1", "bookworm"),
    "6.12": Suite("6.12", "trixie"),
    "7.2": Suite("7.2", "sid", has_updates=False),
}


def find_suite(kernel: str) -> Suite:
    """The suite of a kernel series.  Raises UsageError for one we have no suite for."""
    if kernel not in SUITES:
        raise UsageError(f"modules for kernel {kernel!r} cannot be built", f"Choose one of {', '.join(SUITES)}.")
    return SUITES[kernel]
