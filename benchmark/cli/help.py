"""Help texts: options in sections, examples below them."""

from __future__ import annotations

from typing import Any

import click


class Option(click.Option):
    """An option that the help of a `Command` lists in a section."""

    def __init__(self, *names: Any, section: str = "", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.section = section


class Command(click.Command):
    """A command whose help lists its options by section; those without one come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                sections.setdefault(getattr(param, "section", ""), []).append(record)
        others = sections.pop("", [])
        for title, records in [*sections.items(), ("Options", others)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def examples(*lines: str) -> str:
    """Return the end of a help text that shows example commands, a line each."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
