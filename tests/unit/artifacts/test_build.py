"""Commits are resolved and built through a real SSH server, with git and a C compiler."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from factories.repository import BUILD, OUTPUTS, Source

from benchmark.artifacts import store as hosts
from benchmark.artifacts.binaries import artifact_name, find_binaries, pack
from benchmark.artifacts.build import build_artifact, build_key, resolve
from benchmark.artifacts.source import Origin, Revision
from benchmark.errors import HostError, SystemFailure, UsageError
from benchmark.protocols.process import Build
from benchmark.remote.fleet import Fleet
from benchmark.settings import Repository

HOST = "host-0"


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source.of_standin(tmp_path / "source")


class Host:
    """A host on which commits are resolved and built."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.working = fleet, str(folder / "working folder")
        self.log = folder / "build.log"

    def resolve(self, source: Source, ref: str) -> Revision:
        return resolve(self.fleet, self.working, HOST, origin(source, ref))

    def build(self, source: Source, commit: str, build: Build = BUILD, key: str = "k" * 64) -> hosts.HostCache:
        build_artifact(self.fleet, self.working, HOST, origin(source, commit), commit, build, key, self.log)
        return self.list()

    def list(self) -> hosts.HostCache:
        return hosts.parse_cache(self.run("list"))

    def run(self, verb: str, *arguments: str, stdin: bytes | None = None) -> str:
        command = hosts.command(self.working, verb, *arguments)
        return self.fleet.run(command, hosts=[HOST], stdin=stdin, deadline=30).raise_for_failures(verb)[HOST].stdout

    def read(self, name: str) -> str:
        return Path(self.working, "artifacts", name).read_text(encoding="utf-8")


@pytest.fixture
def host(fleet: Fleet, tmp_path: Path) -> Host:
    return Host(fleet, tmp_path)


def origin(source: Source, ref: str) -> Origin:
    return Origin.of(Repository(url=f"file://{source.folder}", commit=ref))


def script(text: str, *outputs: str) -> Build:
    return Build(packages=(), command=text, outputs=outputs)


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "v1.0", "refs/tags/v1.0", "topic/part"])
def test_names_are_resolved_to_the_full_hash(host: Host, source: Source, ref: str) -> None:
    source.git("tag", "--annotate", "v1.0", "--message", "first")
    source.git("branch", "topic/part")
    assert host.resolve(source, ref).commit == source.head


def test_full_and_abbreviated_hashes_are_resolved(host: Host, source: Source) -> None:
    first = source.head
    source.commit("second")
    assert host.resolve(source, first).commit == first
    assert host.resolve(source, first[:9]).commit == first


def test_commit_on_no_branch_is_resolved_by_its_hash(host: Host, source: Source) -> None:
    lost = source.commit("lost")
    source.git("reset", "--quiet", "--hard", "HEAD~1")
    assert host.resolve(source, lost).commit == lost
    assert host.build(source, lost, script("git rev-parse HEAD >out", "out")).built


def test_unknown_name_is_an_error_with_similar_names(host: Host, source: Source) -> None:
    source.git("tag", "v1.0")
    with pytest.raises(UsageError, match=r"no branch, tag or commit 'v1.1'; similar branches and tags: v1.0"):
        host.resolve(source, "v1.1")


@pytest.mark.parametrize("ref", ["f" * 40, "abcdef12", "refs/pull/1/head"])
def test_unknown_hash_is_an_error(host: Host, source: Source, ref: str) -> None:
    with pytest.raises(UsageError, match=rf"no branch, tag or commit '{ref}'.*main"):
        host.resolve(source, ref)


def test_name_of_both_branch_and_tag_is_an_error_unless_they_agree(host: Host, source: Source) -> None:
    source.git("branch", "both")
    source.git("tag", "both")
    assert host.resolve(source, "both").commit == source.head
    source.commit("later")
    source.git("branch", "--force", "both")
    with pytest.raises(UsageError, match=r"is both a branch and a tag.*write refs/heads/both or refs/tags/both"):
        host.resolve(source, "both")


def test_moved_branch_is_detected(host: Host, source: Source) -> None:
    first = source.head
    assert host.resolve(source, "main").previous is None
    assert not host.resolve(source, "main").moved
    second = source.commit("second")
    host.resolve(source, second)  # other fetches in between do not hide it
    found = host.resolve(source, "main")
    assert (found.commit, found.previous, found.moved) == (second, first, True)
    assert not host.resolve(source, "main").moved


def test_rewritten_branch_is_resolved_to_its_new_commit(host: Host, source: Source) -> None:
    host.resolve(source, "main")
    source.git("commit", "--quiet", "--amend", "--message", "rewritten")
    assert host.resolve(source, "main").commit == source.head


