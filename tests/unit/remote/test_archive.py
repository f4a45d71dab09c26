"""Tar streams that the runner writes and reads, against the real tar."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from benchmark.remote.archive import File, pack, pack_command, unpack, unpack_command

LIMIT = 1 << 30


def shell(command: str, home: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command from `home`, as the SSH server does."""
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.run(
        ["sh", "-c", command], cwd=home, env=environment, input=stdin, capture_output=True, timeout=30
    )


def crafted(name: str, kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    """A compressed archive as a hostile host might send."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.size, entry.linkname = kind, 1 if kind == tarfile.REGTYPE else 0, "/etc/passwd"
        tar.addfile(entry, io.BytesIO(b"x"))
    return stream


def test_files_have_their_content_and_mode_whatever_the_umask(tmp_path: Path) -> None:
    files: dict[str, bytes | File] = {
        f"{tmp_path}/absolute/a": File(b"a" * 513, 0o755),
        "relative/b": b"",
        "ü and 'quotes' $HOME": File(b"c", 0o600),
        "long/" + "n" * 200: b"d",
    }
    done = shell(f"umask 077; {unpack_command()}", tmp_path, b"".join(pack(files)))
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "absolute/a").read_bytes() == b"a" * 513
    assert (tmp_path / "absolute/a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "relative/b").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "ü and 'quotes' $HOME").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "long" / ("n" * 200)).read_bytes() == b"d"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, (1 << 20) - 1, (3 << 20) + 5])
def test_the_standard_library_reads_the_stream(size: int) -> None:
    content = os.urandom(size)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack({"a": content, "b": b"after"})))) as tar:
        first, second = (tar.extractfile(name) for name in ("a", "b"))
        assert first is not None
        assert second is not None
        assert (first.read(), second.read()) == (content, b"after")


def test_chunks_are_small(tmp_path: Path) -> None:
    assert max(map(len, pack({"a": bytes(5 << 20)}))) <= 1 << 20


def test_copies_paths_under_their_base_names(tmp_path: Path) -> None:
    for name in ("one/x.log", "two/dir/y.log", "with space/-z"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    done = shell(pack_command([str(tmp_path / "one/x.log"), "two/dir", str(tmp_path / "with space/-z")]), tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert unpack(io.BytesIO(done.stdout), tmp_path / "got", LIMIT) is None
    assert {str(path.relative_to(tmp_path / "got")) for path in (tmp_path / "got").rglob("*") if path.is_file()} == {
        "x.log",
        "dir/y.log",
        "-z",
    }


def test_a_missing_path_does_not_lose_the_others(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("x", encoding="utf-8")
    done = shell(pack_command([str(tmp_path / "gone"), str(tmp_path / "none/gone"), "here"]), tmp_path)
    assert done.returncode == 2
    assert b"gone" in done.stderr
    unpack(io.BytesIO(done.stdout), tmp_path / "got", LIMIT)


def test_follows_links_on_the_host(tmp_path: Path) -> None:
    (tmp_path / "node-0.log").write_text("log", encoding="utf-8")
    (tmp_path / "latest").symlink_to("node-0.log")
    done = shell(pack_command(["latest"]), tmp_path)
    assert unpack(io.BytesIO(done.stdout), tmp_path / "got", LIMIT) is None
    assert (tmp_path / "got/latest").read_text(encoding="utf-8") == "log"
    assert not (tmp_path / "got/latest").is_symlink()


@pytest.mark.parametrize("name", ["/absolute", "../above", "a/../../above"])
def test_writes_nothing_outside_the_folder(tmp_path: Path, name: str) -> None:
    problem = unpack(crafted(name), tmp_path / "in/got", LIMIT)
    assert problem is not None
    assert "is outside the archive" in problem
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_writes_regular_files_only(tmp_path: Path, kind: bytes) -> None:
    assert unpack(crafted("thing", kind), tmp_path, LIMIT) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "broken", [b"", b"no archive", crafted("a").getvalue()[:60]], ids=["empty", "no archive", "cut off"]
)
def test_reports_a_broken_archive(tmp_path: Path, broken: bytes) -> None:
    problem = unpack(io.BytesIO(broken), tmp_path, LIMIT)
    assert problem is not None
    assert "cannot unpack the archive" in problem


def test_the_limit_counts_uncompressed_bytes(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(2 << 20))
    (tmp_path / "small").write_bytes(b"x")
    done = shell(pack_command(["small", "zeros"]), tmp_path)
    assert len(done.stdout) < 1 << 16
    problem = unpack(io.BytesIO(done.stdout), tmp_path / "got", 1 << 20)
    assert problem == "more than 1 MiB unpacked; ./zeros and all later files are missing"
    assert (tmp_path / "got/small").read_bytes() == b"x"
    assert not (tmp_path / "got/zeros").exists()
