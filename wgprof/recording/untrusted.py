"""Taking values out of JSON that somebody else wrote.

A frame stream comes from a process that may have died in the middle of it, and a recording from a
stranger.  Everything read from either goes through here, once: wrong types and numbers out of
range raise `Damage`; strings are bounded and made valid Unicode.
"""

from __future__ import annotations

import json
import math
from typing import Any

from wgprof.errors import RecordingError

#: The largest 64 bit number a table can hold.
MAX_INT = (1 << 63) - 1
MAX_TEXT = 4096
MAX_JSON = 16 << 20
MAX_DEPTH = 12
MAX_ITEMS = 100_000


class Damage(RecordingError):
    """A value that no agent writes."""


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `data`.  Raises Damage if it is anything else, too large or too deep."""
    if len(data) > MAX_JSON:
        raise Damage(f"{what} is {len(data)} bytes long")
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Damage(f"{what} is not JSON") from error
    return mapping(value, what)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def integer(value: object, what: str, low: int = 0, high: int = MAX_INT) -> int:
    """`value` as an integer in [low, high].  Raises Damage."""
    if type(value) is not int or not low <= value <= high:
        raise Damage(f"{what} is {_short(value)}, not a number from {low} to {high}")
    return value


def text(value: object, what: str, limit: int = MAX_TEXT) -> str:
    """`value` as a string, cut at `limit` characters.  Raises Damage if it is none."""
    if not isinstance(value, str):
        raise Damage(f"{what} is {_short(value)}, not a string")
    return value[:limit].encode("utf-8", "replace").decode()


def mapping(value: object, what: str) -> dict[str, Any]:
    """`value` as a JSON object.  Raises Damage."""
    if not isinstance(value, dict):
        raise Damage(f"{what} is {_short(value)}, not an object")
    return value


def items(value: object, what: str, limit: int = MAX_ITEMS) -> list[Any]:
    """`value` as a list of at most `limit` items.  Raises Damage."""
    if not isinstance(value, list) or len(value) > limit:
        raise Damage(f"{what} is {_short(value)}, not a list of at most {limit}")
    return value


def integers(value: object, what: str, count: int | None = None) -> list[int]:
    """`value` as a list of numbers, of `count` if that is given.  Raises Damage."""
    numbers = [integer(number, what) for number in items(value, what)]
    if count is not None and len(numbers) != count:
        raise Damage(f"{what} has {len(numbers)} numbers, not {count}")
    return numbers


def printable(value: str) -> str:
    """On one line, whatever a name holds."""
    return "".join(c if c.isprintable() else "?" for c in value)


def plain(value: object, what: str, depth: int = MAX_DEPTH) -> Any:
    """A copy of a JSON value with bounded depth, bounded strings and bounded integers, for the manifest."""
    if depth == 0:
        raise Damage(f"{what} is nested too deeply")
    if isinstance(value, dict):
        return {text(key, what): plain(item, what, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, what, depth - 1) for item in value]
    if isinstance(value, str):
        return text(value, what)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Damage(f"{what} is {value}")
        return value
    return integer(value, what, low=-MAX_INT, high=2 * MAX_INT + 1)


def _short(value: object) -> str:
    """A value as an error message can show it, without letting it fill the screen."""
    if isinstance(value, dict | list):
        return f"a {'object' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and not -MAX_INT <= value <= MAX_INT:
        return "a huge number"
    return ascii(value)[:40]
