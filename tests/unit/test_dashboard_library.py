"""Only what was given on the command line can be opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wgprof.dashboard.library import Library
from wgprof.errors import RecordingError


def touch(path: Path, mtime: int = 0) -> Path:
    path.write_bytes(b"x")
    os.utime(path, (mtime, mtime))
    return path


def test_files_in_order_and_folders_newest_first(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    old, new = touch(folder / "old.wgprof", 1), touch(folder / "new.wgprof", 2)
    touch(folder / "notes.txt")
    touch(folder / "unfinished.wgprof.part")
    other = touch(tmp_path / "other.wgprof")
    entries = Library([other, folder, old]).entries()
    assert [(e.slug, e.path) for e in entries] == [("other", other), ("new", new), ("old", old)]


def test_what_comes_later_into_a_folder_is_found(tmp_path: Path) -> None:
    library = Library([tmp_path])
    assert library.entries() == [] and library.find("") is None
    path = touch(tmp_path / "a.wgprof")
    found = library.find("")
    assert found is not None and found.path == path


def test_nothing_outside_is_found(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    secret = touch(tmp_path / "secret.wgprof")
    (inside / "link.wgprof").symlink_to(secret)
    touch(inside / "a.wgprof")
    library = Library([inside])
    assert [entry.slug for entry in library.entries()] == ["a"]
    for slug in ("../secret", str(secret), "secret", "secret.wgprof", "link", "a/../../secret", "\x00"):
        assert library.find(slug) is None


def test_names_that_are_none_in_an_address_get_one(tmp_path: Path) -> None:
    strange = [
        touch(tmp_path / name) for name in ("a b.wgprof", "a?b.wgprof", "<script>.wgprof", "é.wgprof", "a-b.wgprof")
    ]
    slugs = {entry.path: entry.slug for entry in Library([tmp_path]).entries()}
    assert set(slugs) == set(strange) and len(set(slugs.values())) == len(strange)
    assert all(slug.isascii() and not set(slug) & set(" ?<>&/") for slug in slugs.values())
    assert slugs[tmp_path / "a-b.wgprof"] == "a-b"
    assert slugs == {entry.path: entry.slug for entry in Library([tmp_path]).entries()}, "links stay what they are"


def test_what_goes_while_it_is_looked_at_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.wgprof", 2)
    part = touch(tmp_path / "now.wgprof.part", 1)
    library, look = Library([tmp_path], live=True), Path.stat

    def look_and_finish(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        """What it was a moment ago."""
        found = look(path, follow_symlinks=follow_symlinks)
        if path == part:
            part.rename(tmp_path / "now.wgprof")
        return found

    monkeypatch.setattr(Path, "stat", look_and_finish)
    assert [(e.slug, e.live) for e in library.entries()] == [("a", False), ("now", False)]
    assert [(e.slug, e.live) for e in library.entries()] == [("a", False), ("now", False)]


def test_a_folder_that_goes_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    library, resolve = Library([folder]), Path.resolve

    def resolve_and_remove(path: Path, strict: bool = False) -> Path:
        found = resolve(path, strict)
        folder.rmdir()
        return found

    monkeypatch.setattr(Path, "resolve", resolve_and_remove)
    assert library.entries() == []


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = touch(tmp_path / "one" / "x.wgprof"), touch(tmp_path / "two" / "x.wgprof")
    slugs = [entry.slug for entry in Library([first, second]).entries()]
    assert slugs[0] == "x" and slugs[1].startswith("x-")


def test_sweeps_are_of_another_kind_and_have_slugs_of_their_own(tmp_path: Path) -> None:
    recording, sweep = touch(tmp_path / "x.wgprof"), touch(tmp_path / "x.sweep")
    unfinished = tmp_path / "y.sweep.part"
    unfinished.mkdir()
    (tmp_path / "folder.sweep").mkdir()
    for library in (Library([tmp_path]), Library([sweep, recording]), Library([tmp_path], live=True)):
        assert [(e.slug, e.path, e.kind) for e in library.entries()] == [("x", recording, "recording")]
        assert [(e.slug, e.path, e.kind) for e in library.entries("sweep")] == [("x", sweep, "sweep")]
        found = library.find("x", "sweep")
        assert found is not None and found.path == sweep


def test_no_sweep_outside_is_found(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.sweep").symlink_to(touch(tmp_path / "secret.sweep"))
    library = Library([inside])
    assert library.entries("sweep") == [] and library.find("", "sweep") is None
    assert library.find("../secret", "sweep") is None and library.find("link", "sweep") is None


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="does not exist"):
        Library([tmp_path / "none.wgprof"])


def test_live_lists_what_is_being_written_first_and_what_became_of_it(tmp_path: Path) -> None:
    touch(tmp_path / "done.wgprof", 9)
    part = touch(tmp_path / "now.wgprof.part", 1)
    library = Library([tmp_path], live=True)
    assert [(e.slug, e.live) for e in library.entries()] == [("now", True), ("done", False)]
    given = Library([part], live=True)
    part.rename(tmp_path / "now.wgprof")
    assert [(e.slug, e.live) for e in library.entries()] == [("done", False), ("now", False)]
    assert [(e.slug, e.live) for e in given.entries()] == [("now", False)]
