"""What the mechanisms of faults have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .shaper import Shaper


class ProblemError(Exception):
    """A fault cannot be injected, proved or healed."""


class Context(NamedTuple):
    """What a mechanism knows besides its order."""

    name: str
    """Unique on the host; made of letters, digits and underscores."""
    spared: tuple[str, int] | None
    """The operator's address and this host's SSH port; None if unknown."""
    shaper: Shaper


class Mechanism(ABC):
    """One part of a fault on this host; methods raise ProblemError or OSError where they fail.

    Proofs are whether something was seen, and how or why not.
    """

    @abstractmethod
    def __init__(self, order: dict[str, Any], context: Context) -> None: ...

    @classmethod  # noqa: B027  # most need nothing
    def check(cls) -> None:
        """Require what the mechanism needs of the host."""

    @abstractmethod
    def prepare(self) -> None:
        """Do before the fault begins what takes time."""

    def find(self) -> None:  # noqa: B027
        """Find what the fault affects, just before it is injected."""

    @abstractmethod
    def undo(self) -> list[list[Any]]:
        """Return what is to be undone: for each action a name in `leftovers.UNDO` and arguments, all as in JSON."""

    @abstractmethod
    def inject(self) -> None:
        """Inject the fault."""

    @abstractmethod
    def prove(self) -> tuple[bool, str]:
        """Return the proof that the fault is in force."""

    def prove_held(self) -> tuple[bool, str]:
        """Return the proof that the fault is still in force at its end."""
        return self.prove()

    @abstractmethod
    def heal(self) -> None:
        """Heal the fault."""

    @abstractmethod
    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return the proof that the fault is healed; `cut` are addresses that other faults cut off."""
