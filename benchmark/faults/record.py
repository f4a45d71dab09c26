"""The record of one fault in the manifest of a run."""

from __future__ import annotations

from pydantic import JsonValue

from benchmark.model import Finite, StrictModel


class FaultRecord(StrictModel):
    """A fault that was scheduled, and what was observed of it.

    Scheduled times are seconds since the measured window began; the others Unix seconds by the operator's clock, null
    if that state was not reached.
    """

    kind: str
    target: str
    """As requested."""
    nodes: tuple[str, ...]
    """Processes that it affected."""
    hosts: tuple[str, ...]
    """Hosts that it affected."""
    bridge: tuple[str, ...] = ()
    """Processes that still reached both sides of a partition."""
    parameters: dict[str, JsonValue]
    seed: int
    """Seed of the choice of nodes."""
    scheduled_start_s: Finite
    scheduled_end_s: Finite | None
    """Null if it stays until the end of the run."""
    injected: Finite | None
    in_force: Finite | None
    """When it was proved to be in force."""
    healing: Finite | None
    """When its end began."""
    healed: Finite | None
    """When it was proved to be healed."""
    proof: str = ""
    """What proved that it was in force."""
    healed_proof: str = ""
    problem: str = ""
    """Why it makes the run invalid; empty if it does not."""

    @property
    def name(self) -> str:
        """The fault as users write it, without times."""
        return f"{self.kind}:{self.target}"

    def __str__(self) -> str:
        """The fault with its parameters and scheduled times, such as `loss:one,share=0.3@10s-40s`."""
        named = "".join(f",{name}={value}" for name, value in self.parameters.items())
        end = "" if self.scheduled_end_s in (None, self.scheduled_start_s) else f"-{self.scheduled_end_s:g}s"
        return f"{self.name}{named}@{self.scheduled_start_s:g}s{end}"
