"""Images: built once, built again when damaged, and refused in one sentence when they cannot be built."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from wgprof.errors import MachineError, UsageError
from wgprof.lab import build, image
from wgprof.lab.fingerprint import BLOCK, Fingerprint
from wgprof.lab.recipe import PACKAGES, RECIPES, recipe_for


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache, and a build that writes three small files and notes that it ran."""
    done: list[str] = []

    def fake(recipe: object, work: Path, progress: object) -> str:
        out = work / build.OUT
        out.mkdir(parents=True)
        for name in (build.VMLINUZ, build.INITRD, build.DISK):
            (out / name).write_bytes(name.encode() * 5000)
        done.append(str(work))
        return "6.12.0-test"

    monkeypatch.setenv("WGPROF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "build", fake)
    monkeypatch.setattr(image, "find_tool", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return done


def ensure(kernel: str = "6.12") -> tuple[image.LabImage, list[str]]:
    said: list[str] = []
    return image.ensure_image(kernel, progress=lambda line, done: said.append(line)), said


def test_an_image_is_built_once(builds: list[str]) -> None:
    first, _ = ensure()
    again, said = ensure()
    assert again == first
    assert len(builds) == 1
    assert said == [], "a sound image is not worth a word"
    assert first.release == "6.12.0-test"
    assert not Path(builds[0]).exists(), "the work folder is gone"


@pytest.mark.parametrize("name", [build.VMLINUZ, build.INITRD, build.DISK, image.MANIFEST])
def test_a_damaged_image_is_built_again(builds: list[str], name: str) -> None:
    path = ensure()[0].directory / name
    path.write_bytes(b"x" + path.read_bytes()[1:])
    made, said = ensure()
    assert len(builds) == 2
    assert made.vmlinuz.is_file()
    if name != image.MANIFEST:
        assert f"damaged ({name}: its content has changed)" in said[0]


def test_a_missing_file_is_noticed(builds: list[str]) -> None:
    ensure()[0].disk.unlink()
    assert "damaged (root.ext4" in ensure()[1][0]


def test_an_image_that_was_only_touched_is_still_good(builds: list[str]) -> None:
    os.utime(ensure()[0].disk, (1, 1))
    ensure()
    assert len(builds) == 1


def test_images_of_older_recipes_are_removed(builds: list[str], tmp_path: Path) -> None:
    old = tmp_path / "cache" / "6.12-0123456789abcdef"
    other = tmp_path / "cache" / "6.1-0123456789abcdef"
    old.mkdir(parents=True)
    other.mkdir()
    ensure()
    assert not old.exists()
    assert other.exists(), "another kernel's image is not ours to remove"


def test_list_tells_each_state(builds: list[str]) -> None:
    directory = ensure()[0].directory
    states = {state.kernel: state.state for state in image.list_images()}
    assert states == {"6.1": "not built", "6.12": "ready", "7.2": "not built"}
    (directory / build.DISK).write_bytes(b"")
    assert image.list_images()[1].state.startswith("damaged: root.ext4: 0 bytes instead of")


def test_missing_tools_are_named_with_their_packages(builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "find_tool", lambda name: None)
    with pytest.raises(MachineError) as caught:
        ensure()
    assert "mmdebstrap" in caught.value.sentence
    assert "apt install mmdebstrap e2fsprogs" in caught.value.remedy


def test_an_unknown_kernel_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"no kernel '5\.4'") as caught:
        recipe_for("5.4")
    assert "6.1, 6.12, 7.2" in caught.value.remedy


def test_the_key_changes_with_whatever_changes_the_image() -> None:
    recipe = RECIPES["6.12"]
    changed = [
        dataclasses.replace(recipe, packages=(*PACKAGES, "vim")),
        dataclasses.replace(recipe, suite="sid"),
        dataclasses.replace(recipe, version=recipe.version + 1),
        dataclasses.replace(recipe, apt_options=("x",)),
    ]
    assert len({recipe.key(), *(other.key() for other in changed)}) == 5
    assert recipe.key() == dataclasses.replace(recipe).key()


def test_the_bootstrap_names_no_mirror() -> None:
    command = build.bootstrap_command(RECIPES["7.2"], "-")
    assert not any("://" in word for word in command)
    assert command[-2:] == ["sid", "-"]
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in command
    assert "python3-bpfcc" in next(word for word in command if word.startswith("--include="))


@pytest.mark.parametrize(
    ("said", "sentence", "remedy"),
    [
        ("E: Failed to fetch http://x  Could not connect to x:80", "cannot be reached", "network"),
        ("W: Temporary failure resolving 'x'", "cannot be reached", "network"),
        ("dpkg: error: write: No space left on device", "disk is full", "4 GB"),
        ("W: GPG error: NO_PUBKEY 0123", "signature", "debian-archive-keyring"),
        ("E: unable to pick chroot mode: unshare failed", "user namespace", "root"),
        ("E: something new", "something new", "again"),
    ],
)
def test_a_failed_bootstrap_is_one_sentence(said: str, sentence: str, remedy: str) -> None:
    error = build.explain_failure(
        "the lab image 6.12 could not be built", ["I: fine", said, "E: mmdebstrap failed to run"]
    )
    assert sentence in error.sentence
    assert remedy in error.remedy
    assert "\n" not in error.sentence


def test_a_full_disk_is_said_before_the_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SPACE_BYTES", 1 << 60)
    with pytest.raises(MachineError, match="are free"):
        build.build(RECIPES["6.12"], tmp_path / "work", lambda line, done: None)


def test_a_build_goes_on_from_a_finished_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow step, the bootstrap, is not repeated; a half-written tar is thrown away."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "root.tar").write_bytes(b"finished")
    (work / "root.tar.part").write_bytes(b"half")
    monkeypatch.setattr(build, "bootstrap", lambda *unused: pytest.fail("bootstrapped again"))
    monkeypatch.setattr(build, "extract_boot_files", lambda tar, out: "6.12.1")
    monkeypatch.setattr(build, "make_disk", lambda recipe, tar, folder, disk: disk.write_bytes(b"disk"))
    assert build.build(RECIPES["6.12"], work, lambda line, done: None) == "6.12.1"
    assert not (work / "root.tar.part").exists()


def test_a_damaged_tar_is_thrown_away(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "root.tar").write_bytes(b"not a tar")
    with pytest.raises(MachineError, match="incomplete"):
        build.build(RECIPES["6.12"], work, lambda line, done: None)
    assert not (work / "root.tar").exists()


def test_a_fingerprint_sees_a_change_anywhere_when_the_time_changed(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.write(b"head" * BLOCK)
        stream.truncate(64 << 20)
        stream.seek(40 << 20)
        stream.write(b"data" * BLOCK)
    mark = Fingerprint.of(path)
    assert mark.difference(path) == ""
    with path.open("r+b") as stream:
        stream.seek((40 << 20) + 5000)
        stream.write(b"!")
    os.utime(path, ns=(1, mark.mtime_ns + 1))
    assert mark.difference(path) == "its content has changed"
    with path.open("ab") as stream:
        stream.write(b"more")
    assert "bytes instead of" in mark.difference(path)
