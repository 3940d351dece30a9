"""Replaces what identifies people in a recording: public keys, addresses and host names, by labels.

The same key or address gets the same label everywhere in one recording; labels of two recordings say
nothing about each other, because their order comes from a random salt.  Names of interfaces, network
namespaces and threads stay, but for keys and addresses in them.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from wgprof.recording import parquet
from wgprof.recording.manifest import KEYS
from wgprof.recording.reader import Recording
from wgprof.recording.schema import BY_NAME, TABLES

#: A Curve25519 key in base64: 43 characters, the last of which carries four bits.
_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(?![A-Za-z0-9+/=])")
_IPV4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
_IPV6 = r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])"
_MAC = r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])"
_ADDRESS = re.compile(f"{_MAC}|{_IPV6}|{_IPV4}")
#: Keys of the manifest's `target` that name a machine or a person.
_NAMES = frozenset({"host", "hostname", "user"})
#: The tables with free text or keys in them, and the one that names interfaces by category.
_TABLES = (
    *(table.name for table in TABLES if any(column.type == pa.string() for column in table.columns)),
    "interfaces",
)
#: The manifest's own words stay, even where a host is called like one.
_WORDS = frozenset(word for key in KEYS for word in re.split(r"\W+", key.name))


def anonymous(recording: Recording) -> Recording:
    """A recording without public keys, addresses and host names, all of its tables in memory."""
    manifest, tables = anonymized(recording.manifest, {table.name: recording.arrow(table.name) for table in TABLES})
    return Recording.from_tables(manifest, tables)


def anonymized(
    manifest: Mapping[str, Any], tables: Mapping[str, pa.Table | Path], salt: bytes | None = None
) -> tuple[dict[str, Any], dict[str, pa.Table | Path]]:
    """A manifest and tables without public keys, addresses (IP and MAC) and host names.

    Keys become `peer-1`, `peer-2`, .., addresses `addr-1`, .. (ports stay), names `host-1`, ..  The
    arguments are not changed.  `salt` is for tests; it is random otherwise.
    """
    salt = salt or secrets.token_bytes(16)
    small = {name: _in_memory(name, tables[name]) for name in _TABLES if name in tables}
    texts = [*_strings(manifest), *(text for name in small for text in _table_strings(small[name]))]
    keys = {key for text in texts for key in _KEY.findall(text)} | _column(small, "public_key")
    addresses = {_canonical(found) for text in texts for found in _addresses(text)}
    hosts = {name for name in _host_names(manifest.get("target")) if not list(_addresses(name))}
    labels = _labels("peer", keys, salt) | _labels("addr", addresses, salt) | _labels("host", hosts, salt)
    replace = _replacer(labels, keys | hosts)
    whole = _mapped(dict(manifest), replace)
    assert isinstance(whole, dict)
    return {**whole, "anonymized": True}, {**tables, **{n: _mapped_table(small[n], replace) for n in small}}


def _in_memory(name: str, data: pa.Table | Path) -> pa.Table:
    """A table that may have grown so large (those of interfaces do in days) that it lies in a file."""
    if isinstance(data, Path):
        return parquet.decode(BY_NAME[name].arrow, data.read_bytes(), f"table {name}")
    return data


def _labels(word: str, values: Iterable[str], salt: bytes) -> dict[str, str]:
    order = sorted(values, key=lambda value: hashlib.blake2b(value.encode(), key=salt).digest())
    return {value: f"{word}-{number}" for number, value in enumerate(order, start=1)}


def _replacer(labels: Mapping[str, str], literal: Iterable[str]) -> Callable[[str], str]:
    words = sorted((word for word in literal if word), key=len, reverse=True)
    whole = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words)) if words else None

    def replace(text: str) -> str:
        if whole is not None:
            text = whole.sub(lambda match: labels[match.group()], text)
        return _ADDRESS.sub(lambda match: labels.get(_canonical(match.group()), match.group()), text)

    return replace


def _addresses(text: str) -> Iterable[str]:
    return (match.group() for match in _ADDRESS.finditer(text) if _identifies(match.group()))


def _identifies(found: str) -> bool:
    """Whether this is an address, and one of somebody: not a version, a time, a loopback."""
    if re.fullmatch(_MAC, found):
        return True
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _canonical(found: str) -> str:
    """One spelling for one address."""
    try:
        return str(ipaddress.ip_address(found))
    except ValueError:
        return found.lower()


def _strings(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _table_strings(table: pa.Table) -> Iterable[str]:
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            yield from (str(text) for chunk in _dictionaries(column) for text in chunk.dictionary.to_pylist())
        elif column.type == pa.string():
            yield from (text for text in column.to_pylist() if isinstance(text, str))


def _column(tables: Mapping[str, pa.Table], name: str) -> set[str]:
    found = tables["objects"].column(name).to_pylist() if "objects" in tables else []
    return {value for value in found if isinstance(value, str) and value}


def _host_names(target: object) -> set[str]:
    if not isinstance(target, Mapping):
        return set()
    return {value for name, value in target.items() if name in _NAMES and isinstance(value, str) and value}


def _mapped(value: object, replace: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {key if key in _WORDS else replace(key): _mapped(item, replace) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, replace) for item in value]
    return value


def _mapped_table(table: pa.Table, replace: Callable[[str], str]) -> pa.Table:
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field, _mapped_categories(column, replace).cast(field.type))
        elif field.type == pa.string():
            texts = [replace(text) if isinstance(text, str) else text for text in column.to_pylist()]
            table = table.set_column(index, field, pa.array(texts, pa.string()))
    return table


def _mapped_categories(column: pa.ChunkedArray[Any], replace: Callable[[str], str]) -> pa.ChunkedArray[Any]:
    """A category column with its names replaced; what is then one name is one category."""
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices, pa.array([replace(str(text)) for text in chunk.dictionary.to_pylist()], pa.string())
        ).dictionary_decode()
        for chunk in _dictionaries(column)
    ]
    return pa.chunked_array(chunks, pa.string()).dictionary_encode()


def _dictionaries(column: pa.ChunkedArray[Any]) -> list[pa.DictionaryArray[Any, Any]]:
    return [chunk for chunk in column.chunks if isinstance(chunk, pa.DictionaryArray)]
