"""What leaves a build is what it says it is; source and types are found where they are."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
from pathlib import Path

import pytest

from wgprof.errors import UsageError
from wgprof.kmod import btf
from wgprof.kmod.build import BuildError, Module, check_module, extend_makefile, find_built
from wgprof.kmod.chroot import create_command
from wgprof.kmod.elf import NotAModule, has_btf, module_info, sections
from wgprof.kmod.environment import Environment
from wgprof.kmod.paths import module_dir
from wgprof.kmod.source import take_selftest, take_source
from wgprof.kmod.suite import find_suite
from wgprof.kmod.variant import find_variant

RELEASE = "6.12.1-amd64"


def elf(content: dict[str, bytes]) -> bytes:
    """A minimal 64-bit object with these sections."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*content, ".shstrtab"))
    body, table = b"", b""
    parts = {**content, ".shstrtab": names}
    for name, data in parts.items():
        offset = names.index(b"\0" + name.encode() + b"\0") + 1
        table += struct.pack("<IIQQQQIIQQ", offset, 1, 0, 0, 64 + len(body), len(data), 0, 0, 1, 0)
        body += data
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        1,
        62,
        1,
        0,
        0,
        64 + len(body),
        0,
        64,
        0,
        0,
        64,
        len(parts),
        len(parts) - 1,
    )
    return head + body + table


def write_module(folder: Path, variant: str = "vanilla", release: str = RELEASE, types: bytes = b"BTF") -> Path:
    info = {
        "wgprof_variant": variant,
        "wgprof_patch": find_variant("vanilla").patch_hash(),
        "vermagic": f"{release} SMP preempt mod_unload",
        "depends": "udp_tunnel,libchacha20poly1305",
    }
    text = b"".join(f"{key}={value}".encode() + b"\0" for key, value in info.items())
    path = folder / "wireguard.ko"
    path.write_bytes(elf({".modinfo": text, **({".BTF": types} if types else {})}))
    return path


def test_module_info_is_read(tmp_path: Path) -> None:
    path = write_module(tmp_path)
    assert module_info(path)["depends"] == "udp_tunnel,libchacha20poly1305"
    assert has_btf(path)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"MZ" * 100, elf({".a": b"x"})[:-40]])
def test_other_files_are_not_modules(data: bytes) -> None:
    with pytest.raises(NotAModule):
        sections(data)


def test_right_module_passes(tmp_path: Path) -> None:
    check_module(write_module(tmp_path), find_variant("vanilla"), RELEASE)


def test_another_variant_never_leaves_the_build(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="says wgprof_variant='inline'"):
        check_module(write_module(tmp_path, variant="inline"), find_variant("vanilla"), RELEASE)


def test_another_kernel_never_leaves_the_build(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"not for 6\.12\.1-amd64"):
        check_module(write_module(tmp_path, release="6.12.10-amd64"), find_variant("vanilla"), RELEASE)


