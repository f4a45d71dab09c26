"""Commits found and built through a real SSH server, by the real git and the real compiler."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from factories.repository import BUILD, OUTPUTS, Source

from benchmark.artifacts import store as hosts
from benchmark.artifacts.build import build_artifact, key_of, resolve
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
    """One host, on which commits are found and built."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.fleet, self.working = fleet, str(folder / "working folder")
        self.log = folder / "build.log"

    def resolve(self, source: Source, ref: str) -> Revision:
        return resolve(self.fleet, self.working, HOST, origin(source, ref))

    def build(self, source: Source, commit: str, build: Build = BUILD, key: str = "k" * 64) -> hosts.Holdings:
        build_artifact(self.fleet, self.working, HOST, origin(source, commit), commit, build, key, self.log)
        return self.look()

    def look(self) -> hosts.Holdings:
        return hosts.parse_holdings(self.ask("list"))

    def ask(self, verb: str, *arguments: str, stdin: bytes | None = None) -> str:
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


def test_hashes_are_resolved_whole_and_abbreviated(host: Host, source: Source) -> None:
    first = source.head
    source.commit("second")
    assert host.resolve(source, first).commit == first
    assert host.resolve(source, first[:9]).commit == first


def test_a_commit_that_no_branch_has_any_more_is_found_by_its_hash(host: Host, source: Source) -> None:
    lost = source.commit("lost")
    source.git("reset", "--quiet", "--hard", "HEAD~1")
    assert host.resolve(source, lost).commit == lost
    assert host.build(source, lost, script("git rev-parse HEAD >out", "out")).built


def test_a_missing_name_is_refused_with_the_nearest_ones(host: Host, source: Source) -> None:
    source.git("tag", "v1.0")
    with pytest.raises(UsageError, match=r"no branch, tag or commit 'v1.1'; the nearest branches and tags are: v1.0"):
        host.resolve(source, "v1.1")


@pytest.mark.parametrize("ref", ["f" * 40, "abcdef12", "refs/pull/1/head"])
def test_a_missing_hash_is_refused(host: Host, source: Source, ref: str) -> None:
    with pytest.raises(UsageError, match=rf"no branch, tag or commit '{ref}'.*main"):
        host.resolve(source, ref)


def test_a_name_of_a_branch_and_a_tag_is_refused_unless_they_agree(host: Host, source: Source) -> None:
    source.git("branch", "both")
    source.git("tag", "both")
    assert host.resolve(source, "both").commit == source.head
    source.commit("later")
    source.git("branch", "--force", "both")
    with pytest.raises(UsageError, match=r"is a branch and a tag.*write refs/heads/both or refs/tags/both"):
        host.resolve(source, "both")


def test_a_branch_that_moved_is_seen_and_one_that_stayed_is_not(host: Host, source: Source) -> None:
    first = source.head
    assert host.resolve(source, "main").previous is None
    assert not host.resolve(source, "main").moved
    second = source.commit("second")
    host.resolve(source, second)  # what else is fetched meanwhile does not hide it
    found = host.resolve(source, "main")
    assert (found.commit, found.previous, found.moved) == (second, first, True)
    assert not host.resolve(source, "main").moved


def test_a_branch_that_was_rewritten_is_followed(host: Host, source: Source) -> None:
    host.resolve(source, "main")
    source.git("commit", "--quiet", "--amend", "--message", "rewritten")
    assert host.resolve(source, "main").commit == source.head


def test_a_repository_that_is_not_there_is_named(host: Host, tmp_path: Path) -> None:
    missing = Origin.of(Repository(url=f"file://{tmp_path}/nothing"))
    with pytest.raises(UsageError, match=r"cannot read file://.*/nothing; git said:(?s:.*)does not (exist|appear)"):
        resolve(host.fleet, host.working, HOST, missing)


def test_a_build_leaves_its_outputs_under_the_name_of_their_content(host: Host, source: Source) -> None:
    found = host.build(source, source.head, key="a" * 64)
    (name,) = found.artifacts
    assert found.built == {"a" * 64: name}
    folder = Path(host.working, "artifacts", name)
    assert {path.name for path in folder.iterdir()} == {"remora", "load_generator"}
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())
    assert set(hosts.parse_files(host.ask("describe", name))) == {"remora", "load_generator"}
    assert "cc -O2" in host.log.read_text(encoding="utf-8")


def test_equal_content_has_one_name_whatever_it_was_built_from(host: Host, source: Source) -> None:
    host.build(source, source.head, script("echo same >x", "x"), key="a" * 64)
    found = host.build(source, source.commit("second"), script("echo same >sub; mv sub x", "x"), key="b" * 64)
    assert found.built["a" * 64] == found.built["b" * 64]


def test_exactly_the_commit_is_built_whatever_the_branch_is_now(host: Host, source: Source) -> None:
    source.write("name", "first\n")
    first = source.commit("first")
    source.write("name", "second\n")
    source.commit("second")
    found = host.build(source, first, script("cat name >out; git rev-parse HEAD >>out", "out"))
    assert host.read(f"{found.built['k' * 64]}/out").split() == ["first", first]


