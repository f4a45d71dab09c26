"""How `--verify` reads and writes a described system, and what its responses mean."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from benchmark.protocols.declared.client_logs import DeclaredModel


def _check_pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError) as error:
        raise ValueError(f"expected a regular expression: {error}") from None
    return text


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_check_pattern)]
"""A regular expression that is searched in a response: the HTTP status or exit code, a space, and the body or output.
"""


class OperationDeclaration(DeclaredModel):
    """An operation on one key: an HTTP request or a command. All texts except patterns are templates."""

    url: str = ""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    command: Annotated[tuple[str, ...], Field(min_length=1)] | str = ""
    """Words, or a bash script; it runs on the host of the first client, for 5 s at most."""
    done: Pattern
    failed: Pattern | None = None
    """The operation had no effect and never will; without it, such a response counts as one without an answer."""

    @model_validator(mode="after")
    def _request_or_command(self) -> OperationDeclaration:
        if bool(self.url) == bool(self.command):
            raise ValueError("expected either `url` or `command`")
        if self.command and (self.headers or self.body or "method" in self.model_fields_set):
            raise ValueError("`method`, `headers` and `body` belong to requests; remove them, or `command`")
        return self


class ReadDeclaration(OperationDeclaration):
    """The read of a key."""

    done: Pattern = Field(alias="value")
    """Its first group is the value that was read."""
    otherwise: Pattern = Field(alias="absent")
    """The key does not exist."""
    base64: bool = False
    """Whether the value is in base64."""

    @model_validator(mode="after")
    def _one_group(self) -> ReadDeclaration:
        if not re.compile(self.done).groups:
            raise ValueError(f"found `value: {self.done}`, expected a group around the value, such as `^200 (.*)`")
        return self


class WriteDeclaration(OperationDeclaration):
    """The write of a key."""

    done: Pattern = Field(alias="success")


class SwapDeclaration(OperationDeclaration):
    """The replacement of a value by another one if it is the expected one."""

    done: Pattern = Field(alias="success")
    otherwise: Pattern = Field(alias="mismatch")
    """The key has another value."""


class VerifyDeclaration(DeclaredModel):
    """What `--verify` does with the nodes."""

    read: ReadDeclaration
    write: WriteDeclaration
    cas: SwapDeclaration | None = None
    """Compare-and-swap, where the system has it."""

    @property
    def runs_commands(self) -> bool:
        """Whether programs are needed on the host from which it reads and writes."""
        return any(each and each.command for each in (self.read, self.write, self.cas))
