"""Writes the part of docs/recording.md that schema.py and manifest.py know better.

python -m wgprof.recording.document docs/recording.md
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

from wgprof.recording.manifest import KEYS
from wgprof.recording.schema import SCHEMA_VERSION, TABLES, Column, Table

BEGIN = "<!-- begin: made by `python -m wgprof.recording.document docs/recording.md` -->"
END = "<!-- end -->"


def generated() -> str:
    """The manifest's keys and the tables' columns, in Markdown."""
    lines = [
        f"This is version {SCHEMA_VERSION} of the format.",
        "",
        "### manifest.json",
        "",
        "| key | holds | meaning |",
        "|---|---|---|",
        *(f"| `{key.name}` | {key.kind} | {key.meaning} |" for key in KEYS),
    ]
    for table in TABLES:
        lines += ["", *_table(table)]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    return [
        f"### {table.name}",
        "",
        f"{table.meaning[0].upper()}{table.meaning[1:]}.",
        "",
        "| column | type | meaning |",
        "|---|---|---|",
        *(f"| `{column.name}` | {_type(column)} | {column.meaning} |" for column in table.columns),
    ]


def _type(column: Column) -> str:
    if pa.types.is_dictionary(column.type):
        return "category"
    return str(column.type)


def updated(document: str) -> str:
    """The document with its generated part made anew.  Raises ValueError if the markers are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document has lost the markers of its generated part")
    return f"{before}{BEGIN}\n{generated()}\n{END}{after}"


def main() -> None:
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    main()
