"""Print results to standard output."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

Shown = Table | str
"""A table, or a line in rich's markup."""


def show(shown: Iterable[Shown]) -> None:
    """Print tables and lines; lines are not wrapped, so that quoted commands can be copied."""
    console = Console()
    for each in shown:
        console.print(each, soft_wrap=isinstance(each, str), highlight=False)
