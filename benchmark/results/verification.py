"""Whether a system stayed correct during a run, as its summary has it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.model import Finite, StrictModel

Verdict = Literal["ok", "violation", "unknown"]


class Verification(StrictModel):
    """The verdict of `--verify` on the history of the probe workload."""

    verdict: Verdict
    """`ok`: the history is linearizable; `violation`: it is not, see `violation.json`; `unknown`: see `reason`."""
    reason: str = ""
    """Empty if the verdict is `ok`."""
    operations: int | None = Field(default=None, ge=0)
    """Reads, writes and compare-and-swaps that were started; null if unknown."""
    timeouts: int | None = Field(default=None, ge=0)
    """Operations with unknown outcome, which may take effect at any later time; null if unknown."""
    seconds: Finite
    """Duration of the check."""

    def __str__(self) -> str:
        if self.operations is None:
            return self.verdict
        return f"{self.verdict}, {self.operations} operations, {self.timeouts} with unknown outcome"