def test_missing_repository_is_named_in_the_error(host: Host, tmp_path: Path) -> None:
    missing = Origin.of(Repository(url=f"file://{tmp_path}/nothing"))
    with pytest.raises(UsageError, match=r"cannot read file://.*/nothing; git printed:(?s:.*)does not (exist|appear)"):
        resolve(host.fleet, host.working, HOST, missing)


def test_build_stores_its_outputs_under_the_digest_of_their_content(host: Host, source: Source) -> None:
    found = host.build(source, source.head, key="a" * 64)
    (name,) = found.artifacts
    assert found.built == {"a" * 64: name}
    folder = Path(host.working, "artifacts", name)
    assert {path.name for path in folder.iterdir()} == {"remora", "load_generator"}
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())
    assert set(hosts.parse_files(host.run("describe", name))) == {"remora", "load_generator"}
    assert "cc -O2" in host.log.read_text(encoding="utf-8")


def files_of(host: Host, cache: hosts.HostCache) -> set[str]:
    return set(hosts.parse_files(host.run("describe", cache.built["k" * 64])))


def test_build_files_at_the_top_of_the_commit_are_found(host: Host, source: Source) -> None:
    source.write("part/Cargo.toml", "")
    assert host.resolve(source, source.commit("part")).files == ("Makefile",)
    source.write("go.mod", "module x\n")
    assert host.resolve(source, source.commit("go")).files == ("Makefile", "go.mod")
    source.git("rm", "--quiet", "go.mod", "Makefile")
    assert host.resolve(source, source.commit("none")).files == ()


def test_outputs_are_found_by_name_anywhere_in_the_checkout(host: Host, source: Source) -> None:
    found = host.build(source, source.head, Build((), "make", ("remora",)))
    assert files_of(host, found) == {"remora"}


def test_without_outputs_all_executable_files_that_were_created_are_stored(host: Host, source: Source) -> None:
    source.write("configure", "#!/bin/sh\n")
    (source.folder / "configure").chmod(0o755)
    source.write(".gitignore", "target\n")
    commit = source.commit("a script")
    found = host.build(source, commit, Build((), "make; mkdir 'a b'; echo 1 >'a b/x y'; chmod +x 'a b/x y'; touch z"))
    assert files_of(host, found) == {"remora", "load_generator", "replica", "x y"}


@pytest.mark.parametrize(
    ("command", "outputs", "message"),
    [
        ("true", (), "left no executable file; name its `outputs`"),
        ("make", ("remoar",), "left no file remoar"),
        ("make", ("other/remora",), "left no file other/remora"),
        ("make; cp target/release/remora .libs", ("remora",), None),
        (
            "make; mkdir libs; cp target/release/remora libs",
            ("remora",),
            r"several files of one name; .* in `outputs`: libs/remora target/release/remora",
        ),
        ("make; mkdir libs; cp target/release/remora libs", (), "several files of one name"),
        ("make; mkdir libs; cp target/release/remora libs", ("libs/remora", "load_generator"), None),
    ],
)
def test_outputs_must_be_unambiguous(
    host: Host, source: Source, command: str, outputs: tuple[str, ...], message: str | None
) -> None:
    if message is None:
        assert host.build(source, source.head, Build((), command, outputs)).built
        return
    with pytest.raises(SystemFailure, match=message):
        host.build(source, source.head, Build((), command, outputs))


def test_builds_with_equal_outputs_share_one_artifact(host: Host, source: Source) -> None:
    host.build(source, source.head, script("echo same >x", "x"), key="a" * 64)
    found = host.build(source, source.commit("second"), script("echo same >sub; mv sub x", "x"), key="b" * 64)
    assert found.built["a" * 64] == found.built["b" * 64]


def test_requested_commit_is_built_after_the_branch_moved(host: Host, source: Source) -> None:
    source.write("name", "first\n")
    first = source.commit("first")
    source.write("name", "second\n")
    source.commit("second")
    found = host.build(source, first, script("cat name >out; git rev-parse HEAD >>out", "out"))
    assert host.read(f"{found.built['k' * 64]}/out").split() == ["first", first]


def test_builds_share_the_build_cache_but_no_outputs(host: Host, source: Source) -> None:
    host.build(source, source.head, script('touch left "$BUILD_CACHE/kept"; echo 1 >out', "out"))
    with pytest.raises(SystemFailure, match="left no file left"):
        host.build(source, source.head, script('test -e "$BUILD_CACHE/kept"', "left"))


