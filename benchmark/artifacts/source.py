"""Where a system is built from: a repository, which of its commits, and the secret that opens it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from benchmark.errors import InfrastructureError, UsageError
from benchmark.settings import Repository, redact
from benchmark.settings.redaction import REDACTED

_REF = re.compile(r"[A-Za-z0-9_][\w./@+#-]*")
_UNREACHABLE = re.compile(r"Could not resolve|timed out|Connection refused|Failed to connect|unreachable|early EOF")


@dataclass(frozen=True)
class Origin:
    """A repository's address without secrets, the commit that is wanted, and what opens it."""

    url: str
    ref: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, repository: Repository) -> Origin:
        """Take the credentials out of the URL; UsageError for what cannot be the name of a commit.

        A token alone, as in `https://TOKEN@github.com/…`, is sent as the user name and as the password: GitHub, GitLab
        and Gitea look for it in one or the other.
        """
        if not _REF.fullmatch(repository.commit):
            raise UsageError(f"{repository.commit!r} is no branch, tag or hash of a commit")
        parts = urlsplit(repository.url)
        if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
            return cls(repository.url, repository.commit)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        secret = unquote(password or user)
        return cls(redact(repository.url), repository.commit, unquote(user), secret)

    @property
    def secret_input(self) -> str:
        """What a host reads on standard input before it asks the repository; UsageError for a secret of two lines."""
        if "\n" in self.username + self.password:
            raise UsageError("the credentials of the repository have a line break; check where they come from")
        return f"{self.username}\n{self.password}\n"

    def hide(self, text: str) -> str:
        """Return `text` without the credentials, however they came into it."""
        for secret in (self.password, self.username):
            text = text.replace(secret, REDACTED) if len(secret) > 3 else text
        return redact(text)


@dataclass(frozen=True)
class Revision:
    """The commit that a name stood for, and if it stood for another when this testbed last saw it, that one."""

    commit: str
    previous: str | None = None
    previous_at: datetime | None = None

    @property
    def moved(self) -> bool:
        """Whether the name led somewhere else before."""
        return self.previous is not None and self.previous != self.commit


def parse_revision(origin: Origin, lines: Sequence[str]) -> Revision:
    """Read what a host found out; UsageError with the nearest names if there is no such commit."""
    found: dict[str, list[list[str]]] = {}
    for line in lines:
        kind, *words = line.split()
        found.setdefault(kind, []).append(words)
    if "commit" in found:
        (commit,) = found["commit"][0]
        previous, when = found.get("previous", [["", "0"]])[0]
        return Revision(commit, previous or None, datetime.fromtimestamp(int(when), UTC) if previous else None)
    if "ambiguous" in found:
        raise UsageError(
            f"{origin.ref!r} is a branch and a tag of {origin.url}, of different commits; "
            f"write refs/heads/{origin.ref} or refs/tags/{origin.ref}"
        )
    known = [words[0] for words in found.get("known", []) if words]
    near = difflib.get_close_matches(origin.ref, known, n=5, cutoff=0.5) or known[:5]
    hint = f"the nearest branches and tags are: {', '.join(near)}" if near else "it has no branch and no tag"
    raise UsageError(f"{origin.url} has no branch, tag or commit {origin.ref!r}; {hint}")


def unreadable(origin: Origin, complaint: str) -> Exception:
    """The error for a repository that git could not read; `complaint` is what git said."""
    said = "\n".join(f"  {line}" for line in origin.hide(complaint).strip().splitlines()[-5:])
    message = f"the building host cannot read {origin.url}; git said:\n{said}\n"
    if _UNREACHABLE.search(complaint):
        return InfrastructureError(message + "is the address right, and does that host reach it?")
    access = (
        "is the token valid for it?"
        if origin.password
        else ("a private repository needs a token in its URL, such as https://${TOKEN}@github.com/…")
    )
    return UsageError(f"{message}is the address right? {access}")
