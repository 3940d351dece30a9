"""docs/quality.md names every check and every cause of loss there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from wgprof.analysis.checks import MEANINGS
from wgprof.analysis.ledger import CAUSES

TEXT = (Path(__file__).parents[2] / "docs" / "quality.md").read_text()


def first_cells(heading: str) -> list[str]:
    """The first cells of the table under a heading."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows[1:]]


def test_every_check_is_described() -> None:
    assert {cell.partition(":")[0] for cell in first_cells("The checks")} == set(MEANINGS)


def test_every_cause_of_loss_is_described() -> None:
    described = {cause for cell in first_cells("The loss ledger") for cause in re.findall(r"`([\w-]+)`", cell)}
    assert described == {cause.split(" ")[0] for cause in CAUSES}
