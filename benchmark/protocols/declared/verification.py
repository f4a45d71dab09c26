"""How `--verify` reads and writes a described system, and what its responses mean."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from benchmark.protocols.base import Check
from benchmark.protocols.declared.client_logs import DeclaredModel, MetricName
from benchmark.settings import Duration


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


class AgreementDeclaration(DeclaredModel):
    """What all nodes must agree on once the load is over and all faults are healed."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] | str = ""
    """Words, or a bash script, with the names of `node`; it runs on the host of each node, as the node does, for 10 s
    at most. All must print the same text."""
    metric: MetricName | None = None
    """Instead of a command: all series of this metric, with labels and values."""
    within: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(seconds=30)
    """Time that they have for that."""

    @model_validator(mode="after")
    def _command_or_metric(self) -> AgreementDeclaration:
        if bool(self.command) == bool(self.metric):
            raise ValueError("expected either `command` or `metric`")
        return self


class VerifyDeclaration(DeclaredModel):
    """What `--verify` does with the nodes: it reads and writes keys, or asks what they agree on, or both."""

    read: ReadDeclaration | None = None
    write: WriteDeclaration | None = None
    cas: SwapDeclaration | None = None
    """Compare-and-swap, where the system has it."""
    agreement: AgreementDeclaration | None = None

    @model_validator(mode="after")
    def _read_and_write(self) -> VerifyDeclaration:
        if (self.read is None) != (self.write is None) or (self.cas and not self.read):
            raise ValueError("expected both `read` and `write`, as each is of no use without the other")
        if not (self.read or self.agreement):
            raise ValueError("expected `read` and `write`, or `agreement`")
        return self

    @property
    def checks(self) -> tuple[Check, ...]:
        """What can be checked."""
        return (*(("linearizability",) if self.read else ()), *(("agreement",) if self.agreement else ()))

    @property
    def runs_commands(self) -> bool:
        """Whether programs are needed on the host from which it reads and writes."""
        return any(each and each.command for each in (self.read, self.write, self.cas))