def test_submodules_are_checked_out_at_their_commits(host: Host, source: Source, tmp_path: Path) -> None:
    part = Source(tmp_path / "part")
    part.write("version", "one\n")
    part.commit("one")
    source.git("submodule", "--quiet", "add", "../part", "part")
    commit = source.commit("with a part")
    part.write("version", "two\n")
    part.commit("two")
    found = host.build(source, commit, script("cp part/version out", "out"))
    assert host.read(f"{found.built['k' * 64]}/out") == "one\n"


def test_failed_build_reports_the_compilers_errors(host: Host, source: Source) -> None:
    source.write("remora.c", "int main(void) { return missing; }\n")
    with pytest.raises(SystemFailure) as caught:
        host.build(source, source.commit("broken"))
    message = str(caught.value)
    assert f"building {source.head[:8]} of file://{source.folder} on {HOST} failed with exit code 2" in message
    assert "remora.c:1:25: error: ‘missing’ undeclared" in message or "error: 'missing' undeclared" in message  # noqa: RUF001
    assert str(host.log) in message
    assert not host.list().built


def test_failing_command_within_a_pipe_fails_the_build(host: Host, source: Source) -> None:
    with pytest.raises(SystemFailure, match="exit code 3"):
        host.build(source, source.head, script("touch out; (exit 3) | cat; true", "out"))


def test_unclean_checkout_is_an_error(host: Host, source: Source) -> None:
    source.write(".gitattributes", "file text eol=crlf\n")
    source.write("file", "x\n")
    source.git("add", "--all")
    # Git normalizes the line ends of this file, so it differs from the commit right after the checkout.
    source.write("raw", "a\r\nb\r\n")
    raw = source.git("hash-object", "-w", "--no-filters", "raw")
    source.git("update-index", "--add", "--cacheinfo", f"100644,{raw},file")
    source.git("commit", "--quiet", "--message", "unclean")
    with pytest.raises(HostError, match=r"did not complete(?s:.*)exit code 6"):
        host.build(source, source.head, script("true", "file"))
    assert "changed:\n M file" in host.log.read_text(encoding="utf-8")


def test_tracked_files_that_the_build_changes_are_listed(host: Host, source: Source) -> None:
    found = host.build(source, source.head, script("echo '# more' >>Makefile; touch new; echo 1 >out", "out"))
    assert found.changed == {"k" * 64: ("Makefile",)}


def test_sparse_outputs_stay_sparse(host: Host, source: Source) -> None:
    found = host.build(source, source.head, script("head -c 64M /dev/zero >out; echo end >>out", "out"))
    file = Path(host.working, "artifacts", found.built["k" * 64], "out").stat()
    assert file.st_size == (64 << 20) + 4
    assert file.st_blocks * 512 < 1 << 20


def test_build_stops_when_the_connection_closes(host: Host, source: Source, tmp_path: Path) -> None:
    command = f"echo $$ >{tmp_path}/pid; sleep 1000 & wait"
    words = hosts.command(host.working, "build", f"file://{source.folder}", source.head, "k" * 64, command)
    session = host.fleet.open(words, hosts=[HOST], deadline=10).raise_for_failures("build")[HOST]
    session.send("\n\n")
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    session.close()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_uploaded_artifact_must_match_its_name(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "binaries"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / name).write_text(f"#!/bin/sh\necho {name}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    files = find_binaries(folder, ())
    name = artifact_name(files)
    assert host.run("store", name, stdin=pack(files)).strip() == name
    assert host.list().artifacts == {name}
    with pytest.raises(HostError, match="exit code 6"):
        host.run("store", "0" * 64, stdin=pack(files))
    assert host.list().artifacts == {name}
    assert [path.name for path in Path(host.working, "artifacts").glob(".*")] == []


def test_build_key_changes_with_everything_that_the_result_depends_on(source: Source) -> None:
    one = origin(source, "main")
    keys = [
        build_key(one, "c1", BUILD, "x86_64"),
        build_key(one, "c2", BUILD, "x86_64"),
        build_key(one, "c1", BUILD, "aarch64"),
        build_key(one, "c1", script("make", *OUTPUTS), "x86_64"),
        build_key(one, "c1", Build(BUILD.packages, "make all", OUTPUTS), "x86_64"),
        build_key(one, "c1", Build(BUILD.packages, "make", OUTPUTS[:1]), "x86_64"),
        build_key(Origin("file:///other", "main"), "c1", BUILD, "x86_64"),
    ]
    assert len(set(keys)) == len(keys)
    with_token = Origin.of(Repository(url="https://SECRET@git.example.org/x", commit="main"))
    without = Origin.of(Repository(url="https://git.example.org/x", commit="v1"))
    assert build_key(with_token, "c1", BUILD, "x86_64") == build_key(without, "c1", BUILD, "x86_64")
