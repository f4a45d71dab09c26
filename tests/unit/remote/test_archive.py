"""Tar streams that the runner writes and reads, against the real tar."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def compressed(*blocks: bytes, end: bytes = bytes(2 * tarfile.BLOCKSIZE)) -> io.BytesIO:
    """Compress the blocks of an archive, with its end."""
    return io.BytesIO(gzip.compress(b"".join(blocks) + end, 1))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def peak(archive: io.BytesIO, folder: Path) -> tuple[str | None, int]:
    """Unpack; return the problem and the most memory that was used, in bytes."""
    tracemalloc.start()
    try:
        problem = unpack(archive, folder, LIMIT)
        return problem, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_small_archive_with_a_huge_header_uses_little_memory(tmp_path: Path, kind: bytes) -> None:
    size = 64 << 20
    archive = compressed(header("x", size, kind), bytes(size), header("a", 0))
    assert len(archive.getvalue()) < 1 << 20
    problem, memory = peak(archive, tmp_path)
    assert problem == f"cannot unpack the archive: a header has {size} bytes"
    assert memory < 16 << 20


def test_a_small_archive_with_countless_files_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.remote.archive._MOST_FILES", 20)
    archive = compressed(*(header(f"f{index}", 0) for index in range(100)))
    assert unpack(archive, tmp_path, LIMIT) == "more than 20 files unpacked; f20 and all later files are missing"
    assert len(list(tmp_path.iterdir())) == 20


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    size = 64 << 20
    problem, memory = peak(compressed(header("a", size), bytes(size), header("b", 0)), tmp_path)
    assert problem is None
    assert (tmp_path / "a").stat().st_size == size
    assert (tmp_path / "b").exists()
    assert memory < 16 << 20


@pytest.mark.parametrize("size", [b"\xff\x00", b"\xfc\x00"], ids=["-256", "-1024"])
def test_negative_sizes_do_not_loop(tmp_path: Path, size: bytes) -> None:
    negative = bytearray(header("a", 0))
    negative[124:136] = b"\xff" * 10 + size  # in base 256
    negative[148:156] = b"        "
    negative[148:156] = b"%06o\0 " % sum(negative)
    problem = unpack(compressed(header("first", 512), bytes(512), bytes(negative)), tmp_path, LIMIT)
    assert problem is not None
    assert problem.startswith("cannot unpack the archive")


@pytest.mark.parametrize(
    "second", [b"?" + header("b", 0)[1:] + bytes(1024), b"?" * 512 + bytes(1024), header("b", 0)[:100], b""]
)
def test_a_damaged_or_missing_header_is_not_the_end(tmp_path: Path, second: bytes) -> None:
    problem = unpack(compressed(header("a", 3), b"abc".ljust(512, b"\0"), second, end=b""), tmp_path, LIMIT)
    assert problem is not None
    assert problem.startswith("cannot unpack the archive")
    assert (tmp_path / "a").read_bytes() == b"abc"


@settings(max_examples=80, derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3071), st.binary(min_size=1, max_size=4)), min_size=1, max_size=5),
    st.integers(0, 3072),
)
def test_no_damaged_archive_is_more_than_a_problem(damage: list[tuple[int, bytes]], length: int) -> None:
    whole = header("x", 30, tarfile.XHDTYPE) + b"30 path=other/name\n".ljust(512, b"\0") + header("a", 3)
    content = bytearray(whole + b"abc".ljust(512, b"\0") + header("d/b", 0)).ljust(3072, b"\0")
    for at, data in damage:
        content[at : at + len(data)] = data
    with tempfile.TemporaryDirectory() as folder:
        problem = unpack(compressed(bytes(content[:length])), Path(folder) / "in", 1 << 20)
        assert problem is None or problem.startswith(("cannot unpack the archive", "more than"))
        assert [path.name for path in Path(folder).iterdir()] == ["in"]
