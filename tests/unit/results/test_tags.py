"""Tags are kept in the folder of a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.results.tags import TAGS, change_tags, read_tags


def test_tags_are_added_and_removed(tmp_path: Path) -> None:
    assert change_tags(tmp_path, ["b", "a"]) == ("a", "b")
    assert change_tags(tmp_path, ["c"], ["a", "unknown"]) == ("b", "c")
    assert read_tags(tmp_path) == ("b", "c")


@pytest.mark.parametrize("tag", ["", "two words", "-x", "a/b", "\x1b[2J", "x" * 65])
def test_impossible_tag_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(UsageError, match="expected at most 64 letters"):
        change_tags(tmp_path, ["good", tag])
    assert read_tags(tmp_path) == ()


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\x00"])
def test_damaged_file_means_no_tags(tmp_path: Path, text: str) -> None:
    (tmp_path / TAGS).write_text(text)
    assert read_tags(tmp_path) == ()
