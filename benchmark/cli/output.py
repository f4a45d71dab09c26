"""Print results to standard output."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from benchmark.cli.messages import printable

Shown = Table | str
"""A table, or a line in rich's markup."""


class SafeConsole(Console):
    """A console whose texts cannot act on the terminal, wherever they come from."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render with control characters escaped, except those of rich itself."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def show(shown: Iterable[Shown]) -> None:
    """Print tables and lines; lines are not wrapped, so that quoted commands can be copied."""
    console = SafeConsole(emoji=False)  # `crash:one:` names a fault, not an emoji
    for each in shown:
        console.print(each, soft_wrap=isinstance(each, str), highlight=False)
