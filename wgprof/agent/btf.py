"""Reads what the probes need from the kernel's own type information (BTF).

Offsets of structure members replace kernel headers, and the functions listed decide which fentry
programs are possible.  The format is described in Documentation/bpf/btf.rst of the kernel.  No
maintained Python library reads it, and the agent may use none.
"""

from __future__ import annotations

import struct
from array import array
from typing import Dict, Iterable, Optional, Tuple

_HEADER = struct.Struct("<HBBIIIII")
_MAGIC = 0xEB9F

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF = 1, 2, 3, 4, 5, 6, 7, 8
_VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO, _VAR, _DATASEC = 9, 10, 11, 12, 13, 14, 15
_FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = 16, 17, 18, 19

#: Words that follow a type's three header words: fixed, and for each of its vlen elements.
_FIXED = {_INT: 1, _ARRAY: 3, _VAR: 1, _DECL_TAG: 1}
_EACH = {_STRUCT: 3, _UNION: 3, _ENUM: 2, _FUNC_PROTO: 2, _DATASEC: 3, _ENUM64: 3}
_TRANSPARENT = (_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG)


class BtfError(Exception):
    """The bytes are not BTF, or lack a type or member."""


class Btf:
    """One BTF section; a module's is split and refers to that of vmlinux, its `base`."""

    def __init__(self, data: bytes, base: Optional["Btf"] = None) -> None:
        if len(data) < _HEADER.size:
            raise BtfError("too short for BTF")
        magic, version, _flags, header_length, type_off, type_len, str_off, str_len = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != 1:
            raise BtfError("not BTF of version 1 and this byte order")
        self.base: Optional[Btf] = base
        self._strings = data[header_length + str_off : header_length + str_off + str_len]
        self._string_start: int = base._string_end if base else 0
        self._string_end: int = self._string_start + str_len
        self._words = array("I")
        self._words.frombytes(data[header_length + type_off : header_length + type_off + type_len])
        self._first_id: int = base._first_id + len(base._positions) if base else 1
        self._positions: array[int]
        self._positions, self._functions, self._aggregates = self._index()

    def _index(self) -> Tuple["array[int]", Dict[int, int], Dict[int, int]]:
        """Where each type starts, and the functions and the structures by name offset."""
        words = self._words
        fixed = [_FIXED.get(kind, 0) for kind in range(32)]
        each = [_EACH.get(kind, 0) for kind in range(32)]
        positions = array("I")
        functions: Dict[int, int] = {}
        aggregates: Dict[int, int] = {}
        position, end, type_id = 0, len(words), self._first_id
        append = positions.append
        while position < end:
            append(position)
            info = words[position + 1]
            kind = (info >> 24) & 0x1F
            if kind == _FUNC:
                functions.setdefault(words[position], type_id)
            elif kind == _STRUCT and words[position]:
                aggregates.setdefault(words[position], type_id)
            position += 3 + fixed[kind] + each[kind] * (info & 0xFFFF)
            type_id += 1
        if position != end:
            raise BtfError("types end in the middle of one")
        return positions, functions, aggregates

    def _name(self, offset: int) -> str:
        if offset < self._string_start:
            if self.base is None:
                raise BtfError("a name lies outside the strings")
            return self.base._name(offset)
        start = offset - self._string_start
        return self._strings[start : self._strings.index(b"\0", start)].decode("ascii", "replace")

    def _offset_of_name(self, name: str) -> Optional[int]:
        """The offset of a string in this section's table, None if it is not there."""
        found = self._strings.find(b"\0" + name.encode() + b"\0")
        return None if found < 0 else self._string_start + found + 1

    def _type(self, type_id: int) -> Tuple["array[int]", int]:
        if type_id < self._first_id:
            if self.base is None:
                raise BtfError(f"no type {type_id}")
            return self.base._type(type_id)
        try:
            return self._words, self._positions[type_id - self._first_id]
        except IndexError:
            raise BtfError(f"no type {type_id}") from None

    def functions(self) -> Dict[str, int]:
        """This section's own functions and how many arguments each takes."""
        return {self._name(offset): self._arguments(type_id) for offset, type_id in self._functions.items()}

    def function_id(self, function: str) -> Optional[int]:
        """The number of one of this section's functions; None if there is no such function."""
        offset = self._offset_of_name(function)
        if offset is None and self.base is not None:
            offset = self.base._offset_of_name(function)
        return None if offset is None else self._functions.get(offset)

    def arguments(self, function: str) -> Optional[int]:
        """How many arguments one of this section's functions takes; None if there is no such function."""
        type_id = self.function_id(function)
        return None if type_id is None else self._arguments(type_id)

    def _arguments(self, type_id: int) -> int:
        words, position = self._type(type_id)
        words, position = self._type(words[position + 2])  # the prototype
        return words[position + 1] & 0xFFFF

    def struct_id(self, name: str) -> int:
        """The BTF id of a structure.  Raises BtfError if there is none."""
        # A split section may use a name that only the base's strings hold, so look by both.
        offset = self._offset_of_name(name)
        if offset is not None and offset in self._aggregates:
            return self._aggregates[offset]
        if self.base is not None:
            base_offset = self.base._offset_of_name(name)
            if base_offset is not None and base_offset in self._aggregates:
                return self._aggregates[base_offset]
            return self.base.struct_id(name)
        raise BtfError(f"no structure {name}")

    def _members(self, type_id: int) -> Iterable[Tuple[str, int, int]]:
        """(name, type, bit offset) of each member."""
        words, position = self._type(type_id)
        info = words[position + 1]
        bitfields = info >> 31
        for index in range(info & 0xFFFF):
            at = position + 3 + 3 * index
            bits = words[at + 2]
            yield self._name(words[at]), words[at + 1], bits & 0xFFFFFF if bitfields else bits

    def _resolve(self, type_id: int) -> int:
        while True:
            words, position = self._type(type_id)
            if (words[position + 1] >> 24) & 0x1F not in _TRANSPARENT:
                return type_id
            type_id = words[position + 2]

    def _find(self, type_id: int, member: str) -> Optional[Tuple[int, int]]:
        """(bit offset, type) of a member, also inside anonymous structures and unions."""
        for name, of_type, bits in self._members(type_id):
            if name == member:
                return bits, of_type
            if not name:
                inner = self._resolve(of_type)
                words, position = self._type(inner)
                if (words[position + 1] >> 24) & 0x1F in (_STRUCT, _UNION):
                    found = self._find(inner, member)
                    if found:
                        return bits + found[0], found[1]
        return None

    def offset(self, path: str) -> int:
        """Byte offset of `structure.member[.member..]`.  Raises BtfError if there is none."""
        name, *members = path.split(".")
        type_id, bits = self.struct_id(name), 0
        for member in members:
            found = self._find(self._resolve(type_id), member)
            if found is None:
                raise BtfError(f"{name} has no member {'.'.join(members)}")
            bits += found[0]
            type_id = found[1]
        return bits // 8


def read_btf(module: str, directory: str = "/sys/kernel/btf") -> Btf:
    """BTF of a loaded module on top of vmlinux.  Raises OSError, BtfError."""
    with open(f"{directory}/vmlinux", "rb") as stream:
        base = Btf(stream.read())
    with open(f"{directory}/{module}", "rb") as stream:
        return Btf(stream.read(), base)
