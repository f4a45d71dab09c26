"""The output of artifacts.sh is parsed."""

from __future__ import annotations

from benchmark.artifacts.store import File, HostCache, index_entry, parse_cache, parse_files


def test_cache_is_parsed_without_builds_whose_artifact_was_removed() -> None:
    text = "arch x86_64\nartifact aa\nbuilt k1 aa\nchanged k1 a file\nchanged k1 b\nbuilt k2 bb\n"
    assert parse_cache(text) == HostCache("x86_64", frozenset({"aa"}), {"k1": "aa"}, {"k1": ("a file", "b")})


def test_index_entry_has_the_format_of_the_hosts() -> None:
    path, content = index_entry("work", "k1", "aa", ("a file",))
    assert (path, content) == ("work/artifacts/index/k1", b"artifact aa\nchanged a file\n")


def test_files_are_parsed() -> None:
    assert parse_files("file ab 12 a name\nfile cd 0 b\n") == {"a name": File("ab", 12), "b": File("cd", 0)}
