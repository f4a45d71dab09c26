"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.files import replace_file, write_atomically


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for content in ("old", "new ∞", b"\xff\x00"):
        write_atomically(tmp_path / "a", content)
        assert (tmp_path / "a").read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "old")
    with replace_file(tmp_path / "a") as file:
        file.write(b"half")
        file.flush()
        assert (tmp_path / "a").read_text() == "old"
        file.write(b" of it")
    assert (tmp_path / "a").read_text() == "half of it"


def test_an_error_while_writing_leaves_no_new_file(tmp_path: Path) -> None:
    def write_half() -> None:
        with replace_file(tmp_path / "a") as file:
            file.write(b"half")
            raise ValueError("in vain")

    with pytest.raises(ValueError, match="in vain"):
        write_half()
    assert list(tmp_path.iterdir()) == []