def test_nothing_of_an_earlier_build_is_taken_for_the_next_but_the_cache_is_kept(host: Host, source: Source) -> None:
    host.build(source, source.head, script('touch left "$BUILD_CACHE/kept"; echo 1 >out', "out"))
    with pytest.raises(SystemFailure, match="left no file left"):
        host.build(source, source.head, script('test -e "$BUILD_CACHE/kept"', "left"))


def test_sub_modules_are_checked_out_at_their_commits(host: Host, source: Source, tmp_path: Path) -> None:
    part = Source(tmp_path / "part")
    part.write("version", "one\n")
    part.commit("one")
    source.git("submodule", "--quiet", "add", "../part", "part")
    commit = source.commit("with a part")
    part.write("version", "two\n")
    part.commit("two")
    found = host.build(source, commit, script("cp part/version out", "out"))
    assert host.read(f"{found.built['k' * 64]}/out") == "one\n"


def test_a_broken_commit_fails_with_the_compilers_lines(host: Host, source: Source) -> None:
    source.write("remora.c", "int main(void) { return missing; }\n")
    with pytest.raises(SystemFailure) as caught:
        host.build(source, source.commit("broken"))
    said = str(caught.value)
    assert f"building {source.head[:8]} of file://{source.folder} on {HOST} failed with exit code 2" in said
    assert "remora.c:1:25: error: ‘missing’ undeclared" in said or "error: 'missing' undeclared" in said  # noqa: RUF001
    assert str(host.log) in said
    assert not host.look().built


def test_a_pipe_that_fails_in_the_middle_fails_the_build(host: Host, source: Source) -> None:
    with pytest.raises(SystemFailure, match="exit code 3"):
        host.build(source, source.head, script("touch out; (exit 3) | cat; true", "out"))


def test_a_checkout_that_is_not_clean_is_refused(host: Host, source: Source) -> None:
    source.write(".gitattributes", "file text eol=crlf\n")
    source.write("file", "x\n")
    source.git("add", "--all")
    # A file stored with line ends that its own attributes forbid is changed as soon as it is checked out.
    source.write("raw", "a\r\nb\r\n")
    raw = source.git("hash-object", "-w", "--no-filters", "raw")
    source.git("update-index", "--add", "--cacheinfo", f"100644,{raw},file")
    source.git("commit", "--quiet", "--message", "unclean")
    with pytest.raises(HostError, match=r"came to no end(?s:.*)exit code 6"):
        host.build(source, source.head, script("true", "file"))
    assert "changed:\n M file" in host.log.read_text(encoding="utf-8")


def test_files_that_the_build_itself_changes_are_named(host: Host, source: Source) -> None:
    found = host.build(source, source.head, script("echo '# more' >>Makefile; touch new; echo 1 >out", "out"))
    assert found.changed == {"k" * 64: ("Makefile",)}


def test_holes_of_the_outputs_stay_holes(host: Host, source: Source) -> None:
    found = host.build(source, source.head, script("head -c 64M /dev/zero >out; echo end >>out", "out"))
    file = Path(host.working, "artifacts", found.built["k" * 64], "out").stat()
    assert file.st_size == (64 << 20) + 4
    assert file.st_blocks * 512 < 1 << 20


def test_a_build_ends_when_the_operator_is_gone(host: Host, source: Source, tmp_path: Path) -> None:
    command = f"echo $$ >{tmp_path}/pid; sleep 1000 & wait"
    words = hosts.command(host.working, "build", f"file://{source.folder}", source.head, "k" * 64, command)
    session = host.fleet.open(words, hosts=[HOST], deadline=10).raise_for_failures("build")[HOST]
    session.send("\n\n")
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    session.close()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_brought_is_only_taken_under_its_own_name(host: Host, tmp_path: Path) -> None:
    from benchmark.artifacts.binaries import find_binaries, name_of, pack

    folder = tmp_path / "binaries"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / name).write_text(f"#!/bin/sh\necho {name}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    files = find_binaries(folder, ())
    name = name_of(files)
    assert host.ask("store", name, stdin=pack(files)).strip() == name
    assert host.look().artifacts == {name}
    with pytest.raises(HostError, match="exit code 6"):
        host.ask("store", "0" * 64, stdin=pack(files))
    assert host.look().artifacts == {name}
    assert [path.name for path in Path(host.working, "artifacts").glob(".*")] == []


def test_the_key_changes_with_everything_that_the_result_depends_on(source: Source) -> None:
    one = origin(source, "main")
    keys = [
        key_of(one, "c1", BUILD, "x86_64"),
        key_of(one, "c2", BUILD, "x86_64"),
        key_of(one, "c1", BUILD, "aarch64"),
        key_of(one, "c1", script("make", *OUTPUTS), "x86_64"),
        key_of(one, "c1", Build(BUILD.packages, "make all", OUTPUTS), "x86_64"),
        key_of(one, "c1", Build(BUILD.packages, "make", OUTPUTS[:1]), "x86_64"),
        key_of(Origin("file:///other", "main"), "c1", BUILD, "x86_64"),
    ]
    assert len(set(keys)) == len(keys)
    with_token = Origin.of(Repository(url="https://SECRET@git.example.org/x", commit="main"))
    without = Origin.of(Repository(url="https://git.example.org/x", commit="v1"))
    assert key_of(with_token, "c1", BUILD, "x86_64") == key_of(without, "c1", BUILD, "x86_64")
