"""A variant is known by its parts; its hash changes with any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from wgprof.errors import UsageError
from wgprof.kmod.variant import find_variant, variant_names


def make_folder(base: Path) -> Path:
    for part in ("common", "steered", "inline"):
        (base / part / "rules").mkdir(parents=True)
        (base / part / "rules" / f"{part}.cocci").write_text("// Files: a.c\n// Adds: x\n")
        (base / part / f"wgprof_{part}.c").write_text("int x;\n")
    (base / "common" / "wgprof_variant.c").write_text("int v;\n")
    return base


def test_vanilla_is_only_marked(tmp_path: Path) -> None:
    variant = find_variant("vanilla", make_folder(tmp_path))
    assert variant.rules == ()
    assert variant.objects == ["wgprof_variant.o"]


def test_common_rules_come_first(tmp_path: Path) -> None:
    variant = find_variant("inline", make_folder(tmp_path))
    assert [path.stem for path in variant.rules] == ["common", "inline"]
    assert variant.objects == ["wgprof_variant.o", "wgprof_inline.o"]


def test_hash_changes_with_a_rule_and_with_a_file(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    hashes = {find_variant("inline", folder).patch_hash()}
    for changed in ("inline/rules/inline.cocci", "inline/wgprof_inline.c", "common/rules/common.cocci"):
        path = folder / changed
        path.write_text(path.read_text() + " ")
        hashes.add(find_variant("inline", folder).patch_hash())
    assert len(hashes) == 4


def test_hash_is_of_that_variant_only(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    before = find_variant("inline", folder).patch_hash()
    (folder / "steered" / "wgprof_steered.c").write_text("int y;\n")
    assert find_variant("inline", folder).patch_hash() == before


def test_unknown_variant() -> None:
    with pytest.raises(UsageError, match="no variant 'turbo'"):
        find_variant("turbo")


def test_real_variants_have_different_hashes() -> None:
    assert len({find_variant(name).patch_hash() for name in variant_names()}) == len(variant_names())


def test_lab_build_is_never_taken_for_the_variant(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "lab" / "rules").mkdir(parents=True)
    (folder / "lab" / "rules" / "lab.cocci").write_text("// Files: a.c\n// Adds: x\n")
    (folder / "lab" / "wgprof_lab.c").write_text("int l;\n")
    plain, lab = find_variant("inline", folder), find_variant("inline", folder, lab_crypto=True)
    assert (plain.name, plain.is_lab_only) == ("inline", False)
    assert (lab.name, lab.is_lab_only) == ("inline-lab-crypto", True)
    assert plain.patch_hash() != lab.patch_hash()
    assert lab.name not in variant_names()
