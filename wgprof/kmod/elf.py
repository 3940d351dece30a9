"""As much of ELF as it takes to read a module's sections: what is it, and does it carry BTF?"""

from __future__ import annotations

import struct
from pathlib import Path

from wgprof.errors import WgprofError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NOBITS = 8


class NotAModule(WgprofError):
    """The file is not a 64-bit little-endian ELF object."""


def sections(data: bytes) -> dict[str, bytes]:
    """Name -> content of each section.  Raises NotAModule."""
    try:
        header = _HEADER.unpack_from(data)
        if header[0][:6] != b"\x7fELF\x02\x01":
            raise NotAModule("the file is not a 64-bit little-endian ELF object")
        offset, size, count, names_index = header[6], header[11], header[12], header[13]
        table = [_SECTION.unpack_from(data, offset + index * size) for index in range(count)]
        names = data[table[names_index][4] :][: table[names_index][5]]
        found: dict[str, bytes] = {}
        for name, kind, _, _, start, length, *_ in table:
            text = names[name : names.index(b"\0", name)].decode("ascii", "replace")
            found[text] = b"" if kind == _NOBITS else data[start : start + length]
    except (struct.error, IndexError, ValueError) as error:
        raise NotAModule("the file is a damaged ELF object") from error
    return found


def module_info(path: Path) -> dict[str, str]:
    """The key=value pairs of a module (`modinfo`); a key that occurs twice keeps its first value."""
    info: dict[str, str] = {}
    for entry in sections(path.read_bytes()).get(".modinfo", b"").split(b"\0"):
        key, equals, value = entry.decode("utf-8", "replace").partition("=")
        if equals:
            info.setdefault(key, value)
    return info


def has_btf(path: Path) -> bool:
    """Whether a module, or a kernel, carries type information."""
    return bool(sections(path.read_bytes()).get(".BTF"))
