"""Binaries supplied by the user are selected, named and packed."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.artifacts.binaries import artifact_name, find_binaries, pack, require_used
from benchmark.errors import UsageError
from benchmark.protocols.process import Process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("remora", "load_generator", "B"):
        (tmp_path / name).write_text(name, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "notes.txt").write_text("not executable", encoding="utf-8")
    (tmp_path / "deps").mkdir()
    return tmp_path


def test_binaries_are_those_of_the_protocol_or_all_executable_files(folder: Path) -> None:
    assert list(find_binaries(folder, ["remora", "load_generator"])) == ["load_generator", "remora"]
    assert list(find_binaries(folder, ())) == ["B", "load_generator", "remora"]


def test_missing_binaries_are_an_error_with_those_available(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"file replica, notes.txt; available: B, load_generator, remora"):
        find_binaries(folder, ["remora", "replica", "notes.txt"])
    with pytest.raises(UsageError, match="is not a folder"):
        find_binaries(folder / "none", ())
    with pytest.raises(UsageError, match="no executable files; available: none"):
        find_binaries(folder / "deps", ())


@pytest.mark.parametrize(
    ("argv", "files", "used"),
    [
        (("remora", "--id", "0"), {}, True),
        (("bash", "-c", "cd data; exec ./B --flag"), {}, True),
        (("bash", "start.sh"), {"start.sh": "exec load_generator"}, True),
        (("etcd", "--name", "remora-1"), {"binary": b"remora"}, False),
    ],
)
def test_binaries_that_no_process_runs_are_an_error(
    folder: Path, argv: tuple[str, ...], files: dict[str, str | bytes], used: bool
) -> None:
    process = Process("node-0", "node", inventory(a=1).hosts[0], argv, files=files)
    expected = pytest.raises(UsageError, match="no node runs any of B, load_generator, remora, they run etcd; check")
    with nullcontext() if used else expected:
        require_used(folder, [process])


def test_artifact_name_is_the_output_of_sha256sum(folder: Path) -> None:
    (folder / "notes.txt").unlink()
    (folder / "deps").rmdir()
    done = subprocess.run(
        "LC_ALL=C; sha256sum -- * | sha256sum", shell=True, cwd=folder, capture_output=True, check=True
    )
    assert artifact_name(find_binaries(folder, ())) == done.stdout.split()[0].decode()


def test_packing_is_reproducible_and_complete(folder: Path) -> None:
    files = find_binaries(folder, ())
    packed = pack(files)
    (folder / "B").touch()
    assert pack(files) == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert {entry.name: (entry.size, entry.mode) for entry in tar} == {name: (len(name), 0o555) for name in files}
