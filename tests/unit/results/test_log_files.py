"""Logs of processes in the folder of a run."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.results.log_files import find_logs, read_log


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"x" * 999)[:20]], ids=["empty", "text", "cut off"])
def test_a_damaged_log_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.log.gz").write_bytes(content)
    if not content:
        assert read_log(tmp_path / "x.log.gz") == ""
        return
    with pytest.raises(UsageError, match=r"cannot read the log .*x\.log\.gz: "):
        read_log(tmp_path / "x.log.gz")


def test_logs_are_found_by_process(tmp_path: Path) -> None:
    for name in ("a-0/node-0", "a-0/client-0", "b-0/node-1"):
        (tmp_path / f"{name}.log.gz").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.log.gz").touch()
    assert [path.parent.name for path in find_logs(tmp_path, "node-1")] == ["b-0"]
    assert len(find_logs(tmp_path, None)) == 3
    with pytest.raises(UsageError, match=r"no logs of node-7 in .*; existing ones: client-0, node-0, node-1"):
        find_logs(tmp_path, "node-7")


def test_of_a_long_log_the_beginning_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.log.gz").write_bytes(gzip.compress(b"line\n" * 100))
    assert read_log(tmp_path / "x.log.gz", 7) == "line\nli"
