"""Reads files of older formats: one step from each schema version to the next.

A step is a pair of pure functions, so that tables are upgraded only when somebody asks for them.  The
first format is version 1; a change of schema.py that older files do not fit raises SCHEMA_VERSION and
adds its step here, with a test on a file of the old version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Step:
    """How a file of one version becomes one of the next.

    `schemas` are those of the tables as the old version had them; a table that is not there is the same
    in both, and None a table that the old version lacked.  `table` makes a new table of an old one.
    """

    schemas: Mapping[str, pa.Schema | None]
    manifest: Callable[[dict[str, Any]], dict[str, Any]]
    table: Callable[[str, pa.Table | None], pa.Table]


#: Schema version -> the step from it to the next.
STEPS: dict[int, Step] = {}


def upgradable(version: int, to: int) -> bool:
    """Whether there is a step for every version in between."""
    return all(step in STEPS for step in range(version, to))


def old_schema(name: str, version: int, to: int, current: pa.Schema) -> pa.Schema | None:
    """The schema a table had in a version; None if it did not exist yet."""
    for number in range(version, to):
        if name in STEPS[number].schemas:
            return STEPS[number].schemas[name]
    return current


def upgrade_manifest(manifest: dict[str, Any], version: int, to: int) -> dict[str, Any]:
    for number in range(version, to):
        manifest = STEPS[number].manifest(manifest)
    return manifest


def upgrade_table(name: str, table: pa.Table | None, version: int, to: int) -> pa.Table | None:
    for number in range(version, to):
        if name in STEPS[number].schemas:
            table = STEPS[number].table(name, table)
    return table
