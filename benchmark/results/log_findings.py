"""Panics, crashes and errors found in the logs of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from benchmark.model import StrictModel

Kind = Literal["panic", "crash", "error"]
KINDS: tuple[Kind, ...] = ("panic", "crash", "error")
LIMIT = 16 << 20
"""Bytes of one log that are kept, before compression."""


class Finding(StrictModel):
    """Lines of one kind in one log, all of it searched."""

    count: int = Field(ge=1)
    first: list[str]
    """The first few lines, each cut after 400 characters."""


Findings = dict[str, dict[Kind, Finding]]
"""By process, then by kind."""


@dataclass
class LogReport:
    """What was found in the logs of a run, and which of them were cut."""

    findings: Findings = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    """Size in bytes of the logs that are larger than the limit."""
    kept: dict[str, list[str]] = field(default_factory=dict)
    """Processes whose logs can be downloaded, by host."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why the logs of a host are incomplete."""

    def warnings(self) -> list[str]:
        """Panics and crashes with their first line each, and the logs that were cut."""
        found = [
            f"{process}: lines of a {kind} in its log: {finding.count}, the first: {''.join(finding.first[:1])}"
            for process, kinds in self.findings.items()
            for kind, finding in kinds.items()
            if kind != "error"
        ]
        return found + [
            f"{process}: its log has {size} bytes, of which the first and the last {LIMIT // 2} are kept"
            for process, size in self.cut.items()
        ]
