"""The BTF reader, on sections built here: a base and a split one as a module has it."""

from __future__ import annotations

import struct

import pytest

from wgprof.agent.btf import Btf, BtfError

INT, PTR, ARRAY, STRUCT, UNION, TYPEDEF, FUNC, FUNC_PROTO = 1, 2, 3, 4, 5, 8, 12, 13


class Builder:
    """Writes a BTF section."""

    def __init__(self, string_start: int = 0) -> None:
        self.strings = b"\0"
        self.types = b""
        self.string_start = string_start

    def name(self, text: str) -> int:
        if not text:
            return 0
        offset = self.string_start + len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def add(self, kind: int, name: str, vlen: int, third: int, *words: int, bitfields: bool = False) -> None:
        info = kind << 24 | vlen | int(bitfields) << 31
        self.types += struct.pack(f"<3I{len(words)}I", self.name(name), info, third, *words)

    def section(self) -> bytes:
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        return header + self.types + self.strings


def base() -> tuple[Btf, int]:
    b = Builder()
    b.add(INT, "u32", 0, 4, 32)  # 1
    x, inner = b.name("x"), b.name("inner")
    b.add(STRUCT, "point", 2, 8, x, 1, 0, b.name("y"), 1, 32)  # 2
    b.add(UNION, "", 1, 8, inner, 2, 0)  # 3: anonymous
    b.add(TYPEDEF, "alias", 0, 2)  # 4
    b.add(STRUCT, "outer", 3, 32, b.name("first"), 1, 0, 0, 3, 64, b.name("named"), 4, 128)  # 5
    b.add(STRUCT, "bits", 1, 4, b.name("flag"), 1, 1 << 24 | 17, bitfields=True)  # 6
    b.add(FUNC_PROTO, "", 2, 0, 0, 1, 0, 1)  # 7
    b.add(FUNC, "act", 0, 7)  # 8
    return Btf(b.section()), len(b.strings)


def test_members_also_inside_anonymous_ones_and_through_typedefs() -> None:
    btf, _ = base()
    assert btf.offset("point.y") == 4
    assert btf.offset("outer.inner") == 8
    assert btf.offset("outer.inner.y") == 12
    assert btf.offset("outer.named.y") == 20
    assert btf.offset("bits.flag") == 2
    assert btf.offset("outer") == 0


def test_functions_and_their_arguments() -> None:
    btf, _ = base()
    assert btf.functions() == {"act": 2}
    assert btf.arguments("act") == 2
    assert btf.arguments("outer") is None


def test_types_have_the_numbers_the_kernel_knows_them_by() -> None:
    btf, _ = base()
    assert (btf.function_id("act"), btf.struct_id("outer")) == (8, 5)
    assert btf.function_id("outer") is None, "not a function"
    assert btf.function_id("nothing") is None
    with pytest.raises(BtfError, match="no structure nothing"):
        btf.struct_id("nothing")


def test_a_module_builds_on_its_base() -> None:
    below, length = base()
    b = Builder(string_start=length)
    b.add(STRUCT, "mine", 1, 40, b.name("theirs"), 5, 64)  # 9, of type outer
    b.add(FUNC, "module_act", 0, 7)
    btf = Btf(b.section(), below)
    assert btf.offset("mine.theirs.named.y") == 8 + 20
    assert btf.offset("point.y") == 4
    assert btf.arguments("module_act") == 2


def test_what_is_not_there_is_named() -> None:
    btf, _ = base()
    with pytest.raises(BtfError, match="no structure nothing"):
        btf.offset("nothing.x")
    with pytest.raises(BtfError, match="outer has no member z"):
        btf.offset("outer.z")


def test_other_bytes_are_refused() -> None:
    with pytest.raises(BtfError):
        Btf(b"short")
    with pytest.raises(BtfError):
        Btf(bytes(64))