def test_module_without_types_never_leaves_the_build(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no type information"):
        check_module(write_module(tmp_path, types=b""), find_variant("vanilla"), RELEASE)


def test_makefile_links_our_objects(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text("wireguard-y := main.o\n")
    extend_makefile(makefile, find_variant("inline"), "6.1-1")
    text = makefile.read_text()
    assert "wireguard-y += wgprof_variant.o wgprof_cell.o wgprof_inline.o wgprof_mode.o\n" in text
    assert "-DWGPROF_SOURCE='\"6.1-1\"'" in text


def test_module_without_encryption_never_passes_for_a_variant(tmp_path: Path) -> None:
    path = write_module(tmp_path)
    info = sections(path.read_bytes())[".modinfo"] + b"wgprof_lab_only=the packets are not encrypted\0"
    path.write_bytes(elf({".modinfo": info, ".BTF": b"BTF"}))
    with pytest.raises(BuildError, match="wgprof_lab_only"):
        check_module(path, find_variant("vanilla"), RELEASE)


def make_tarball(root: Path) -> Environment:
    tarball = root / "usr/src/linux-source-6.12.tar.xz"
    tarball.parent.mkdir(parents=True)
    files = {
        "drivers/net/aaa.c": b"",
        "drivers/net/wireguard/device.c": b"device",
        "drivers/net/wireguard/selftest/counter.c": b"counter",
        "drivers/net/wireguardian.c": b"",
        "tools/testing/selftests/wireguard/netns.sh": b"#!/bin/bash\n",
    }
    with tarfile.open(tarball, "w:xz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"linux-source-6.12/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return Environment(root, RELEASE)


def test_source_comes_from_the_tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make_tarball(tmp_path)
    monkeypatch.setattr("wgprof.kmod.source.package_version", lambda *_: "6.12.1-1")
    source = take_source(environment, tmp_path / "build/x")
    assert source.version == "6.12.1-1"
    assert sorted(path.name for path in source.folder.rglob("*") if path.is_file()) == ["counter.c", "device.c"]


def test_selftest_comes_unmodified(tmp_path: Path) -> None:
    environment = make_tarball(tmp_path)
    assert take_selftest(environment, tmp_path / "out").read_bytes() == b"#!/bin/bash\n"


def test_folder_without_wireguard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no WireGuard source"):
        take_source(Environment(Path("/"), RELEASE), tmp_path / "build", tmp_path / "empty")


def test_kernel_is_found_behind_a_false_start(tmp_path: Path) -> None:
    kernel = elf({".BTF": b"types"})
    image = b"boot code \xfd7zXZ\0 not a stream " + lzma.compress(kernel) + b"trailer"
    assert sections(btf.unpack_kernel(image, Environment(tmp_path, RELEASE)))[".BTF"] == b"types"


def test_kernel_that_cannot_be_unpacked(tmp_path: Path) -> None:
    with pytest.raises(btf.BtfError):
        btf.unpack_kernel(b"nothing here", Environment(tmp_path, RELEASE))


def test_damaged_or_missing_facts_mean_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WGPROF_CACHE", str(tmp_path))
    variant = find_variant("vanilla")
    assert find_built(variant, RELEASE) is None
    folder = module_dir(RELEASE, "vanilla", variant.patch_hash())
    folder.mkdir(parents=True)
    for text in ("", "[]", '{"variant": "vanilla"}'):
        (folder / "build.json").write_text(text)
        assert find_built(variant, RELEASE) is None


def test_module_of_older_rules_counts_as_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WGPROF_CACHE", str(tmp_path))
    variant = find_variant("vanilla")
    folder = module_dir(RELEASE, "vanilla", variant.patch_hash())
    folder.mkdir(parents=True)
    write_module(folder)
    for patch_hash, usable in ((variant.patch_hash(), True), ("0" * 16, False)):
        facts = (
            f'{{"variant": "vanilla", "release": "{RELEASE}", "source_version": "6.12-1", '
            f'"patch_hash": "{patch_hash}", "rules": []}}'
        )
        (folder / "build.json").write_text(facts)
        assert isinstance(find_built(variant, RELEASE), Module) is usable


def test_builds_of_other_rules_or_another_source_are_kept_apart() -> None:
    """Two checkouts share the cache; a module made from a folder must not pass for the distribution's."""
    places = {module_dir(RELEASE, "inline", *rest) for rest in (("a" * 16,), ("b" * 16,), ("a" * 16, "changed"))}
    assert len(places) == 3


def test_chroot_has_security_updates_where_there_are_any() -> None:
    assert any("trixie-security" in line for line in create_command(find_suite("6.12"), Path("/x")))
    assert not any("security" in line for line in create_command(find_suite("7.2"), Path("/x"))[-1:])


def test_unknown_kernel() -> None:
    with pytest.raises(UsageError, match=r"5\.4"):
        find_suite("5.4")
