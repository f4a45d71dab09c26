"""What the runner was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.plan.source import Binaries
from benchmark.protocols.base import Protocol
from benchmark.settings import Repository, Settings


@dataclass(frozen=True)
class Request:
    """One run for each of `loads` (tx/s); durations in seconds."""

    protocol: Protocol
    settings: Settings
    loads: Sequence[int]
    duration_s: float
    warm_up_s: float
    find_warm_up: bool = False
    """Whether more is cut than `warm_up_s` where the run turns out not to be steady by then."""
    committee: int | None = None
    dedicated_clients: int = 0
    profile: str = "constant"
    """As `benchmark.load_profile` reads it."""
    snapshot: bool = False
    """Whether all that Prometheus holds is saved with each run."""
    name: str | None = None
    results_dir: Path = Path("results")
    source: Repository | Binaries | None = None
    """What the system is built from, or the binaries that were brought; none for one from packages."""
