"""Repositories: credentials are kept apart from addresses, and commits are resolved by name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmark.artifacts.source import Origin, Revision, parse_revision, unreadable
from benchmark.errors import InfrastructureError, UsageError
from benchmark.settings import Repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BEFORE = "f" * 40
SECRET = "ghp_s3cret"
ORIGIN = Origin("https://git.example.org/a/b", "main")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://git.example.org/a", ("https://git.example.org/a", "", "")),
        (f"https://{SECRET}@git.example.org/a", ("https://git.example.org/a", SECRET, SECRET)),
        (f"https://me:{SECRET}@git.example.org:8443/a", ("https://git.example.org:8443/a", "me", SECRET)),
        ("https://me:p%40ss@git.example.org/a", ("https://git.example.org/a", "me", "p@ss")),
        ("ssh://git@git.example.org/a", ("ssh://git@git.example.org/a", "", "")),
        ("git@git.example.org:a/b.git", ("git@git.example.org:a/b.git", "", "")),
        ("/srv/a@b", ("/srv/a@b", "", "")),
    ],
)
def test_credentials_are_separated_from_the_url(url: str, expected: tuple[str, str, str]) -> None:
    origin = Origin.of(Repository(url=url))
    assert (origin.url, origin.username, origin.password) == expected


@pytest.mark.parametrize("ref", ["-x", "--upload-pack=x", "a b", "main\nx", "$(x)", "main~1", "a:b"])
def test_invalid_name_of_a_commit_is_an_error(ref: str) -> None:
    with pytest.raises(UsageError, match="is not a branch, tag or hash"):
        Origin.of(Repository(url="/srv/a", commit=ref))


def test_credentials_are_two_lines_of_input() -> None:
    assert Origin("u", "main", "me", SECRET).secret_input == f"me\n{SECRET}\n"
    with pytest.raises(UsageError, match="line break"):
        _ = Origin("u", "main", "me", "a\nb").secret_input


def test_output_of_git_is_shown_without_credentials() -> None:
    origin = Origin(ORIGIN.url, "main", "me", SECRET)
    output = f"fatal: https://me:{SECRET}@git.example.org/a {SECRET} is bad"
    assert origin.hide(output) == "fatal: https://git.example.org/a REDACTED is bad"
    assert SECRET not in str(unreadable(origin, output))


@pytest.mark.parametrize(
    ("output", "error", "hint"),
    [
        ("fatal: Could not resolve host: git.example.org", InfrastructureError, "whether that host can reach it"),
        ("ssh: connect to host x port 22: Connection refused", InfrastructureError, "whether that host can reach it"),
        (
            "fatal: could not read Username for 'https://x'",
            UsageError,
            "include a token in its URL",
        ),
    ],
)
def test_unreadable_repository_is_an_infrastructure_or_a_usage_error(
    output: str, error: type[Exception], hint: str
) -> None:
    found = unreadable(ORIGIN, output)
    assert type(found) is error
    assert hint in str(found)
    assert output in str(found)


def test_revision_is_parsed_with_the_previous_one() -> None:
    found = parse_revision(ORIGIN, [f"previous {BEFORE} 1700000000", f"commit {COMMIT}"])
    assert found == Revision(COMMIT, BEFORE, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))
    assert found.moved
    assert not parse_revision(ORIGIN, [f"previous {COMMIT} 1700000000", f"commit {COMMIT}"]).moved
    assert not parse_revision(ORIGIN, [f"commit {COMMIT}"]).moved


def test_unknown_name_is_an_error_with_similar_names() -> None:
    names = [f"known {name}" for name in ("maint", "release", "main-2", "x")]
    with pytest.raises(UsageError, match=r"has no branch, tag or commit 'main'; similar .*: maint, main-2$"):
        parse_revision(ORIGIN, names)
    with pytest.raises(UsageError, match="it has no branches and no tags"):
        parse_revision(ORIGIN, [])
