"""Whether a system stayed correct during a run, as its summary has it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmark.model import Finite, StrictModel

Verdict = Literal["ok", "violation", "unknown"]
Liveness = Literal["ok", "no progress", "unknown"]


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

    @property
    def violation(self) -> str:
        """What was violated, as a sentence; empty if nothing was, or if that is unknown."""
        return f"linearizability violated: {self.reason}" if self.verdict == "violation" else ""

    def __str__(self) -> str:
        if self.operations is None:
            return self.verdict
        return f"{self.verdict}, {self.operations} operations, {self.timeouts} with unknown outcome"


class Agreement(StrictModel):
    """Whether all nodes gave the same answer once the load was over and all faults were healed."""

    verdict: Verdict
    """`ok`: all nodes gave the same answer; `violation`: they differed until the end; `unknown`: a node gave none."""
    reason: str = ""
    """Empty if the verdict is `ok`."""
    answers: dict[str, str] = {}
    """The last answer of each node, cut off; those that gave none are left out."""
    seconds: Finite
    """Time from the end of the load until all agreed, or until that was given up."""

    @property
    def violation(self) -> str:
        """What was violated, as a sentence; empty if nothing was, or if that is unknown."""
        return f"the nodes disagree: {self.reason}" if self.verdict == "violation" else ""

    def __str__(self) -> str:
        return f"{self.verdict}, {len(self.answers)} nodes after {self.seconds:.1f} s"


class Progress(StrictModel):
    """Whether a system made progress while the faults in force were within what it tolerates."""

    verdict: Liveness
    """`ok`: always within `limit_s`; `no progress`: not for longer; `unknown`: it was never required to, see `reason`.
    """
    reason: str = ""
    """Empty if the verdict is `ok`."""
    limit_s: Finite
    """Time that the system may need after a fault began or ended."""
    required_s: Finite = 0.0
    """Time in which progress was required."""
    longest_s: Finite | None = None
    """Longest time without progress in it; null if it was never required."""

    def __str__(self) -> str:
        if self.longest_s is None:
            return self.verdict
        return (
            f"{self.verdict}, at most {self.longest_s:.1f} s without a success in the {self.required_s:.0f} s in which "
            "faults were tolerated"
        )
