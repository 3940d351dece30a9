"""The initial RAM disk: a shell, the disk's drivers, and the lab's first programs.  Nothing else, so it is fast."""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab.paths import guest_dir

#: What it takes to read the disk and to talk to the host; a kernel that has one built in simply lacks the file.
WANTED_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "virtio_console")

_CPIO_MAGIC = b"070701"
_FILE, _DIRECTORY, _DEVICE = 0o100000, 0o040000, 0o020000


def entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One file in the `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    raw_name = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, device[0], device[1], len(raw_name), 0)
    head = _CPIO_MAGIC + b"".join(b"%08x" % field for field in fields) + raw_name
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def file(name: str, content: bytes) -> bytes:
    return entry(name, _FILE | 0o755, content)


def archive(entries: Iterable[bytes]) -> bytes:
    """Entries and the end mark; the kernel unpacks several such archives in a row."""
    return b"".join(entries) + entry("TRAILER!!!", 0)


def load_order(modules_dep: str, wanted: Iterable[str] = WANTED_MODULES) -> list[str]:
    """Paths of the wanted modules and all they need, in the order to load them (from modules.dep)."""
    needs: dict[str, list[str]] = {}
    for line in modules_dep.splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {Path(path).name.split(".ko")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []

    def add(path: str) -> None:
        if path in order:
            return
        for needed in needs.get(path, []):
            add(needed)
        order.append(path)

    for name in wanted:
        if name in by_name:
            add(by_name[name])
    return order


def unpack_module(name: str, data: bytes) -> bytes:
    """A kernel module, uncompressed: the initial RAM disk's insmod knows no compression."""
    if name.endswith(".xz"):
        return lzma.decompress(data)
    if name.endswith(".zst"):
        try:
            return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise MachineError(
                f"cannot unpack the kernel module {Path(name).name}: {error}", "Install it with: apt install zstd"
            ) from error
    return data


def base_archive(read: Callable[[str], bytes], release: str) -> bytes:
    """The part that belongs to an image: busybox and the drivers.

    `read` returns a file of the image's tree by its path without a leading slash.
    """
    modules = f"usr/lib/modules/{release}"
    order = load_order(read(f"{modules}/modules.dep").decode())
    entries = [entry(name, _DIRECTORY | 0o755) for name in ("bin", "dev", "proc", "sys", "modules", "guest")]
    entries.append(entry("dev/console", _DEVICE | 0o600, device=(5, 1)))
    entries.append(file("bin/busybox", read("usr/bin/busybox")))
    names = []
    for path in order:
        name = Path(path).name.split(".ko")[0] + ".ko"
        names.append(name)
        entries.append(file(f"modules/{name}", unpack_module(path, read(f"{modules}/{path}"))))
    entries.append(file("modules/order", "".join(f"{name}\n" for name in names).encode()))
    return archive(entries)


def overlay_archive() -> bytes:
    """The part that belongs to this version of wgprof: the guest's first scripts."""
    early, init = (guest_dir() / name for name in ("early.sh", "init.sh"))
    return archive([file("init", early.read_bytes()), file("guest/init.sh", init.read_bytes())])
