"""docs/recording.md says what schema.py and manifest.py say."""

from __future__ import annotations

from pathlib import Path

import pytest

from wgprof.recording.document import generated, updated
from wgprof.recording.manifest import KEYS
from wgprof.recording.schema import TABLES

DOCUMENT = Path(__file__).parents[2] / "docs" / "recording.md"


def test_the_document_is_up_to_date() -> None:
    text = DOCUMENT.read_text()
    assert updated(text) == text, "run: python -m wgprof.recording.document docs/recording.md"


def test_everything_is_documented() -> None:
    text = generated()
    for table in TABLES:
        assert f"### {table.name}\n" in text
        assert table.meaning and all(column.meaning for column in table.columns)
    assert all(f"`{key.name}`" in text for key in KEYS)


def test_a_document_without_markers_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="markers"):
        updated("# nothing")
