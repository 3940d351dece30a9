"""Type information for a module: offsets and fentry need it, and out-of-tree builds may come without."""

from __future__ import annotations

import gzip
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path

from wgprof.errors import MachineError, WgprofError
from wgprof.kmod.elf import NotAModule, has_btf, sections
from wgprof.kmod.environment import Environment


class BtfError(WgprofError):
    """The module's type information could not be made."""


def ensure_btf(environment: Environment, module: Path) -> None:
    """Add type information to `module` (a file inside the environment) if the build left it out."""
    if has_btf(module):
        return
    base, types = module.parent / "vmlinux.btf-base", module.parent / "module.btf"
    base.write_bytes(_kernel(environment))
    inside = environment.inside
    # Written apart and added by us: pahole would call llvm-objcopy, which nobody has installed.
    encode = ["pahole", "-J", "--btf_base", str(inside(base)), f"--btf_encode_detached={inside(types)}"]
    add = ["objcopy", "--add-section", f".BTF={inside(types)}"]
    for command in (encode, add):
        result = environment.run([*command, str(inside(module))])
        if result.returncode:
            said = (result.stderr.strip().splitlines() or [f"{command[0]} said nothing"])[-1]
            raise BtfError(f"the module's type information could not be made: {said}", "Install dwarves 1.24 or newer.")
    base.unlink()
    types.unlink()


def _kernel(environment: Environment) -> bytes:
    """Something pahole takes as base: raw BTF of the kernel the module is for."""
    if environment.is_host:
        return Path("/sys/kernel/btf/vmlinux").read_bytes()
    image = environment.root / "boot" / f"vmlinuz-{environment.release}"
    if not image.exists():
        raise MachineError(f"the build environment lacks {image.name}", f"Remove {environment.root} and run it again.")
    return sections(unpack_kernel(image.read_bytes(), environment))[".BTF"]


def _zstd(data: bytes, environment: Environment) -> bytes:
    """Python 3.11 has no zstd: the environment's own tool does it."""
    packed = environment.root / "tmp" / f"kernel-{os.getpid()}.zst"
    unpacked = packed.with_suffix("")
    packed.write_bytes(data)
    # The image has more data behind the compressed stream: the tool complains, but what it wrote is whole.
    environment.run(["zstd", "-dqf", str(environment.inside(packed)), "-o", str(environment.inside(unpacked))])
    content = unpacked.read_bytes() if unpacked.exists() else b""
    packed.unlink()
    unpacked.unlink(missing_ok=True)
    return content


def unpack_kernel(image: bytes, environment: Environment) -> bytes:
    """The ELF kernel inside a bootable image, whatever it is compressed with.  Raises BtfError."""
    ways: list[tuple[bytes, Callable[[bytes], bytes]]] = [
        (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
        (b"\x1f\x8b\x08", _gunzip),
        (b"\x28\xb5\x2f\xfd", lambda data: _zstd(data, environment)),
    ]
    for magic, unpack in ways:
        start = image.find(magic)
        while start >= 0:
            try:
                kernel = unpack(image[start:])
                if ".BTF" in sections(kernel):
                    return kernel
            except (lzma.LZMAError, OSError, EOFError, NotAModule):
                pass
            start = image.find(magic, start + 1)
    raise BtfError("the kernel image cannot be unpacked, so its type information cannot be read")


def _gunzip(data: bytes) -> bytes:
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read()
