"""Repositories that systems are built from: their credentials, and how names of commits are resolved."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from benchmark.errors import InfrastructureError, UsageError
from benchmark.remote.answers import reading
from benchmark.settings import Repository, redact
from benchmark.settings.redaction import REDACTED

_REF = re.compile(r"[A-Za-z0-9_][\w./@+#-]*")
_UNREACHABLE = re.compile(r"Could not resolve|timed out|Connection refused|Failed to connect|unreachable|early EOF")


@dataclass(frozen=True)
class Origin:
    """A repository's address without credentials, its credentials, and the requested commit."""

    url: str
    ref: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, repository: Repository) -> Origin:
        """Separate the credentials from the URL; UsageError for an invalid name of a commit.

        A token alone, as in `https://TOKEN@github.com/…`, is sent as the user name and as the password: GitHub, GitLab
        and Gitea expect it in one or the other.
        """
        if not _REF.fullmatch(repository.commit):
            raise UsageError(f"{repository.commit!r} is not a branch, tag or hash of a commit")
        parts = urlsplit(repository.url)
        if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
            return cls(repository.url, repository.commit)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        secret = unquote(password or user)
        return cls(redact(repository.url), repository.commit, unquote(user), secret)

    @property
    def secret_input(self) -> str:
        """Return what artifacts.sh reads from standard input; UsageError for credentials with a line break."""
        if "\n" in self.username + self.password:
            raise UsageError(
                "the credentials of the repository contain a line break; check the variable they come from"
            )
        return f"{self.username}\n{self.password}\n"

    def hide(self, text: str) -> str:
        """Return `text` without the credentials, in whatever form they occur in it."""
        for secret in (self.password, self.username):
            text = text.replace(secret, REDACTED) if len(secret) > 3 else text
        return redact(text)


@dataclass(frozen=True)
class Revision:
    """The commit that a name refers to, and the one it referred to when this testbed last resolved it."""

    commit: str
    previous: str | None = None
    previous_at: datetime | None = None
    files: tuple[str, ...] = ()
    """Those of the known build files (`TOOLCHAINS`) that it has at its top."""

    @property
    def moved(self) -> bool:
        """Whether the name referred to another commit before."""
        return self.previous is not None and self.previous != self.commit


def parse_revision(origin: Origin, lines: Sequence[str]) -> Revision:
    """Parse the output of `resolve`; UsageError with the most similar names if there is no such commit."""
    found: dict[str, list[list[str]]] = {}
    for kind, *words in filter(None, map(str.split, lines)):
        found.setdefault(kind, []).append(words)
    if "commit" in found:
        with reading("the commit of a repository", "\n".join(lines)):
            (commit,) = found["commit"][0]
            previous, when = found.get("previous", [["", "0"]])[0]
            moment = datetime.fromtimestamp(int(when), UTC) if previous else None
            return Revision(commit, previous or None, moment, tuple(name for (name,) in found.get("file", [])))
    if "ambiguous" in found:
        raise UsageError(
            f"{origin.ref!r} is both a branch and a tag of {origin.url}, with different commits; "
            f"write refs/heads/{origin.ref} or refs/tags/{origin.ref}"
        )
    known = [words[0] for words in found.get("known", []) if words]
    near = difflib.get_close_matches(origin.ref, known, n=5, cutoff=0.5) or known[:5]
    hint = f"similar branches and tags: {', '.join(near)}" if near else "it has no branches and no tags"
    raise UsageError(f"{origin.url} has no branch, tag or commit {origin.ref!r}; {hint}")


def unreadable(origin: Origin, output: str) -> Exception:
    """Return the error for a repository that git could not read; `output` is what git printed."""
    shown = "\n".join(f"  {line}" for line in origin.hide(output).strip().splitlines()[-5:])
    message = f"the build host cannot read {origin.url}; git printed:\n{shown}\n"
    if _UNREACHABLE.search(output):
        return InfrastructureError(message + "check the address, and whether that host can reach it")
    access = (
        "whether the token is valid for it"
        if origin.password
        else "for a private repository, include a token in its URL, such as https://${TOKEN}@github.com/…"
    )
    return UsageError(f"{message}check the address, and {access}")
